package proxy_test

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

var update = flag.Bool("update", false, "rewrite the goldens; read the difference before it is committed")

// TestGoldens runs every folder of testdata: objects of the cluster in, what the
// proxies should do (ir.yaml), what users are told (status.yaml) and what Envoy gets
// (envoy.yaml) out. To add a case, add a folder with an objects.yaml and run
// go test ./proxy -run TestGoldens -update.
func TestGoldens(t *testing.T) {
	for _, dir := range cases(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			in, untouched := readObjects(t, filepath.Join(dir, "objects.yaml")), readObjects(t, filepath.Join(dir, "objects.yaml"))
			out := proxy.Build(in)
			if diff := cmp.Diff(untouched, in); diff != "" {
				t.Errorf("Build changed its input, which others share:\n%s", diff)
			}
			world := xds.Translate(nil, out.Config)
			if len(world.Problems) > 0 {
				t.Errorf("Translate found problems: %v", world.Problems)
			}
			for view, snapshot := range world.Snapshots {
				if problems := xds.Check(snapshot); len(problems) > 0 {
					t.Errorf("Check found problems in view %s: %v", view, problems)
				}
			}
			rendered := map[string]any{"config": out.Config, "effective": byName(out.Effective)}
			if len(out.Sidecars) > 0 {
				rendered["shapes"] = byName(out.Sidecars)
			}
			compare(t, filepath.Join(dir, "ir.yaml"), toYAML(t, rendered))
			compare(t, filepath.Join(dir, "status.yaml"), toYAML(t, told(out)))
			if in.Options.TrustDomain != "" {
				// What gRPC clients get is the same without encryption, under the same names.
				delete(world.Snapshots, xds.MeshView)
			}
			compare(t, filepath.Join(dir, "envoy.yaml"), toYAML(t, readable(t, world)))
		})
	}
}

// TestGoldensAreComplete fails for files that no case writes any more.
func TestGoldensAreComplete(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"objects.yaml": true, "ir.yaml": true, "status.yaml": true, "envoy.yaml": true}
	for _, file := range files {
		if !known[filepath.Base(file)] {
			t.Errorf("%s belongs to no case", file)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(file), "objects.yaml")); err != nil {
			t.Errorf("%s is stale: its case has no objects.yaml", file)
		}
	}
}

func cases(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("testdata/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("find cases: %v, %d found", err, len(dirs))
	}
	return dirs
}

// readObjects reads a file of manifests. Unknown fields are mistakes.
func readObjects(t *testing.T, file string) proxy.Input {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return parseObjects(t, file, content)
}

// parseObjects reads manifests. One namespace with the mesh's label among them turns
// the mesh on.
func parseObjects(t testing.TB, file string, content []byte) proxy.Input {
	t.Helper()
	in := proxy.Input{Options: proxy.DefaultOptions()}
	documents := utilyaml.NewYAMLReader(newReader(content))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			for _, namespace := range in.Namespaces {
				if namespace.Labels[v1alpha1.LabelInjection] == v1alpha1.InjectionEnabled {
					in.Options.TrustDomain = "cluster.local"
				}
			}
			return in
		}
		if err != nil {
			t.Fatal(err)
		}
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal(document, &meta); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		switch meta.Kind {
		case "Rollout":
			in.Rollouts = append(in.Rollouts, decode[v1alpha1.Rollout](t, document))
		case "Service":
			in.Services = append(in.Services, decode[corev1.Service](t, document))
		case "Pod":
			in.Pods = append(in.Pods, decode[corev1.Pod](t, document))
		case "Namespace":
			in.Namespaces = append(in.Namespaces, decode[corev1.Namespace](t, document))
		case "GatewayClass":
			in.GatewayClasses = append(in.GatewayClasses, decode[gatewayv1.GatewayClass](t, document))
		case "Gateway":
			in.Gateways = append(in.Gateways, decode[gatewayv1.Gateway](t, document))
		case "HTTPRoute":
			in.HTTPRoutes = append(in.HTTPRoutes, decode[gatewayv1.HTTPRoute](t, document))
		case "MeshPolicy":
			in.MeshPolicies = append(in.MeshPolicies, decode[v1alpha1.MeshPolicy](t, document))
		case "ReferenceGrant":
			in.ReferenceGrants = append(in.ReferenceGrants, decode[gatewayv1.ReferenceGrant](t, document))
		default:
			t.Fatalf("%s: kind %q is not known", file, meta.Kind)
		}
	}
}

func decode[T any](t testing.TB, document []byte) *T {
	t.Helper()
	object := new(T)
	if err := yaml.UnmarshalStrict(document, object); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	return object
}

// readable is a world for people: every resource once, and the names of those that
// each view gets. One that another view has differently says so in its name.
func readable(t *testing.T, world *xds.World) map[string]any {
	t.Helper()
	resources := map[string]map[string]any{}
	views := map[string]map[string][]string{}
	for _, view := range sortedKeys(world.Snapshots) {
		snapshot := world.Snapshots[view]
		views[view] = map[string][]string{}
		for kind, byName := range map[string]map[string]*xds.Resource{
			"clusters": snapshot.Clusters, "endpoints": snapshot.Endpoints,
			"listeners": snapshot.Listeners, "routes": snapshot.Routes,
		} {
			views[view][kind] = sortedKeys(byName)
			if resources[kind] == nil {
				resources[kind] = map[string]any{}
			}
			for name, r := range byName {
				content := message(t, r)
				if other, taken := resources[kind][name]; taken && !cmp.Equal(other, content) {
					name += ", as " + view + " has it"
				}
				resources[kind][name] = content
			}
		}
	}
	return map[string]any{"resources": resources, "views": views}
}

// message is a resource as it is sent, with what the server is told of it beside it.
func message(t *testing.T, r *xds.Resource) any {
	t.Helper()
	body, err := r.Body.UnmarshalNew()
	if err != nil {
		t.Fatal(err)
	}
	// protojson varies its white space on purpose; a map has none.
	raw, err := protojson.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var content any
	if err := json.Unmarshal(raw, &content); err != nil {
		t.Fatal(err)
	}
	if len(r.Splits)+len(r.Clusters) == 0 {
		return content
	}
	beside := map[string]any{"message": content}
	if len(r.Splits) > 0 {
		beside["splits"] = r.Splits
	}
	if len(r.References) > 0 {
		beside["references"] = r.References
	}
	if len(r.Clusters) > 0 {
		beside["clusters"] = r.Clusters
	}
	return beside
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); if that is right, run with -update:\n%s", file, diff)
	}
}

func toYAML(t *testing.T, value any) []byte {
	t.Helper()
	content, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
