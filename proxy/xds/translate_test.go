package xds_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// TestTranslateTakesOver changes one thing at a time and says which resources, of
// which kind, are made anew: everything else must be the same by pointer.
func TestTranslateTakesOver(t *testing.T) {
	const table, payments = "gateway/ns/gw/http", "out|ns/payments|80|"
	cases := map[string]struct {
		reason string
		change func(*ir.Config)
		want   []string
	}{
		"Nothing": {"equal configurations give the same snapshots", func(*ir.Config) {}, nil},
		"Weight": {
			"a weight changes routes, and never a cluster or a listener",
			func(c *ir.Config) {
				c.Services[1].Ports[0].Revisions[0].Weight, c.Services[1].Ports[0].Revisions[1].Weight = 30, 70
			},
			[]string{"routes " + table, "routes ns/payments:80"},
		},
		"Pod": {
			"a pod that came changes the endpoints of its revision and nothing else",
			func(c *ir.Config) {
				c.Services[1].Ports[0].Revisions[0].Endpoints = []ir.Endpoint{{IP: "10.0.0.9", Port: 80}}
			},
			[]string{"endpoints " + payments + "canary"},
		},
		"Canary": {
			"a canary that comes leaves the cluster of stable alone",
			func(c *ir.Config) {
				c.Services[1].Ports[0].Revisions = append(c.Services[1].Ports[0].Revisions, ir.Revision{Name: "third"})
			},
			[]string{
				"clusters " + payments + "third", "endpoints " + payments + "third", "routes " + table, "routes ns/payments:80",
			},
		},
		"Protocol": {
			"endpoints are sent again with their cluster: Envoy waits for them",
			func(c *ir.Config) { c.Services[1].Ports[0].Protocol = ir.HTTP2 },
			[]string{
				"clusters " + payments + "canary", "clusters " + payments + "stable",
				"endpoints " + payments + "canary", "endpoints " + payments + "stable",
			},
		},
		"Route": {
			"a route changes its table, and no listener",
			func(c *ir.Config) {
				c.Gateways[0].Listeners[0].VirtualHosts[0].Routes[0].Match.Path = ir.PathMatch{Value: "/pay"}
			},
			[]string{"routes " + table},
		},
		"Header": {
			"so does a header that is matched",
			func(c *ir.Config) {
				c.Gateways[0].Listeners[0].VirtualHosts[0].Routes[0].Match.Headers = []ir.HeaderMatch{{Name: "x", Value: "y"}}
			},
			[]string{"routes " + table},
		},
		"OtherService": {
			"a Service that the gateway does not route to is nothing to it",
			func(c *ir.Config) { c.Services[0].Ports[0].Revisions[0].Endpoints = nil },
			[]string{"endpoints out|ns/other|80|-"},
		},
		"BindPort": {
			"a listener changes only with what it binds",
			func(c *ir.Config) { c.Gateways[0].Listeners[0].BindPort = 10081 },
			[]string{"listeners " + table},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before := xds.Translate(nil, config())
			next := config()
			tc.change(&next)
			after := xds.Translate(before, next)
			if diff := cmp.Diff(tc.want, madeAnew(before, after)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if tc.want == nil && before.Snapshots[xds.MeshView] != after.Snapshots[xds.MeshView] {
				t.Error("the mesh's snapshot is another one")
			}
			if len(after.Problems) > 0 {
				t.Errorf("problems: %v", after.Problems)
			}
		})
	}
}

func TestTranslateFollowsServicesThatComeAndGo(t *testing.T) {
	view := xds.GatewayView("ns", "gw")
	without := config()
	without.Services = without.Services[:1]
	gone := xds.Translate(xds.Translate(nil, config()), without)
	if got := len(gone.Snapshots[view].Clusters); got != 0 {
		t.Errorf("the gateway still has %d clusters of a Service that is gone", got)
	}
	if got := routesOf(t, gone, view)[0].GetDirectResponse().GetStatus(); got != 500 {
		t.Errorf("a route without its Service is answered with %d, want 500", got)
	}
	if got := len(gone.Snapshots[xds.MeshView].Clusters); got != 1 {
		t.Errorf("the mesh has %d clusters, want the one of the Service that is left", got)
	}
	back := xds.Translate(gone, config())
	if diff := cmp.Diff([]string{"out|ns/payments|80|canary", "out|ns/payments|80|stable"}, back.Snapshots[view].Routes["gateway/ns/gw/http"].References); diff != "" {
		t.Errorf("the Service came back, its clusters did not (-want +got):\n%s", diff)
	}
}

