package inject

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/intercept"
	"github.com/crossfade-dev/crossfade/proxy/probe"
)

func port(n int32) intstr.IntOrString { return intstr.FromInt32(n) }

// plain is the smallest pod.
func plain(change func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: "shop", Labels: map[string]string{}, Annotations: map[string]string{}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app:1"}}},
	}
	change(pod)
	return pod
}

func TestDecision(t *testing.T) {
	istio := map[string]string{v1alpha1.LabelIstioInjection: "enabled"}
	label := func(value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Labels[v1alpha1.LabelInject] = value }
	}
	nothing := func(*corev1.Pod) {}
	for name, tc := range map[string]struct {
		reason    string
		namespace map[string]string
		istio     bool
		change    func(*corev1.Pod)
		want      Decision
	}{
		"namespace": {
			reason: "the label on the namespace is all it takes", namespace: enabled, change: nothing,
			want: Decision{Injected: true, Reason: ReasonNamespace},
		},
		"istio's label": {
			reason: "a tutorial's manifest works as it is", namespace: istio, change: nothing,
			want: Decision{Injected: true, Reason: ReasonIstioNamespace},
		},
		"istio's label, with istio": {
			reason: "its own injector takes these", namespace: istio, istio: true, change: nothing,
			want: Decision{Reason: ReasonIstioPresent},
		},
		"both labels, with istio": {
			reason: "ours is ours, whoever else is there", istio: true, change: nothing,
			namespace: map[string]string{v1alpha1.LabelIstioInjection: "enabled", v1alpha1.LabelInjection: "enabled"},
			want:      Decision{Injected: true, Reason: ReasonNamespace},
		},
		"ours disabled beside istio's": {
			reason: "ours wins", change: nothing,
			namespace: map[string]string{v1alpha1.LabelIstioInjection: "enabled", v1alpha1.LabelInjection: "disabled"},
			want:      Decision{Reason: ReasonNobodyAsks},
		},
		"no label":   {reason: "nothing is done unasked", change: nothing, want: Decision{Reason: ReasonNobodyAsks}},
		"opted out":  {reason: "the pod has the last word", namespace: enabled, change: label("false"), want: Decision{Reason: ReasonOptedOut}},
		"opted in":   {reason: "the pod has the last word", change: label("true"), want: Decision{Injected: true, Reason: ReasonPod}},
		"host":       {reason: "the node's traffic is not the pod's", namespace: enabled, change: func(p *corev1.Pod) { p.Spec.HostNetwork = true }, want: Decision{Reason: ReasonHostNetwork}},
		"host, in":   {reason: "no label changes what a pod is", change: func(p *corev1.Pod) { p.Spec.HostNetwork = true; label("true")(p) }, want: Decision{Reason: ReasonHostNetwork}},
		"mirror":     {reason: "the kubelet runs it anyway", namespace: enabled, change: func(p *corev1.Pod) { p.Annotations[annotationMirror] = "x" }, want: Decision{Reason: ReasonMirror}},
		"system":     {reason: "a cold start must not lock itself", namespace: enabled, change: func(p *corev1.Pod) { p.Namespace = "kube-system"; label("true")(p) }, want: Decision{Reason: ReasonSystem}},
		"our own":    {reason: "a cold start must not lock itself", namespace: enabled, change: func(p *corev1.Pod) { p.Namespace = "crossfade-system" }, want: Decision{Reason: ReasonSystem}},
		"windows":    {reason: "no Envoy there", namespace: enabled, change: func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }, want: Decision{Reason: ReasonWindows}},
		"linux":      {reason: "said aloud", namespace: enabled, change: func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Linux} }, want: Decision{Injected: true, Reason: ReasonNamespace}},
		"a gateway":  {reason: "a proxy needs none", namespace: enabled, change: func(p *corev1.Pod) { p.Labels[v1alpha1.LabelProxy] = v1alpha1.ProxyGateway }, want: Decision{Reason: ReasonOwnProxy}},
		"istio's":    {reason: "two would fight", namespace: enabled, change: func(p *corev1.Pod) { p.Spec.Containers[0].Name = "istio-proxy" }, want: Decision{Reason: ReasonIstioProxy}},
		"istio's in": {reason: "native ones too", namespace: enabled, change: func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Name: "istio-proxy"}} }, want: Decision{Reason: ReasonIstioProxy}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options
			o.IstioInstalled = tc.istio
			pod := plain(tc.change)
			out, got, err := Inject(pod, tc.namespace, o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if !got.Injected && out != pod {
				t.Error("a pod that is left alone is not the same any more")
			}
			if got.Injected != has(out.Spec.InitContainers, ProxyContainer) {
				t.Error("the decision is not what was done")
			}
		})
	}
}

