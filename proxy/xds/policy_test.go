package xds_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// TestPoliciesChangeWhatTheyAreAbout shows which resources another policy makes
// different: a listener that changes drains connections, a cluster makes them anew.
func TestPoliciesChangeWhatTheyAreAbout(t *testing.T) {
	const payments = "out|ns/payments|80|"
	outlier := &ir.Outlier{Consecutive5xx: 5, Interval: time.Second, BaseEjection: time.Second, MaxEjectionPercent: 50}
	cases := map[string]struct {
		reason         string
		before, change func(*ir.Config)
		want           []string
	}{
		"timeout": {
			reason: "routes only, so that no connection notices",
			change: func(c *ir.Config) { c.Services[1].Policy.Timeouts = &ir.Timeouts{Request: time.Second} },
			want:   []string{"routes gateway/ns/gw/http", "routes ns/payments:80"},
		},
		"timeout of bytes": {
			reason: "there are no requests to bound",
			before: func(c *ir.Config) { c.Services[1].Ports[0].Protocol = ir.TCP },
			change: func(c *ir.Config) {
				c.Services[1].Ports[0].Protocol = ir.TCP
				c.Services[1].Policy.Timeouts = &ir.Timeouts{Request: time.Second}
			},
			want: []string{"routes gateway/ns/gw/http", "routes ns/payments:80"},
		},
		"idle bytes": {
			reason: "it is the listener's, whose open connections are closed in a while",
			before: func(c *ir.Config) { c.Services[1].Ports[0].Protocol = ir.TCP },
			change: func(c *ir.Config) {
				c.Services[1].Ports[0].Protocol = ir.TCP
				c.Services[1].Policy.Timeouts = &ir.Timeouts{Idle: time.Second}
			},
			want: []string{"listeners out|ns/payments|80", "routes gateway/ns/gw/http", "routes ns/payments:80"},
		},
		"retries": {
			change: func(c *ir.Config) { c.Services[1].Policy.Retries = &ir.Retries{Attempts: 1, On: []string{"503"}} },
			want:   []string{"routes gateway/ns/gw/http", "routes ns/payments:80"},
		},
		"budget": {
			reason: "it is the cluster's, whose endpoints come with it; of a request it asks for the default",
			change: func(c *ir.Config) {
				c.Services[1].Policy.Retries = &ir.Retries{Attempts: 2, On: []string{"connect-failure", "refused-stream", "reset-before-request"}, BudgetPercent: 20}
			},
			want: []string{
				"clusters " + payments + "canary", "clusters " + payments + "stable",
				"endpoints " + payments + "canary", "endpoints " + payments + "stable",
			},
		},
		"another budget": {
			reason: "it is not of single requests",
			before: func(c *ir.Config) { c.Services[1].Policy.Retries = &ir.Retries{Attempts: 2, BudgetPercent: 20} },
			change: func(c *ir.Config) { c.Services[1].Policy.Retries = &ir.Retries{Attempts: 2, BudgetPercent: 30} },
			want: []string{
				"clusters " + payments + "canary", "clusters " + payments + "stable",
				"endpoints " + payments + "canary", "endpoints " + payments + "stable",
			},
		},
		"outlier": {
			reason: "the canary is left alone",
			before: func(c *ir.Config) { c.Services[1].Ports[0].Revisions[0].NoEjection = true },
			change: func(c *ir.Config) {
				c.Services[1].Ports[0].Revisions[0].NoEjection = true
				c.Services[1].Policy.Outlier = outlier
			},
			want: []string{"clusters " + payments + "stable", "endpoints " + payments + "stable"},
		},
		"promotion": {
			reason: "what was the canary is made anew, once; the other one is not touched",
			before: func(c *ir.Config) {
				c.Services[1].Policy.Outlier = outlier
				c.Services[1].Ports[0].Revisions[0].NoEjection = true
			},
			change: func(c *ir.Config) { c.Services[1].Policy.Outlier = outlier },
			want:   []string{"clusters " + payments + "canary", "endpoints " + payments + "canary"},
		},
		"weight under a policy": {
			reason: "routes only, with a policy as without",
			before: func(c *ir.Config) { c.Services[1].Policy.Outlier = outlier },
			change: func(c *ir.Config) {
				c.Services[1].Policy.Outlier = outlier
				c.Services[1].Ports[0].Revisions[0].Weight, c.Services[1].Ports[0].Revisions[1].Weight = 30, 70
			},
			want: []string{"routes gateway/ns/gw/http", "routes ns/payments:80"},
		},
		"nobody": {
			reason: "connections that are only bytes have no way in any more, and that is the listener's",
			change: func(c *ir.Config) { c.Sidecars[0].Inbound.Access = &ir.Access{Default: ir.Deny} },
			want:   []string{"listeners inbound", "routes inbound"},
		},
		"requests": {
			reason: "rules of requests are with the routes, so that no stream ends for them",
			before: func(c *ir.Config) { c.Sidecars[0].Inbound.Access = &ir.Access{Default: ir.Deny} },
			change: func(c *ir.Config) {
				c.Sidecars[0].Inbound.Access = &ir.Access{Default: ir.Deny, Allow: []ir.AccessRule{{Methods: []string{"GET"}}}}
			},
			want: []string{"routes inbound"},
		},
		"everybody": {
			reason: "nothing is forbidden, and nothing changes",
			change: func(c *ir.Config) { c.Sidecars[0].Inbound.Access = &ir.Access{Default: ir.Allow} },
		},
		"egress": {
			change: func(c *ir.Config) { c.Sidecars[0].Egress.Block = true },
			want:   []string{"listeners outbound"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			first, next := sidecars(), sidecars()
			if tc.before != nil {
				tc.before(&first)
			}
			tc.change(&next)
			before := xds.Translate(nil, first)
			after := xds.Translate(before, next)
			got := slices.DeleteFunc(madeAnew(before, after), func(s string) bool { return strings.HasSuffix(s, "(in vain)") })
			if diff := cmp.Diff(tc.want, got, cmp.Transformer("none", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(contents(xds.Translate(nil, next)), contents(after)); diff != "" {
				t.Errorf("what follows from a state is not what the state gives (-anew +following):\n%s", diff)
			}
		})
	}
}

// TestNoEjectionOfBytes shows a Service under a Rollout whose connections are only bytes:
// its one cluster has all revisions, and must never change while they come and go.
func TestNoEjectionOfBytes(t *testing.T) {
	c := sidecars()
	c.Services[1].Ports[0].Protocol = ir.TCP
	c.Services[1].Policy.Outlier = &ir.Outlier{Consecutive5xx: 5, Interval: time.Second, BaseEjection: time.Second, MaxEjectionPercent: 50}
	for name, perRevision := range map[string]bool{"under a Rollout": true, "without": false} {
		c.Services[1].PerRevision = perRevision
		cluster := &clusterv3.Cluster{}
		snapshot := xds.Translate(nil, c).Snapshots[xds.SidecarView("ns", "")]
		if err := snapshot.Clusters["out|ns/payments|80|-tcp"].Body.UnmarshalTo(cluster); err != nil {
			t.Fatal(err)
		}
		if got := cluster.GetOutlierDetection() == nil; got != perRevision {
			t.Errorf("%s: outlier detection is off: %v", name, got)
		}
	}
}

// sidecars is config with a sidecar.
func sidecars() ir.Config {
	c := config()
	c.TrustDomain = "cluster.local"
	c.Services[1].ClusterIPs = []string{"10.96.0.1"}
	c.Sidecars = []ir.Sidecar{{Namespace: "ns", Inbound: ir.Inbound{MTLS: ir.Permissive}}}
	return c
}

// contents are the versions of all resources.
func contents(w *xds.World) map[string]string {
	out := map[string]string{}
	for view, s := range w.Snapshots {
		for kind, byName := range map[string]map[string]*xds.Resource{
			"clusters": s.Clusters, "endpoints": s.Endpoints, "listeners": s.Listeners, "routes": s.Routes,
		} {
			for name, r := range byName {
				out[view+" "+kind+" "+name] = r.Version
			}
		}
	}
	return out
}

// TestPoliciesAreMarshalledAlike fails for a map that is marshalled in random order
// somewhere inside of a resource: every replica and every pass would drain connections.
func TestPoliciesAreMarshalledAlike(t *testing.T) {
	c := sidecars()
	in := &c.Sidecars[0].Inbound
	in.Access = &ir.Access{Default: ir.Deny}
	c.Collector = ir.Collector{Host: "collector", Port: 4317}
	c.Sidecars[0].Telemetry = ir.Telemetry{AccessLog: true, TracingPercent: 7}
	for port := range uint32(8) {
		in.Access.Allow = append(in.Access.Allow, ir.AccessRule{
			From: []ir.AccessSource{{Namespace: "web", ServiceAccounts: []string{"a", "b"}}}, Ports: []uint32{8000 + port},
		})
	}
	want := contents(xds.Translate(nil, c))
	for range 20 {
		if diff := cmp.Diff(want, contents(xds.Translate(nil, c))); diff != "" {
			t.Fatalf("the same configuration gives another one (-first +later):\n%s", diff)
		}
	}
}