// TestTranslateKeepsTheLastGoodHost gives a host a regex that proxies refuse: the
// others go on, and it keeps its last good state, with today's weights.
func TestTranslateKeepsTheLastGoodHost(t *testing.T) {
	view := xds.GatewayView("ns", "gw")
	good := config()
	good.Gateways[0].Listeners[0].VirtualHosts = append(good.Gateways[0].Listeners[0].VirtualHosts,
		ir.VirtualHost{Domain: "b.example.com", Routes: []ir.Route{{Origin: "ns/b/0", Match: ir.Match{Path: ir.PathMatch{Value: "/"}}}}})
	bad := config()
	bad.Services[1].Ports[0].Revisions[0].Weight, bad.Services[1].Ports[0].Revisions[1].Weight = 40, 60
	host := &bad.Gateways[0].Listeners[0].VirtualHosts[0]
	host.Routes[0].Match.Headers = []ir.HeaderMatch{{Name: "x", Regex: true, Value: "(["}}
	bad.Gateways[0].Listeners[0].VirtualHosts = append(bad.Gateways[0].Listeners[0].VirtualHosts,
		ir.VirtualHost{Domain: "A.example.com"}, good.Gateways[0].Listeners[0].VirtualHosts[1])

	world := xds.Translate(xds.Translate(nil, good), bad)
	if len(world.Problems) != 2 {
		t.Errorf("want a problem for the regex and one for the domain that is there twice, got %v", world.Problems)
	}
	routes := routesOf(t, world, view)
	if len(routes) != 2 {
		t.Fatalf("want the routes of both hosts, got %v", routes)
	}
	weights := routes[0].GetRoute().GetWeightedClusters().GetClusters()
	if len(routes[0].GetMatch().GetHeaders()) != 0 || weights[0].GetWeight().GetValue() != 40 {
		t.Errorf("want the last good route with weight 40, got %v", routes[0])
	}
	if problems := xds.Check(world.Snapshots[view]); len(problems) > 0 {
		t.Errorf("a problem was published: %v", problems)
	}
	fresh := xds.Translate(nil, bad)
	if got := routesOf(t, fresh, view); len(got) != 1 || got[0].GetName() != "ns/b/0" {
		t.Errorf("a bad host that was never good must be left out alone, got %v", got)
	}
	healed := xds.Translate(world, good)
	if len(healed.Problems) > 0 || len(routesOf(t, healed, view)) != 2 {
		t.Errorf("a host that is good again is not served: %v", healed.Problems)
	}
}

// TestTranslateListsNoSplitWithoutRequests has a backend of weight 0 beside another:
// its weights leave no trace in the routes, so no proxy could confirm them.
func TestTranslateListsNoSplitWithoutRequests(t *testing.T) {
	c := config()
	route := &c.Gateways[0].Listeners[0].VirtualHosts[0].Routes[0]
	route.Backends[0].Weight = 0
	route.Backends = append([]ir.Backend{{Service: c.Services[0].ServiceKey, Port: 80, Weight: 1}}, route.Backends...)
	routes := xds.Translate(nil, c).Snapshots[xds.GatewayView("ns", "gw")].Routes["gateway/ns/gw/http"]
	want := []xds.Split{{Service: "ns/other", Port: 80, Weights: map[string]uint32{ir.Whole: 1}, Total: 1}}
	if diff := cmp.Diff(want, routes.Splits); diff != "" {
		t.Errorf("splits (-want +got):\n%s", diff)
	}
	if len(routes.References) != 3 {
		t.Errorf("the clusters of weight 0 are named, too: want 3, got %v", routes.References)
	}
}