func TestRefused(t *testing.T) {
	annotation := func(name, value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations[name] = value }
	}
	number := func(n int64) *int64 { return &n }
	for name, tc := range map[string]struct {
		reason string
		change func(*corev1.Pod)
		want   string
	}{
		"label":         {"a typo must not leave a pod outside", func(p *corev1.Pod) { p.Labels[v1alpha1.LabelInject] = "no" }, `label crossfade.dev/inject: "no": write "true" or "false"`},
		"port":          {"", annotation(v1alpha1.AnnotationExcludeInboundPorts, "80,http"), `annotation crossfade.dev/exclude-inbound-ports: "http" is no port: write numbers from 1 to 65535, separated by commas`},
		"port 0":        {"", annotation(v1alpha1.AnnotationExcludeOutboundPorts, "0"), `annotation crossfade.dev/exclude-outbound-ports: "0" is no port`},
		"port too high": {"", annotation(v1alpha1.AnnotationExcludeOutboundPorts, "65536"), `"65536" is no port`},
		"empty port":    {"a comma too many", annotation(v1alpha1.AnnotationExcludeOutboundPorts, "80,"), `"" is no port`},
		"cidr":          {"an address alone", annotation(v1alpha1.AnnotationExcludeOutboundCIDRs, "10.1.2.3"), `annotation crossfade.dev/exclude-outbound-cidrs: "10.1.2.3" is no CIDR: write such as 10.0.0.0/8 or 10.1.2.3/32`},
		"mapped cidr":   {"one that would never match", annotation(v1alpha1.AnnotationExcludeInboundCIDRs, "::ffff:10.0.0.0/104"), `is no CIDR`},
		"quantity":      {"", annotation(v1alpha1.AnnotationProxyMemory, "much"), `annotation crossfade.dev/proxy-memory: "much" is no quantity above 0`},
		"no quantity":   {"", annotation(v1alpha1.AnnotationProxyCPULimit, "0"), `annotation crossfade.dev/proxy-cpu-limit: "0" is no quantity above 0`},
		"cpu above": {"the API server would say it of a container that nobody wrote", func(p *corev1.Pod) {
			annotation(v1alpha1.AnnotationProxyCPU, "2")(p)
			annotation(v1alpha1.AnnotationProxyCPULimit, "1")(p)
		}, `annotation crossfade.dev/proxy-cpu: 2 is more than crossfade.dev/proxy-cpu-limit, 1`},
		"memory above": {"", func(p *corev1.Pod) {
			annotation(v1alpha1.AnnotationProxyMemory, "2Gi")(p)
			annotation(v1alpha1.AnnotationProxyMemoryLimit, "1Gi")(p)
		}, `annotation crossfade.dev/proxy-memory: 2Gi is more than crossfade.dev/proxy-memory-limit, 1Gi`},
		"all at once": {"who has two mistakes hears of both", func(p *corev1.Pod) {
			annotation(v1alpha1.AnnotationProxyMemory, "much")(p)
			annotation(v1alpha1.AnnotationExcludeInboundCIDRs, "x")(p)
		}, "no CIDR: write such as 10.0.0.0/8 or 10.1.2.3/32, separated by commas\nannotation crossfade.dev/proxy-memory"},
		"container name": {"a half of ours", func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Name: InitContainer}} }, "container names crossfade-init and crossfade-proxy"},
		"as container":   {"not a native sidecar", func(p *corev1.Pod) { p.Spec.Containers[0].Name = ProxyContainer }, "container names crossfade-init and crossfade-proxy"},
		"volume name":    {"", func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: volumeTLS}} }, "the volume name crossfade-tls is the sidecar's"},
		"port taken":     {"only one can listen", func(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 15021}} }, "container app: port 15021 is the sidecar's"},
		"user": {"its traffic would bypass the mesh", func(p *corev1.Pod) {
			p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: number(intercept.UID)}
		}, "container app runs as user or group 1337"},
		"group of the pod": {"also by gid", func(p *corev1.Pod) {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsGroup: number(intercept.UID)}
		}, "container app runs as user or group 1337"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Inject(plain(tc.change), enabled, options)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\nwant an error with %q\ngot %v", tc.reason, tc.want, err)
			}
		})
	}
}

