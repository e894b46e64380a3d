package xds_test

import (
	"maps"
	"slices"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// meshed is a mesh of two namespaces with a Service in each, one of which is headless.
func meshed() ir.Config {
	return ir.Config{
		TrustDomain: "cluster.local",
		Services: []ir.Service{
			{
				ServiceKey: ir.ServiceKey{Namespace: "db", Name: "sql"}, Total: 1, Headless: true,
				Ports: []ir.Port{{
					Number: 5432, Protocol: ir.TCP, Revisions: []ir.Revision{{Name: ir.Whole, Weight: 1}},
					Pods: []ir.Endpoint{{IP: "10.0.1.1", Port: 5432, Meshed: true}, {IP: "10.0.1.2", Port: 5432}},
				}},
			},
			{
				ServiceKey: ir.ServiceKey{Namespace: "shop", Name: "web"}, PerRevision: true, Total: 100, ClusterIPs: []string{"10.96.0.1"},
				Ports: []ir.Port{{Number: 80, Protocol: ir.Undeclared, Revisions: []ir.Revision{
					{Name: "canary", Weight: 25, Endpoints: []ir.Endpoint{{IP: "10.0.0.2", Port: 8080, Meshed: true}}},
					{Name: "stable", Weight: 75, Endpoints: []ir.Endpoint{{IP: "10.0.0.1", Port: 8080}}},
				}}},
			},
		},
		Sidecars: []ir.Sidecar{
			{Namespace: "db", Inbound: ir.Inbound{MTLS: ir.Permissive}},
			{Namespace: "shop", Inbound: ir.Inbound{MTLS: ir.Permissive}},
		},
	}
}

var (
	dbView   = xds.SidecarView("db", "")
	shopView = xds.SidecarView("shop", "")
)

// TestSidecarsTakeOver changes one thing at a time and says which resources of a
// sidecar are others: nothing else may be sent.
func TestSidecarsTakeOver(t *testing.T) {
	const web, sql = "out|shop/web|80", "out|db/sql|5432|10.0.1."
	cases := map[string]struct {
		reason string
		change func(*ir.Config)
		want   []string
	}{
		"Nothing": {"equal configurations give the same snapshots", func(*ir.Config) {}, nil},
		"Weight": {
			"a weight changes routes, and endpoints where there are no requests, but no listener and no cluster",
			func(c *ir.Config) {
				c.Services[1].Ports[0].Revisions[0].Weight, c.Services[1].Ports[0].Revisions[1].Weight = 30, 70
			},
			[]string{"endpoints " + web + "|-tcp", "routes shop/web:80"},
		},
		"WeightOfNobody": {
			"a proxy that has acked the endpoints has acked the weights, also where there are no pods",
			func(c *ir.Config) {
				c.Services[1].Ports[0].Revisions[0] = ir.Revision{Name: "canary"}
				c.Services[1].Ports[0].Revisions[1] = ir.Revision{Name: "stable", Weight: 100}
			},
			[]string{"endpoints " + web + "|-tcp", "endpoints " + web + "|canary", "endpoints " + web + "|stable", "routes shop/web:80"},
		},
		"Meshed": {
			"a pod that was made anew with a sidecar changes endpoints and nothing else",
			func(c *ir.Config) { c.Services[1].Ports[0].Revisions[1].Endpoints[0].Meshed = true },
			[]string{"endpoints " + web + "|-tcp", "endpoints " + web + "|stable"},
		},
		"HeadlessPod": {
			"each pod of a headless Service has a listener of its own",
			func(c *ir.Config) { c.Services[0].Ports[0].Pods[1].Meshed = true },
			[]string{"listeners " + sql + "2:5432"},
		},
		"Strict": {
			"how connections are taken is one listener's",
			func(c *ir.Config) { c.Sidecars[1].Inbound.MTLS = ir.Strict },
			[]string{"listeners inbound"},
		},
		"Block": {
			"so is what happens to connections to what is not known",
			func(c *ir.Config) { c.Sidecars[1].Egress.Block = true },
			[]string{"listeners outbound"},
		},
		"Narrow": {
			"a namespace that is not seen is gone with all that is in it",
			func(c *ir.Config) { c.Sidecars[1].Egress.Namespaces = []string{"shop"} },
			[]string{"clusters direct|db/sql|5432", "listeners " + sql + "1:5432"},
		},
		"SecondAddress": {
			"an address that a Service gets is its listener's",
			func(c *ir.Config) { c.Services[1].ClusterIPs = []string{"10.96.0.1", "fd00::1"} },
			[]string{"listeners " + web},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before := xds.Translate(nil, meshed())
			next := meshed()
			tc.change(&next)
			after := xds.Translate(before, next)
			if diff := cmp.Diff(tc.want, others(before.Snapshots[shopView], after.Snapshots[shopView])); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if tc.want == nil && before.Snapshots[shopView] != after.Snapshots[shopView] {
				t.Error("the snapshot is another one")
			}
			if problems := xds.Check(after.Snapshots[shopView]); len(problems)+len(after.Problems) > 0 {
				t.Errorf("problems: %v %v", problems, after.Problems)
			}
		})
	}
}

