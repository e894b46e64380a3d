package proxy_test

import (
	"os"
	"path/filepath"
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// FuzzHTTPRoute shows that no HTTPRoute, whatever is in it, ends in a crash or in a
// table that proxies would refuse, and that others' routes go on beside it.
func FuzzHTTPRoute(f *testing.F) {
	for _, seed := range []string{"routes-refused", "routes-merge", "listeners", "backends"} {
		content, err := os.ReadFile(filepath.Join("testdata", seed, "objects.yaml"))
		if err != nil {
			f.Fatal(err)
		}
		for _, route := range readRoutes(f, content) {
			f.Add(route)
		}
	}
	f.Add([]byte(`{"hostnames": ["*", "", "*.", "a..b", "A.b", "*.*"], "rules": [{"matches": [{"path": {"value": ""}}, {"path": {"value": "/a/"}}, {"path": {"value": "//"}}]}]}`))
	f.Add([]byte(`{"rules": [{"matches": [{"headers": [{"name": "", "value": "a\nb"}, {"name": "x", "type": "RegularExpression", "value": "(a{1000}){1000}"}]}]}]}`))
	f.Add([]byte(`{"rules": [{"backendRefs": [{"name": "a", "port": 80, "weight": -1}, {"name": "a", "port": -80, "weight": 2147483647}]}]}`))
	parent := gatewayv1.Namespace("crossfade-system")
	f.Fuzz(func(t *testing.T, content []byte) {
		route := &gatewayv1.HTTPRoute{}
		route.Namespace, route.Name = "shop", "fuzzed"
		if yaml.Unmarshal(content, &route.Spec) != nil {
			return
		}
		route.Spec.ParentRefs = append(route.Spec.ParentRefs, gatewayv1.ParentReference{Namespace: &parent, Name: "crossfade"})
		in := readObjects(t, filepath.Join("testdata", "routes-refused", "objects.yaml"))
		in.HTTPRoutes = append(in.HTTPRoutes, route)
		out := proxy.Build(in)
		if len(out.HTTPRoutes[name("shop", "fuzzed")].Parents) == 0 {
			t.Error("the route's user is not told anything")
		}
		world := xds.Translate(nil, out.Config)
		if len(world.Problems) > 0 {
			t.Errorf("the route was accepted, but proxies would refuse it: %v", world.Problems)
		}
		for view, snapshot := range world.Snapshots {
			if problems := xds.Check(snapshot); len(problems) > 0 {
				t.Errorf("view %s: %v", view, problems)
			}
		}
	})
}

func readRoutes(f *testing.F, content []byte) [][]byte {
	f.Helper()
	var routes [][]byte
	for _, route := range parseObjects(f, "seed", content).HTTPRoutes {
		spec, err := yaml.Marshal(route.Spec)
		if err != nil {
			f.Fatal(err)
		}
		routes = append(routes, spec)
	}
	return routes
}