func TestAllowed(t *testing.T) {
	for name, change := range map[string]func(*corev1.Pod){
		"the port is UDP": func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 15021, Protocol: corev1.ProtocolUDP}}
		},
		"the container overrides the pod's": func(p *corev1.Pod) {
			u, v := int64(intercept.UID), int64(1000)
			p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &u}
			p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: &v}
		},
		"no ports after all": func(p *corev1.Pod) { p.Annotations[v1alpha1.AnnotationExcludeInboundPorts] = " " },
	} {
		t.Run(name, func(t *testing.T) { inject(t, plain(change)) })
	}
}

func TestResources(t *testing.T) {
	for name, tc := range map[string]struct {
		reason      string
		annotations map[string]string
		want        string
		concurrency string
	}{
		"none":             {"", nil, `{"limits":{"memory":"512Mi"},"requests":{"cpu":"50m","memory":"96Mi"}}`, "2"},
		"low limit":        {"the default request gives way", map[string]string{v1alpha1.AnnotationProxyCPULimit: "20m", v1alpha1.AnnotationProxyMemoryLimit: "80Mi"}, `{"limits":{"cpu":"20m","memory":"80Mi"},"requests":{"cpu":"20m","memory":"80Mi"}}`, "1"},
		"high request":     {"the default limit gives way", map[string]string{v1alpha1.AnnotationProxyMemory: "1Gi"}, `{"limits":{"memory":"1Gi"},"requests":{"cpu":"50m","memory":"1Gi"}}`, "2"},
		"part of a core":   {"rounded up", map[string]string{v1alpha1.AnnotationProxyCPULimit: "2100m"}, `{"limits":{"cpu":"2100m","memory":"512Mi"},"requests":{"cpu":"50m","memory":"96Mi"}}`, "3"},
		"a whole building": {"bounded", map[string]string{v1alpha1.AnnotationProxyCPULimit: "9E"}, `{"limits":{"cpu":"9E","memory":"512Mi"},"requests":{"cpu":"50m","memory":"96Mi"}}`, "64"},
	} {
		t.Run(name, func(t *testing.T) {
			out := inject(t, plain(func(p *corev1.Pod) { p.Annotations = tc.annotations }))
			for _, c := range out.Spec.InitContainers {
				got, err := json.Marshal(c.Resources)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, string(got)); diff != "" {
					t.Errorf("%s %s (-want +got):\n%s", c.Name, tc.reason, diff)
				}
			}
			if args := strings.Join(out.Spec.InitContainers[1].Args, " "); !strings.Contains(args, "--concurrency="+tc.concurrency+" ") {
				t.Errorf("%s: want concurrency %s in %s", tc.reason, tc.concurrency, args)
			}
		})
	}
}

func probeTable(t testing.TB, pod *corev1.Pod) probe.Table {
	t.Helper()
	for _, e := range pod.Spec.InitContainers[find(pod.Spec.InitContainers, ProxyContainer)].Env {
		if e.Name == probe.Variable {
			table, err := probe.Decode(e.Value)
			if err != nil {
				t.Fatal(err)
			}
			return table
		}
	}
	return nil
}

// TestProbesSurvive reads the originals back, dollar signs and all.
func TestProbesSurvive(t *testing.T) {
	table := probeTable(t, inject(t, examples(t)["probes"]))
	want := probe.Table{
		"web/startup": {HTTP: &probe.HTTP{Port: 8080, Path: "/start?deep=1&price=$(PRICE)$$"}, TimeoutSeconds: 1},
		"web/liveness": {HTTP: &probe.HTTP{Scheme: "HTTPS", Port: 8443, Path: "/live", Headers: []probe.Header{
			{Name: "Host", Value: "shop.example"}, {Name: "X-Probe", Value: "a"}, {Name: "X-Probe", Value: "b"},
		}}, TimeoutSeconds: 5},
		"web/readiness": {TCP: &probe.TCP{Port: 8080}, TimeoutSeconds: 3},
		"web/postStart": {HTTP: &probe.HTTP{Port: 8080, Path: "/hook/started"}},
		"web/preStop":   {HTTP: &probe.HTTP{Port: 8080, Path: "/hook/stop"}},
		"rpc/readiness": {GRPC: &probe.GRPC{Port: 9000, Service: "shop.Cart"}, TimeoutSeconds: 1},
		"rpc/liveness":  {GRPC: &probe.GRPC{Port: 9000}, TimeoutSeconds: 1},
	}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("originals (-want +got):\n%s", diff)
	}
}

