package controllers

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// BenchmarkIdleRollouts measures the controller as it is shipped, in a process of
// its own, against a real API server: what it holds and what it does when nothing
// happens. Each Rollout has a Deployment with one ready pod, its ReplicaSet, its
// Service and the EndpointSlice of it.
func BenchmarkIdleRollouts(b *testing.B) {
	log.SetLogger(logr.Discard())
	for _, n := range []int{1000, 10000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { measureIdle(b, n) })
	}
}

func measureIdle(b *testing.B, n int) {
	binary := buildController(b)
	config := startAPIServer(b, envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "config", "crd"), gatewayAPI(b)}})
	c := newClient(b, config)
	populate(b, c, n)
	process := startController(b, binary, config)
	awaitHealthy(b, n)
	before, begin := cpuTime(b, process.Pid), time.Now()
	time.Sleep(20 * time.Second) // Idling is what is measured; there is nothing to wait for.
	cpu := cpuTime(b, process.Pid) - before
	b.ReportMetric(float64(memory(b, process.Pid, "VmRSS"))/(1<<20), "MiB")
	b.ReportMetric(float64(memory(b, process.Pid, "VmHWM"))/(1<<20), "peak-MiB")
	b.ReportMetric(1000*cpu.Seconds()/time.Since(begin).Seconds(), "mCPU")
	b.ReportMetric(0, "ns/op")
}

func buildController(b *testing.B) string {
	b.Helper()
	binary := filepath.Join(b.TempDir(), "crossfade")
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-o", binary, "../cmd/crossfade")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// gatewayAPI is where the module cache has the Gateway API's CRDs.
func gatewayAPI(b testing.TB) string {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		b.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "config", "crd", "standard")
}

// populate creates n settled Deployments, as the controllers of a cluster would
// have left them, each with a Rollout.
func populate(b testing.TB, c client.Client, n int) {
	b.Helper()
	if err := c.Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "crossfade-system"}}); err != nil {
		b.Fatal(err)
	}
	var wait sync.WaitGroup
	numbers := make(chan int)
	for range 16 {
		wait.Go(func() {
			for i := range numbers {
				if err := populateOne(b.Context(), c, i); err != nil {
					b.Errorf("populate %d: %v", i, err)
				}
			}
		})
	}
	for i := range n {
		if i%100 == 0 {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceOf(i)}}
			if err := c.Create(b.Context(), ns); err != nil {
				b.Fatal(err)
			}
		}
		numbers <- i
	}
	close(numbers)
	wait.Wait()
}

func namespaceOf(i int) string { return fmt.Sprintf("shop-%d", i/100) }

func populateOne(ctx context.Context, c client.Client, i int) error {
	meta := metav1.ObjectMeta{Namespace: namespaceOf(i), Name: fmt.Sprintf("web-%d", i)}
	one, yes := int32(1), true
	match := map[string]string{"app": meta.Name}
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:1", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}}}
	d := &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: match},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: match}, Spec: spec},
	}}
	service := &corev1.Service{
		ObjectMeta: *meta.DeepCopy(),
		Spec:       corev1.ServiceSpec{Selector: match, ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Port: 8080}}},
	}
	if err := createBoth(ctx, c, d, service); err != nil {
		return err
	}
	d.Status.ObservedGeneration, d.Status.Replicas, d.Status.UpdatedReplicas = d.Generation, 1, 1
	if err := c.Status().Update(ctx, d); err != nil {
		return err
	}
	hash := fmt.Sprintf("%08d", i) // Templates differ by their labels, so their hashes do.
	labels := map[string]string{"app": meta.Name, "pod-template-hash": hash}
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: meta.Namespace, Name: meta.Name + "-" + hash, Labels: labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID, Controller: &yes}},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		},
	}
	if err := c.Create(ctx, rs); err != nil {
		return err
	}
	rs.Status = appsv1.ReplicaSetStatus{ObservedGeneration: rs.Generation, Replicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	if err := c.Status().Update(ctx, rs); err != nil {
		return err
	}
	if err := populatePod(ctx, c, rs, i); err != nil {
		return err
	}
	ro := &v1alpha1.Rollout{ObjectMeta: *meta.DeepCopy(), Spec: v1alpha1.RolloutSpec{
		WorkloadRef: v1alpha1.WorkloadRef{Name: meta.Name}, ServiceRef: v1alpha1.ServiceRef{Name: meta.Name},
		Strategy: v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: []v1alpha1.Step{{Weight: new(int32(10))}}}},
	}}
	ro.Spec.Acks.Timeout.Duration = time.Minute
	return c.Create(ctx, ro)
}

// populatePod creates a ReplicaSet's only pod, as a kubelet would report it, and
// its Service's EndpointSlice.
func populatePod(ctx context.Context, c client.Client, rs *appsv1.ReplicaSet, i int) error {
	yes, ip := true, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: rs.Namespace, Name: rs.Name + "-x", Labels: rs.Labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: rs.Name, UID: rs.UID, Controller: &yes}},
		},
		Spec: rs.Spec.Template.Spec,
	}
	if err := c.Create(ctx, pod); err != nil {
		return err
	}
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "web", Ready: true, Started: &yes, Image: "web:1", ImageID: "sha256:0"}},
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
	}
	if err := c.Status().Update(ctx, pod); err != nil {
		return err
	}
	app, port := rs.Labels["app"], int32(8080)
	return c.Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: rs.Namespace, Name: app + "-y",
			Labels: map[string]string{discoveryv1.LabelServiceName: app, discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		}},
	})
}

func createBoth(ctx context.Context, c client.Client, a, b client.Object) error {
	if err := c.Create(ctx, a); err != nil {
		return err
	}
	return c.Create(ctx, b)
}

func startController(b *testing.B, binary string, config *rest.Config) *os.Process {
	b.Helper()
	kubeconfig := filepath.Join(b.TempDir(), "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}]\nusers: [{name: u, user: {client-certificate-data: %s, client-key-data: %s}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n",
		config.Host, encoded(config.CAData), encoded(config.CertData), encoded(config.KeyData))
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), binary, "controller", "--xds-address=127.0.0.1:0", "--debug-address=",
		"--metrics-address="+metricsAddress, "--probe-address=0")
	// As config/manager has it.
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "GOGC=50", "GOMEMLIMIT=430MiB")
	cmd.Stderr = io.Discard
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process
}

const metricsAddress = "127.0.0.1:18099"

// awaitHealthy waits until every Rollout is adopted, by the controller's own
// metric: listing them all again and again would be load of its own.
func awaitHealthy(b *testing.B, n int) {
	b.Helper()
	want := fmt.Sprintf("crossfade_rollouts{phase=%q} %d", v1alpha1.PhaseHealthy, n)
	for deadline := time.Now().Add(time.Hour); time.Now().Before(deadline); time.Sleep(time.Second) {
		response, err := http.Get("http://" + metricsAddress + "/metrics")
		if err != nil {
			continue
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err == nil && strings.Contains(string(body), want+"\n") {
			return
		}
	}
	b.Fatalf("not all of %d Rollouts are Healthy after an hour", n)
}

// cpuTime is the user and system time of a process so far.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	// The name in parentheses may have spaces; utime and stime are the 12th and
	// 13th field after it, in ticks of 10 ms.
	fields := strings.Fields(string(raw)[strings.LastIndex(string(raw), ")")+1:])
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// memory is what a process holds in memory now (VmRSS), or held at most (VmHWM),
// in bytes.
func memory(b *testing.B, pid int, field string) int64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	b.Fatalf("no %s", field)
	return 0
}

func encoded(data []byte) string { return base64.StdEncoding.EncodeToString(data) }
