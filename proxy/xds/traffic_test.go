package xds_test

import (
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// TestBadTraffic shows that a condition that proxies would reject costs nobody his
// route: the Service's other requests, and other hosts, are served, and no more users
// get the canary than should.
func TestBadTraffic(t *testing.T) {
	bad := []ir.RequestMatch{{Headers: []ir.ValueMatch{{Name: "x-team", Comparison: ir.Regex, Value: "(["}}}}
	cases := map[string]struct {
		reason  string
		traffic ir.Traffic
		canary  uint32
	}{
		"Match":    {"the weights are as they were", ir.Traffic{Match: bad}, 40},
		"Audience": {"nobody is meant by it", ir.Traffic{Restricted: true, Audience: bad}, 0},
		"Break":    {"a line break in a cookie", ir.Traffic{Match: []ir.RequestMatch{{Cookies: []ir.ValueMatch{{Name: "a", Value: "1\n2"}}}}}, 40},
		"Query":    {"a query without a name", ir.Traffic{Match: []ir.RequestMatch{{QueryParams: []ir.ValueMatch{{Value: "1"}}}}}, 40},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.traffic.Stable, tc.traffic.Canary = "s", "x"
			key := ir.ServiceKey{Namespace: "shop", Name: "b"}
			endpoints := []ir.Endpoint{{IP: "10.0.0.1", Port: 80}}
			config := ir.Config{
				Services: []ir.Service{{ServiceKey: key, PerRevision: true, Total: 100, Ports: []ir.Port{{
					Number: 80, Protocol: ir.HTTP1, Traffic: &tc.traffic,
					Revisions: []ir.Revision{{Name: "s", Weight: 60, Endpoints: endpoints}, {Name: "x", Weight: 40, Endpoints: endpoints}},
				}}}},
				Gateways: []ir.Gateway{{Namespace: "g", Name: "g", Listeners: []ir.Listener{{
					Name: "http", Port: 80, BindPort: 80, VirtualHosts: []ir.VirtualHost{{Domain: "*", Routes: []ir.Route{{
						Origin: "o", Match: ir.Match{Path: ir.PathMatch{Value: "/"}},
						Backends: []ir.Backend{{Service: key, Port: 80, Weight: 1}},
					}}}},
				}}}},
			}
			world := xds.Translate(nil, config)
			if len(world.Problems) != 1 || world.Problems[0].Resource != "shop/b:80" {
				t.Errorf("%s: problems are %v", tc.reason, world.Problems)
			}
			for view, snapshot := range world.Snapshots {
				if problems := xds.Check(snapshot); len(problems) > 0 {
					t.Errorf("%s: proxies would reject %v", view, problems)
				}
				for name, r := range snapshot.Routes {
					routes := &routev3.RouteConfiguration{}
					if err := r.Body.UnmarshalTo(routes); err != nil {
						t.Fatal(err)
					}
					host := routes.GetVirtualHosts()[0]
					clusters := host.GetRoutes()[0].GetRoute().GetWeightedClusters().GetClusters()
					for _, c := range clusters {
						if strings.HasSuffix(c.GetName(), "|x") && c.GetWeight().GetValue() != tc.canary {
							t.Errorf("%s: in %s the canary has %d, want %d", tc.reason, name, c.GetWeight().GetValue(), tc.canary)
						}
					}
					if len(host.GetRoutes()) != 1 || r.Splits[0].Weights["x"] != tc.canary {
						t.Errorf("%s: %s has %d routes, and its split is %v", tc.reason, name, len(host.GetRoutes()), r.Splits)
					}
				}
			}
			if again := xds.Translate(world, config); len(again.Problems) != 1 {
				t.Errorf("%s: once more, the problems are %v", tc.reason, again.Problems)
			}
		})
	}
}