// TestTelemetryTakesOver changes what one namespace's sidecars tell. A listener that
// changes ends connections.
func TestTelemetryTakesOver(t *testing.T) {
	const web, sql = "listeners out|shop/web|80", "listeners out|db/sql|5432|10.0.1.1:5432"
	traced := ir.Telemetry{TracingPercent: 5}
	cases := map[string]struct {
		reason     string
		collector  ir.Collector
		from, to   ir.Telemetry
		want       []string
		collecting bool
	}{
		"Log": {
			reason: "every connection may be logged, in both directions",
			to:     ir.Telemetry{AccessLog: true}, want: []string{"listeners inbound", web, sql, "listeners outbound"},
		},
		"Tracing": {
			reason:    "requests have spans, and connections in which none are told apart have not",
			collector: ir.Collector{Host: "c", Port: 1}, to: traced, collecting: true,
			want: []string{"clusters collector", "listeners inbound", web, "routes inbound"},
		},
		"Share": {
			reason:    "requests to the pod are sampled by routes",
			collector: ir.Collector{Host: "c", Port: 1}, from: traced, to: ir.Telemetry{TracingPercent: 6}, collecting: true,
			want: []string{web, "routes inbound"},
		},
		"Off": {
			collector: ir.Collector{Host: "c", Port: 1}, from: traced,
			want: []string{"clusters collector", "listeners inbound", web, "routes inbound"},
		},
		"NoCollector": {reason: "nobody takes spans", to: traced},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			first, next := meshed(), meshed()
			first.Collector, next.Collector = tc.collector, tc.collector
			first.Sidecars[1].Telemetry, next.Sidecars[1].Telemetry = tc.from, tc.to
			before := xds.Translate(nil, first)
			after := xds.Translate(before, next)
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, others(before.Snapshots[shopView], after.Snapshots[shopView])); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if diff := others(before.Snapshots[dbView], after.Snapshots[dbView]); diff != nil {
				t.Errorf("the sidecars of a namespace that nobody asked get others: %v", diff)
			}
			if _, has := after.Snapshots[shopView].Clusters[xds.CollectorName]; has != tc.collecting {
				t.Errorf("there is a collector: %v", has)
			}
			if problems := xds.Check(after.Snapshots[shopView]); len(problems)+len(after.Problems) > 0 {
				t.Errorf("problems: %v %v", problems, after.Problems)
			}
			for key, version := range contents(xds.Translate(nil, next)) {
				if got := contents(after)[key]; got != version {
					t.Errorf("%s depends on what was before", key)
				}
			}
		})
	}
}