func TestVersion(t *testing.T) {
	version := func(o Options) string {
		out, err := Version(o)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	other := options
	other.Image = "crossfade.local/crossfade-proxy:next"
	if first, again := version(options), version(options); first != again || first == version(other) {
		t.Error("a version has to be that of the sidecar's parts")
	}
	annotated, plain := inject(t, examples(t)["annotations"]), inject(t, examples(t)["opted-in"])
	if a, b := annotated.Annotations[v1alpha1.AnnotationInjected], plain.Annotations[v1alpha1.AnnotationInjected]; a != b {
		t.Errorf("what a pod asks for makes another version: %s and %s", a, b)
	}
}

// FuzzInject feeds pods of any shape: no panic, the argument untouched, and what
// is injected stays as it is, also by way of the patch.
func FuzzInject(f *testing.F) {
	for _, pod := range examples(f) {
		raw, err := json.Marshal(pod)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		out, _, err := Inject(pod, enabled, options)
		if err != nil {
			f.Fatal(err)
		}
		if raw, err = json.Marshal(out); err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		pod := &corev1.Pod{}
		if json.Unmarshal(raw, pod) != nil {
			return
		}
		before := pod.DeepCopy()
		out, decision, err := Inject(pod, enabled, options)
		if diff := cmp.Diff(before, pod); diff != "" {
			t.Fatalf("the argument changed:\n%s", diff)
		}
		if err != nil || !decision.Injected {
			return
		}
		again, _, err := Inject(out, enabled, options)
		if err != nil {
			t.Fatalf("an injected pod is refused: %v", err)
		}
		if diff := cmp.Diff(toJSON(t, out), toJSON(t, again)); diff != "" {
			t.Fatalf("injected again:\n%s", diff)
		}
		if diff := cmp.Diff(toJSON(t, out), patched(t, pod, Patch(pod, out))); diff != "" {
			t.Fatalf("the patch makes another pod:\n%s", diff)
		}
	})
}

// FuzzAnnotations feeds every annotation: no panic, and no result out of range.
func FuzzAnnotations(f *testing.F) {
	f.Add("80, 81", "10.0.0.0/8,::/0", "1e3")
	f.Add(",", "0.0.0.0/33", "1e1000000000")
	f.Fuzz(func(t *testing.T, ports, cidrs, quantity string) {
		a := map[string]string{}
		for _, name := range []string{v1alpha1.AnnotationExcludeInboundPorts, v1alpha1.AnnotationExcludeOutboundPorts} {
			a[name] = ports
		}
		for _, name := range []string{v1alpha1.AnnotationExcludeInboundCIDRs, v1alpha1.AnnotationExcludeOutboundCIDRs} {
			a[name] = cidrs
		}
		for _, name := range []string{v1alpha1.AnnotationProxyCPU, v1alpha1.AnnotationProxyCPULimit, v1alpha1.AnnotationProxyMemory, v1alpha1.AnnotationProxyMemoryLimit} {
			a[name] = quantity
		}
		s, err := readSettings(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: a}})
		if err != nil {
			return
		}
		if n := s.concurrency(); n < 1 || n > maxConcurrency {
			t.Errorf("concurrency %d", n)
		}
		if len(s.excluded.InboundPorts) > math.MaxUint16 {
			t.Errorf("%d ports", len(s.excluded.InboundPorts))
		}
	})
}

func BenchmarkInject(b *testing.B) {
	pod := examples(b)["probes"]
	for b.Loop() {
		out, _, err := Inject(pod, enabled, options)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := json.Marshal(Patch(pod, out)); err != nil {
			b.Fatal(err)
		}
	}
}
