package server

import (
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
)

// want is a state-of-the-world request; it also acks the newest response of the type, as every such request does.
func want(k kind, names ...string) action {
	return func(s *script) {
		s.stream.sotwRequest(k, &discoveryv3.DiscoveryRequest{ResourceNames: names, ResponseNonce: s.newest[k]}, time.Time{})
	}
}

// wantAgain is the first request of a proxy that was here before.
func wantAgain(k kind, names ...string) action {
	return func(s *script) {
		s.stream.sotwRequest(k, &discoveryv3.DiscoveryRequest{ResourceNames: names, VersionInfo: "old"}, time.Time{})
	}
}

func refuse(k kind, names ...string) action {
	return func(s *script) {
		s.stream.sotwRequest(k, &discoveryv3.DiscoveryRequest{
			ResourceNames: names, ResponseNonce: s.newest[k], ErrorDetail: &statuspb.Status{Message: "no"},
		}, time.Time{})
	}
}

func TestSotW(t *testing.T) {
	two := "CDS a@1 b@1; EDS a@1 b@1; LDS l@1>r; RDS r@2>a,b"
	cases := map[string]struct {
		reason string
		world  string
		lines  []line
	}{
		"Wildcard": {
			reason: "An Envoy gets all clusters, and a route only after its clusters.",
			world:  one,
			lines: []line{
				{want(clusters), []string{"CDS =a@1"}},
				{want(endpoints, "a"), []string{"EDS =a@1"}},
				{want(endpoints, "a"), nil},
				{want(listeners), []string{"LDS =l@1"}},
				{want(routes, "r"), nil},
				{want(clusters), []string{"RDS =r@1"}},
				{want(routes, "r"), nil},
				{publish(two), []string{"CDS =a@1 =b@1"}},
				{want(endpoints, "a", "b"), []string{"EDS =a@1 =b@1"}},
				{want(endpoints, "a", "b"), nil},
				{want(clusters), []string{"RDS =r@2"}},
				{want(routes, "r"), nil},
				{publish("CDS b@1; EDS b@1; LDS l@1>r; RDS r@3>b"), []string{"RDS =r@3"}},
				{want(routes, "r"), []string{"CDS =b@1"}},
			},
		},
		"GRPC": {
			reason: "A gRPC client asks for clusters when it has seen them in a route, and keeps them until it lets go.",
			world:  two,
			lines: []line{
				{want(listeners, "l"), []string{"LDS =l@1"}},
				{want(routes, "r"), []string{"RDS =r@2"}},
				{want(clusters, "a", "b"), []string{"CDS =a@1 =b@1"}},
				{want(endpoints, "a", "b"), []string{"EDS =a@1 =b@1"}},
				{want(routes, "r"), nil},
				{want(clusters, "a", "b"), nil},
				{want(endpoints, "a", "b"), nil},
				{publish("CDS b@1; EDS b@1; LDS l@1>r; RDS r@3>b"), []string{"RDS =r@3"}},
				{want(routes, "r"), nil},
				{want(clusters, "b"), nil},
			},
		},
		"RefusedSet": {
			reason: "A refused set does not come again; what else changes does, with the last good version of the culprit.",
			world:  one,
			lines: []line{
				{want(endpoints, "a"), []string{"EDS =a@1"}},
				{want(endpoints, "a"), nil},
				{publish("CDS a@1; EDS a@2; LDS l@1>r; RDS r@1>a"), []string{"EDS =a@2"}},
				{refuse(endpoints, "a"), nil},
				{want(endpoints, "a"), nil},
				{publish("CDS a@1; EDS a@3; LDS l@1>r; RDS r@1>a"), []string{"EDS =a@3"}},
			},
		},
		"NoSuchListener": {
			reason: "A gRPC client learns at once that there is no such listener.",
			world:  one,
			lines:  []line{{want(listeners, "x"), []string{"LDS"}}},
		},
		"ReconnectToNewerWorld": {
			reason: "A cluster that may be in use is not taken away by leaving it out before the new route is acked.",
			world:  "CDS b@1; EDS b@1; LDS l@1>r; RDS r@2>b",
			lines: []line{
				{wantAgain(clusters, "a"), nil},
				{wantAgain(listeners, "l"), []string{"LDS =l@1"}},
				{wantAgain(routes, "r"), []string{"RDS =r@2"}},
				{want(routes, "r"), []string{"CDS"}},
			},
		},
		"ReconnectWithOneClusterLeft": {
			reason: "Nor is it left out while another cluster is sent: what the server cannot name it cannot keep either, so it waits.",
			world:  "CDS b@1; EDS b@1; LDS l@1>r; RDS r@2>b",
			lines: []line{
				{wantAgain(clusters, "a", "b"), nil},
				{wantAgain(endpoints, "a", "b"), []string{"EDS =b@1"}},
				{want(endpoints, "a", "b"), nil},
				{wantAgain(listeners, "l"), []string{"LDS =l@1"}},
				{wantAgain(routes, "r"), []string{"RDS =r@2"}},
				{want(routes, "r"), []string{"CDS =b@1", "EDS =b@1"}},
			},
		},
		"StaleNonce": {
			reason: "Only the newest response can be acked, but the names of a late request count.",
			world:  two,
			lines: []line{
				{want(endpoints, "a"), []string{"EDS =a@1"}},
				{func(s *script) {
					s.stream.sotwRequest(endpoints, &discoveryv3.DiscoveryRequest{ResourceNames: []string{"a", "b"}, ResponseNonce: "x"}, time.Time{})
				}, nil},
				{want(endpoints, "a", "b"), []string{"EDS =a@1 =b@1"}},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(nil, parse(tc.world))
			s := &script{world: w, stream: newStream(w, true)}
			for i, l := range tc.lines {
				l.do(s)
				if d := cmp.Diff(l.sent, s.sent()); d != "" {
					t.Fatalf("%s\nline %d: -want +got\n%s", tc.reason, i, d)
				}
			}
		})
	}
}
