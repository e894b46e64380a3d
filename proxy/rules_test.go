package proxy

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// TestPrecedence lists candidates from the first that is tried to the last, and puts
// them in order from any other order.
func TestPrecedence(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	header := ir.HeaderMatch{Name: "x", Value: "y"}
	match := func(path string, exact bool, method string, headers ...ir.HeaderMatch) ir.Route {
		return ir.Route{Match: ir.Match{Path: ir.PathMatch{Exact: exact, Value: path}, Method: method, Headers: headers}}
	}
	want := []candidate{
		{name: "exact before any prefix", route: match("/a", true, ""), created: late},
		{name: "longer prefix first", route: match("/aa/b", false, ""), created: late},
		{name: "method before headers", route: match("/a", false, "GET"), created: late},
		{name: "more headers first", route: match("/a", false, "", header, header), created: late},
		{name: "fewer headers", route: match("/a", false, "", header), created: late},
		{name: "z older route first", namespace: "z", route: match("/a", false, ""), created: early},
		{name: "b", namespace: "a", route: match("/a", false, ""), created: late},
		{name: "a", namespace: "b", route: match("/a", false, ""), created: late},
		{name: "b", namespace: "b", route: match("/a", false, ""), created: late},
		{name: "b", namespace: "b", match: 1, route: match("/a", false, ""), created: late},
		{name: "b", namespace: "b", rule: 1, route: match("/a", false, ""), created: late},
		{name: "a", route: match("/", false, "GET", header), created: early},
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		got := slices.Clone(want)
		random.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		slices.SortFunc(got, precedes)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(candidate{})); diff != "" {
			t.Fatalf("order (-want +got):\n%s", diff)
		}
	}
}

func TestMatchOf(t *testing.T) {
	exact, prefix, method := gatewayv1.PathMatchExact, gatewayv1.PathMatchPathPrefix, gatewayv1.HTTPMethodGet
	path := func(kind *gatewayv1.PathMatchType, value string) gatewayv1.HTTPRouteMatch {
		return gatewayv1.HTTPRouteMatch{Path: &gatewayv1.HTTPPathMatch{Type: kind, Value: &value}}
	}
	cases := map[string]struct {
		reason string
		match  gatewayv1.HTTPRouteMatch
		want   ir.Match
	}{
		"Empty":       {"no match is every path", gatewayv1.HTTPRouteMatch{}, ir.Match{Path: ir.PathMatch{Value: "/"}}},
		"Root":        {"the root stays the root", path(&prefix, "/"), ir.Match{Path: ir.PathMatch{Value: "/"}}},
		"Default":     {"without a type it is a prefix, of whole segments", path(nil, "/a/"), ir.Match{Path: ir.PathMatch{Value: "/a"}}},
		"Prefix":      {"a prefix", path(&prefix, "/a/b"), ir.Match{Path: ir.PathMatch{Value: "/a/b"}}},
		"Exact":       {"an exact path keeps its slash", path(&exact, "/a/"), ir.Match{Path: ir.PathMatch{Exact: true, Value: "/a/"}}},
		"ExactRoot":   {"the very root", path(&exact, "/"), ir.Match{Path: ir.PathMatch{Exact: true, Value: "/"}}},
		"EmptyPrefix": {"an empty path is every path", path(&prefix, ""), ir.Match{Path: ir.PathMatch{Value: "/"}}},
		"Method":      {"a method", gatewayv1.HTTPRouteMatch{Method: &method}, ir.Match{Path: ir.PathMatch{Value: "/"}, Method: "GET"}},
		"Headers": {
			"names have no case, and the first of a name counts",
			gatewayv1.HTTPRouteMatch{Headers: []gatewayv1.HTTPHeaderMatch{{Name: "X-A", Value: "1"}, {Name: "x-a", Value: "2"}, {Name: "b", Value: "3"}}},
			ir.Match{Path: ir.PathMatch{Value: "/"}, Headers: []ir.HeaderMatch{{Name: "x-a", Value: "1"}, {Name: "b", Value: "3"}}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, matchOf(tc.match)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// TestBackendWeights has weights that the API server would refuse: sums must not
// overflow if they come all the same.
func TestBackendWeights(t *testing.T) {
	key := types.NamespacedName{Namespace: "ns", Name: "a"}
	service := &corev1.Service{Spec: corev1.ServiceSpec{Selector: map[string]string{"a": "b"}, Ports: []corev1.ServicePort{{Port: 80}}}}
	b := backends{services: map[types.NamespacedName]*corev1.Service{key: service}}
	port, huge, negative := gatewayv1.PortNumber(80), int32(2147483647), int32(-1)
	ref := func(name string, weight *int32) gatewayv1.HTTPBackendRef {
		return gatewayv1.HTTPBackendRef{BackendRef: gatewayv1.BackendRef{
			BackendObjectReference: gatewayv1.BackendObjectReference{Name: gatewayv1.ObjectName(name), Port: &port}, Weight: weight,
		}}
	}
	got, _ := b.resolve("ns", 0, []gatewayv1.HTTPBackendRef{
		ref("a", &huge), ref("a", &huge), ref("a", &huge), ref("a", &negative), ref("a", nil), ref("gone", &huge), ref("gone", &huge), ref("gone", &huge),
	})
	want := ir.Route{
		Backends: []ir.Backend{{Service: ir.ServiceKey{Namespace: "ns", Name: "a"}, Port: 80, Weight: 3_000_001}},
		Invalid:  3_000_000,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("route (-want +got):\n%s", diff)
	}
}
