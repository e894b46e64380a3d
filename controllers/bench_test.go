package controllers

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// BenchmarkIdleRollouts measures the controller as it is shipped, in a process of
// its own, against a real API server: how long it takes to know all Rollouts after a
// start, what it holds and what it does when nothing happens. See crowd for what is
// in the cluster.
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
	crowd{client: c, pattern: adoptFirst(b, binary, config, c)}.populate(b, 1, n)
	begin := time.Now()
	process := startController(b, binary, config).Process
	awaitHealthy(b, n)
	b.ReportMetric(time.Since(begin).Seconds(), "start-s")
	before := cpuTime(b, process.Pid)
	begin = time.Now()
	time.Sleep(20 * time.Second) // Idling is what is measured; there is nothing to wait for.
	cpu := cpuTime(b, process.Pid) - before
	b.ReportMetric(float64(memory(b, process.Pid, "VmRSS"))/(1<<20), "MiB")
	b.ReportMetric(float64(memory(b, process.Pid, "VmHWM"))/(1<<20), "peak-MiB")
	b.ReportMetric(1000*cpu.Seconds()/time.Since(begin).Seconds(), "mCPU")
	b.ReportMetric(0, "ns/op")
}

// adoptFirst has Rollout 0 adopted, with the policies that are shipped, by a
// controller that is gone afterwards: it would take in hand what is only half created.
func adoptFirst(b *testing.B, binary string, config *rest.Config, c client.Client) *v1alpha1.Rollout {
	b.Helper()
	if err := c.Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "crossfade-system"}}); err != nil {
		b.Fatal(err)
	}
	createPolicies(b, c)
	crowd{client: c}.populate(b, 0, 1)
	controller := startController(b, binary, config)
	ro := &v1alpha1.Rollout{}
	key := types.NamespacedName{Namespace: namespaceOf(0), Name: nameOf(0)}
	adopted := func() bool {
		return ro.Status.Phase == v1alpha1.PhaseHealthy && meta.IsStatusConditionTrue(ro.Status.Conditions, v1alpha1.ConditionHeld)
	}
	for deadline := time.Now().Add(2 * time.Minute); !adopted(); time.Sleep(time.Second) {
		if err := c.Get(b.Context(), key, ro); err != nil {
			b.Fatal(err)
		}
		if time.Now().After(deadline) {
			b.Fatalf("the first Rollout is not adopted after 2 minutes: %+v", ro.Status)
		}
	}
	stop(controller)
	return ro
}

func stop(controller *exec.Cmd) {
	_ = controller.Process.Kill()
	_ = controller.Wait()
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

func startController(b *testing.B, binary string, config *rest.Config) *exec.Cmd {
	b.Helper()
	kubeconfig := filepath.Join(b.TempDir(), "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}]\nusers: [{name: u, user: {client-certificate-data: %s, client-key-data: %s, as: %q, as-groups: [\"system:masters\"]}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n",
		config.Host, encoded(config.CAData), encoded(config.CertData), encoded(config.KeyData), ourUser) // The policies know it by its name.
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
	b.Cleanup(func() { stop(cmd) })
	return cmd
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
