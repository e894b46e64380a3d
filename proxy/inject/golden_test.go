package inject

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

var update = flag.Bool("update", false, "rewrite the goldens; read the difference before it is committed")

var options = Options{
	Image: "crossfade.local/crossfade-proxy:dev", SystemNamespace: "crossfade-system",
	XDS: "crossfade-xds.crossfade-system.svc.cluster.local:15010", Certificates: "crossfade-controller.crossfade-system.svc.cluster.local:15011",
}

var enabled = map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled}

// TestGolden runs every pod of testdata. To add one, write name.in.yaml and run
// go test ./proxy/inject -run TestGolden -update. Each pod is also injected
// twice, and by way of the JSON patch.
func TestGolden(t *testing.T) {
	for name, pod := range examples(t) {
		t.Run(name, func(t *testing.T) {
			untouched := pod.DeepCopy()
			out := inject(t, pod)
			if diff := cmp.Diff(untouched, pod); diff != "" {
				t.Errorf("Inject changed its argument:\n%s", diff)
			}
			got, err := yaml.Marshal(out)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, filepath.Join("testdata", name+".out.yaml"), got)
			if diff := cmp.Diff(out, inject(t, out)); diff != "" {
				t.Errorf("an injected pod changed when it was injected again:\n%s", diff)
			}
			if diff := cmp.Diff(toJSON(t, out), patched(t, pod, Patch(pod, out))); diff != "" {
				t.Errorf("the patch makes another pod:\n%s", diff)
			}
		})
	}
}

// TestGoldensAreComplete fails for files that no pod writes any more.
func TestGoldensAreComplete(t *testing.T) {
	files, err := filepath.Glob("testdata/*.out.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, err := os.Stat(strings.Replace(file, ".out.", ".in.", 1)); err != nil {
			t.Errorf("%s is stale: %v", file, err)
		}
	}
}

// TestPatchKeepsUnknownFields is about an API server that is newer than this
// program: what this one does not know must not be lost.
func TestPatchKeepsUnknownFields(t *testing.T) {
	raw := `{"metadata":{"name":"a","namespace":"shop"},"spec":{"tomorrow":1,
		"initContainers":[{"name":"side","restartPolicy":"Always","tomorrow":2,"startupProbe":{"tomorrow":3,"tcpSocket":{"port":80}}}],
		"containers":[{"name":"app","tomorrow":4,"readinessProbe":{"tomorrow":5,"httpGet":{"port":80}},"lifecycle":{"tomorrow":6,"preStop":{"httpGet":{"port":80}}}}]}}`
	pod := &corev1.Pod{}
	if err := json.Unmarshal([]byte(raw), pod); err != nil {
		t.Fatal(err)
	}
	got := apply(t, []byte(raw), Patch(pod, inject(t, pod)))
	for _, field := range []string{`"tomorrow":1`, `"tomorrow":2`, `"tomorrow":3`, `"tomorrow":4`, `"tomorrow":5`, `"tomorrow":6`} {
		if !strings.Contains(string(got), field) {
			t.Errorf("%s is lost in %s", field, got)
		}
	}
}

// TestAgain is what reinvocation is for: another webhook came after ours.
func TestAgain(t *testing.T) {
	before := inject(t, examples(t)["probes"])
	pod := before.DeepCopy()
	pod.Spec.InitContainers = append([]corev1.Container{{Name: "vault"}}, pod.Spec.InitContainers...)
	pod.Spec.InitContainers[2].Image = "mirror.example/crossfade-proxy:dev"
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{
		Name: "late", ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: port(7000)}}},
	})
	pod.Labels = nil // kubectl debug --copy-to

	out := inject(t, pod)
	var names []string
	for _, c := range out.Spec.InitContainers {
		names = append(names, c.Name)
	}
	if diff := cmp.Diff([]string{InitContainer, ProxyContainer, "vault"}, names); diff != "" {
		t.Errorf("order of init containers:\n%s", diff)
	}
	if got := out.Spec.InitContainers[1].Image; got != "mirror.example/crossfade-proxy:dev" {
		t.Errorf("another webhook's image was overwritten: %s", got)
	}
	if got := out.Labels[v1alpha1.LabelProxy]; got != v1alpha1.ProxySidecar {
		t.Errorf("label %s is %q", v1alpha1.LabelProxy, got)
	}
	table := probeTable(t, out)
	if p := table["late/readiness"]; p.TCP == nil || p.TCP.Port != 7000 {
		t.Errorf("the late container's probe is not handed over: %+v", p)
	}
	earlier := probeTable(t, before)
	delete(table, "late/readiness")
	if diff := cmp.Diff(earlier, table); diff != "" {
		t.Errorf("the earlier probes changed:\n%s", diff)
	}
	if diff := cmp.Diff(toJSON(t, out), patched(t, pod, Patch(pod, out))); diff != "" {
		t.Errorf("the patch makes another pod:\n%s", diff)
	}
}

func examples(t testing.TB) map[string]*corev1.Pod {
	t.Helper()
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("find pods: %v, %d found", err, len(files))
	}
	out := map[string]*corev1.Pod{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pod := &corev1.Pod{}
		if err := yaml.UnmarshalStrict(raw, pod); err != nil {
			t.Fatalf("read %s: %v", file, err)
		}
		out[strings.TrimSuffix(filepath.Base(file), ".in.yaml")] = pod
	}
	return out
}

// inject injects a pod that is to be injected.
func inject(t testing.TB, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	namespace := enabled
	if pod.Namespace == "plain" {
		namespace = nil
	}
	out, decision, err := Inject(pod, namespace, options)
	if err != nil || !decision.Injected {
		t.Fatalf("not injected: %+v %v", decision, err)
	}
	return out
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func toJSON(t testing.TB, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return fromJSON(t, raw)
}

func fromJSON(t testing.TB, raw []byte) any {
	t.Helper()
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func patched(t testing.TB, pod *corev1.Pod, patch []Operation) any {
	t.Helper()
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return fromJSON(t, apply(t, raw, patch))
}

func apply(t testing.TB, raw []byte, patch []Operation) []byte {
	t.Helper()
	text, err := json.Marshal(patch)
	if err != nil {
		t.Fatal(err)
	}
	if len(patch) == 0 {
		return raw
	}
	decoded, err := jsonpatch.DecodePatch(text)
	if err != nil {
		t.Fatal(err)
	}
	out, err := decoded.Apply(raw)
	if err != nil {
		t.Fatalf("apply %s: %v", text, err)
	}
	return out
}