// BenchmarkTranslate is the cost of one changed weight among many Services.
func BenchmarkTranslate(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			world := xds.Translate(nil, many(n, 0))
			configs := []ir.Config{many(n, 1), many(n, 2)}
			for i := 0; b.Loop(); i++ {
				world = xds.Translate(world, configs[i%2])
			}
		})
	}
}

func many(n int, weight uint32) ir.Config {
	var c ir.Config
	for i := range n {
		s := service(fmt.Sprintf("s%06d", i))
		if i == n/2 {
			s.Ports[0].Revisions[0].Weight, s.Ports[0].Revisions[1].Weight = weight, 100-weight
		}
		c.Services = append(c.Services, s)
	}
	return c
}

// config is a Service half way through a delivery behind a gateway, and another one.
func config() ir.Config {
	other := ir.Service{
		ServiceKey: ir.ServiceKey{Namespace: "ns", Name: "other"}, Total: 1,
		Ports: []ir.Port{{Number: 80, Protocol: ir.HTTP1, Revisions: []ir.Revision{
			{Name: ir.Whole, Weight: 1, Endpoints: []ir.Endpoint{{IP: "10.0.1.1", Port: 80}}},
		}}},
	}
	payments := service("payments")
	return ir.Config{
		Services: []ir.Service{other, payments},
		Gateways: []ir.Gateway{{Namespace: "ns", Name: "gw", Listeners: []ir.Listener{{
			Name: "http", Port: 80, BindPort: 10080,
			VirtualHosts: []ir.VirtualHost{{Domain: "a.example.com", Routes: []ir.Route{{
				Origin:   "ns/a/0",
				Match:    ir.Match{Path: ir.PathMatch{Value: "/"}},
				Backends: []ir.Backend{{Service: payments.ServiceKey, Port: 80, Weight: 1}},
			}}}},
		}}}},
	}
}

func service(name string) ir.Service {
	return ir.Service{
		ServiceKey: ir.ServiceKey{Namespace: "ns", Name: name}, PerRevision: true, Total: 100,
		Ports: []ir.Port{{Number: 80, Protocol: ir.HTTP1, Revisions: []ir.Revision{
			{Name: "canary", Weight: 25, Endpoints: []ir.Endpoint{{IP: "10.0.0.2", Port: 80}}},
			{Name: "stable", Weight: 75, Endpoints: []ir.Endpoint{{IP: "10.0.0.1", Port: 80}}},
		}}},
	}
}

func routesOf(t *testing.T, world *xds.World, view string) []*routev3.Route {
	t.Helper()
	table := &routev3.RouteConfiguration{}
	if err := world.Snapshots[view].Routes["gateway/ns/gw/http"].Body.UnmarshalTo(table); err != nil {
		t.Fatal(err)
	}
	var routes []*routev3.Route
	for _, host := range table.GetVirtualHosts() {
		routes = append(routes, host.GetRoutes()...)
	}
	return routes
}

// madeAnew are the resources of a world that another one does not have by pointer,
// and which differ; one that is equal but was made anew is "(in vain)".
func madeAnew(before, after *xds.World) []string {
	made := map[string]bool{}
	for view, s := range after.Snapshots {
		was := before.Snapshots[view]
		for kind, lists := range map[string][2]map[string]*xds.Resource{
			"clusters": {was.Clusters, s.Clusters}, "endpoints": {was.Endpoints, s.Endpoints},
			"listeners": {was.Listeners, s.Listeners}, "routes": {was.Routes, s.Routes},
		} {
			for name, r := range lists[1] {
				if old := lists[0][name]; old != r {
					vain := ""
					if old != nil && old.Version == r.Version {
						vain = " (in vain)"
					}
					made[strings.Join([]string{kind, name}, " ")+vain] = true
				}
			}
		}
	}
	var list []string
	for name := range made {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