// others are the resources whose versions differ between two snapshots.
func others(before, after *xds.Snapshot) []string {
	var names []string
	for kind, pair := range map[string][2]map[string]*xds.Resource{
		"clusters": {before.Clusters, after.Clusters}, "endpoints": {before.Endpoints, after.Endpoints},
		"listeners": {before.Listeners, after.Listeners}, "routes": {before.Routes, after.Routes},
	} {
		all := maps.Clone(pair[0])
		maps.Copy(all, pair[1])
		for name := range all {
			if was, is := pair[0][name], pair[1][name]; was == nil || is == nil || was.Version != is.Version {
				names = append(names, kind+" "+name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func TestSidecarsShareASnapshot(t *testing.T) {
	world := xds.Translate(nil, meshed())
	if world.Snapshots[dbView] != world.Snapshots[shopView] {
		t.Error("the sidecars of two namespaces do the same, and have two snapshots")
	}
	strict := meshed()
	strict.Sidecars[0].Inbound.MTLS = ir.Strict
	world = xds.Translate(world, strict)
	if world.Snapshots[dbView] == world.Snapshots[shopView] {
		t.Error("strict is for one namespace")
	}
	world = xds.Translate(world, meshed())
	if world.Snapshots[dbView] != world.Snapshots[shopView] {
		t.Error("they do the same again, and have two snapshots")
	}
}

// TestWhoEncrypts shows who encrypts the connections to a Service, and that gRPC
// clients, which refuse a cluster that says how, are not told.
func TestWhoEncrypts(t *testing.T) {
	world := xds.Translate(nil, meshed())
	for view, want := range map[string]int{shopView: 1, xds.MeshView: 0} {
		cluster := &clusterv3.Cluster{}
		snapshot := world.Snapshots[view]
		if err := snapshot.Clusters["out|shop/web|80|canary"].Body.UnmarshalTo(cluster); err != nil {
			t.Fatal(err)
		}
		if got := len(cluster.GetTransportSocketMatches()); got != want || cluster.GetTransportSocket() != nil {
			t.Errorf("view %s: %d ways to encrypt, want %d, and none for everybody", view, got, want)
		}
	}
	off := meshed()
	off.TrustDomain = ""
	world = xds.Translate(world, off)
	if len(world.Snapshots) != 1 {
		t.Errorf("without a trust domain there are no sidecars, but %d views", len(world.Snapshots))
	}
}

// TestStrictTakesNoCleartext reads the chains of both modes: each that is not
// encrypted by the mesh must lead nowhere when the mode is strict.
func TestStrictTakesNoCleartext(t *testing.T) {
	for mode, want := range map[ir.MTLSMode]int{ir.Permissive: 4, ir.Strict: 0} {
		c := meshed()
		c.Sidecars[1].Inbound.MTLS = mode
		listener := &listenerv3.Listener{}
		if err := xds.Translate(nil, c).Snapshots[shopView].Listeners[xds.InboundName].Body.UnmarshalTo(listener); err != nil {
			t.Fatal(err)
		}
		open := 0
		for _, chain := range append(listener.GetFilterChains(), listener.GetDefaultFilterChain()) {
			if chain != nil && chain.GetTransportSocket() == nil && chain.GetFilterChainMatch().GetDestinationPort() == nil {
				open++
			}
		}
		if open != want {
			t.Errorf("%s: %d chains take what is not encrypted by the mesh, want %d", mode, open, want)
		}
	}
}

// TestOneListenerForAnAddress lets two headless Services select the same pod: a proxy
// refuses a second listener for an address.
func TestOneListenerForAnAddress(t *testing.T) {
	c := meshed()
	second := c.Services[0]
	second.Name = "sql-metrics"
	c.Services = slices.Insert(c.Services, 1, second)
	listeners := xds.Translate(nil, c).Snapshots[shopView].Listeners
	if listeners["out|db/sql|5432|10.0.1.1:5432"] == nil || listeners["out|db/sql-metrics|5432|10.0.1.1:5432"] != nil {
		t.Errorf("listeners %v, want that of the first Service alone", slices.Sorted(maps.Keys(listeners)))
	}
}

// TestTheFirstOfItsKind lets the first sidecar, and the first gRPC client, come late:
// nothing was made for them before, and then they get all that they would have got.
func TestTheFirstOfItsKind(t *testing.T) {
	bare, moved := meshed(), meshed()
	bare.Sidecars = nil
	moved.Services[1].Ports[0].Revisions[1].Endpoints[0].IP = "10.0.0.3"
	moved.Services[1].Ports[0].Revisions[0].Weight, moved.Services[1].Ports[0].Revisions[1].Weight = 30, 70
	both := xds.Options{}
	steps := []struct {
		name    string
		options xds.Options
		config  ir.Config
		grpc    bool
	}{
		{"nobody", xds.Options{WithoutGRPC: true}, bare, false},
		{"sidecars", xds.Options{WithoutGRPC: true}, meshed(), false},
		{"gRPC clients as well", both, meshed(), true},
		{"another pod and weight", both, moved, true},
		{"no sidecars any more", both, bare, true},
		{"sidecars again", both, meshed(), true},
	}
	var world *xds.World
	for _, step := range steps {
		world = step.options.Translate(world, step.config)
		if _, has := world.Snapshots[xds.MeshView]; has != step.grpc {
			t.Errorf("%s: there is a view for gRPC clients: %v", step.name, has)
		}
		if diff := cmp.Diff(contents(step.options.Translate(nil, step.config)), contents(world)); diff != "" {
			t.Errorf("%s: it depends on what was before (-from nothing +after that)\n%s", step.name, diff)
		}
		if len(world.Problems) > 0 {
			t.Errorf("%s: %v", step.name, world.Problems)
		}
		if again := step.options.Translate(world, step.config); len(madeAnew(world, again)) > 0 {
			t.Errorf("%s: the same again makes %v", step.name, madeAnew(world, again))
		}
	}
}
