package server

import (
	"errors"
	"io"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

func TestRefusedStreams(t *testing.T) {
	limited := testOptions()
	limited.StreamsPerSecond = 1
	stopped := time.Unix(0, 0)
	limited.Now = func() time.Time { return stopped }
	cases := map[string]struct {
		reason  string
		options Options
		publish bool
		before  int
		node    string
		want    codes.Code
	}{
		"NothingPublished": {
			reason: "A proxy that gets an empty world drops all its traffic.", options: testOptions(), node: "p", want: codes.Unavailable,
		},
		"Stranger": {
			reason: "Who has no view is told so.", options: testOptions(), publish: true, node: "stranger", want: codes.PermissionDenied,
		},
		"TooMany": {
			reason: "New streams are limited.", options: limited, publish: true, before: 1, node: "p", want: codes.ResourceExhausted,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := New(tc.options)
			if tc.publish {
				s.Publish(testView, parse(one))
			}
			address := serveOn(t, s)
			for range tc.before {
				c := dial(t, address, "earlier")
				c.ask(clusters)
				c.receive(clusters)
			}
			c := dial(t, address, tc.node)
			// The server may refuse before it is asked: then sending ends with EOF, and receiving says why.
			if err := c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: tc.node}, TypeUrl: typeURLs[clusters]}); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			_, err := c.stream.Recv()
			if got := status.Code(err); got != tc.want {
				t.Errorf("%s\ngot %v, want %v", tc.reason, err, tc.want)
			}
		})
	}
}

// TestStuckProxy checks that a proxy that reads nothing loses its stream, and that nobody waits for it meanwhile.
func TestStuckProxy(t *testing.T) {
	options := testOptions()
	options.SendTimeout = 200 * time.Millisecond
	s := New(options)
	snap := weighted("1", 0)
	snap.Routes["r"].Body.Value = make([]byte, 1<<20) // More than the windows of one connection take.
	s.Publish(testView, snap)
	address := serveOn(t, s)
	stuck, healthy := dial(t, address, "stuck"), dial(t, address, "healthy")
	for i := range 20 {
		stuck.ask(routes, "r")
		if i == 0 {
			await(t, s, "connected", func() bool { return len(s.Proxies()) == 1 })
		}
		s.Publish(testView, snap)
		stuck.send(routes, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: s.nonceOf("stuck")})
	}
	healthy.ask(listeners)
	healthy.receive(listeners)
	await(t, s, "stuck proxy dropped", func() bool {
		p := s.Proxies()
		return len(p) == 1 && p[0].Node == "healthy"
	})
}

// nonceOf returns the newest route nonce of a node, so that a proxy can ack what it never read.
func (s *Server) nonceOf(node string) string {
	for _, p := range s.Proxies() {
		if p.Node == node {
			return p.Types[xds.RouteType].Sent.Nonce
		}
	}
	return ""
}

// TestNackStorm checks over the wire that refused bytes are sent once, however often something else is published, and that
// another proxy goes on meanwhile.
func TestNackStorm(t *testing.T) {
	s := New(testOptions())
	s.Publish(testView, weighted("1", 0))
	address := serveOn(t, s)
	refusing, other := dial(t, address, "refusing"), dial(t, address, "other")
	refusing.sync()
	other.sync()
	s.Publish(testView, weighted("bad", 1))
	refusing.nack(refusing.receive(routes), "bad route")
	other.ack(routes, other.receive(routes))
	for i := range 100 {
		snap := weighted("bad", 1)
		snap.Endpoints["a"].Version = "e" + string(rune('0'+i))
		s.Publish(testView, snap)
		refusing.ack(endpoints, refusing.receive(endpoints)) // Fails if a route comes.
		other.ack(endpoints, other.receive(endpoints))
	}
	snap := weighted("good", 2)
	snap.Endpoints["a"].Version = "e" + string(rune('0'+99))
	s.Publish(testView, snap)
	if got := refusing.receive(routes).GetResources()[0].GetVersion(); got != "good" {
		t.Errorf("got route version %q after the refused one", got)
	}
}

// TestOverTheWire goes through names that do not exist, stale nonces, a reconnect to a restarted server and the order of a
// change, on a real connection.
func TestOverTheWire(t *testing.T) {
	s := New(testOptions())
	s.Publish(testView, weighted("1", 0))
	c := dial(t, serveOn(t, s), "p1")
	c.sync()

	c.ask(endpoints, "x")
	m := c.receive(endpoints)
	if d := cmp.Diff([]string{"x"}, m.GetRemovedResources()); d != "" {
		t.Errorf("an unknown name is not answered as removed: -want +got\n%s", d)
	}
	c.ack(endpoints, m)
	c.send(endpoints, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesUnsubscribe: []string{"x"}, ResponseNonce: "stale"})
	c.ask(endpoints, "a") // Asked again, so answered again; and the unsubscription before it was taken in.
	c.ack(endpoints, c.receive(endpoints))
	snap := weighted("2", 5)
	snap.Endpoints["x"] = &xds.Resource{Name: "x", Version: "1", Body: snap.Endpoints["a"].Body}
	s.Publish(testView, snap)
	c.ack(routes, c.receive(routes)) // And nothing about x.
	c.close()

	restarted := New(testOptions())
	restarted.Publish(testView, weighted("2", 5))
	back := dial(t, serveOn(t, restarted), "p1")
	have := func(k kind, name, version string, names ...string) {
		back.send(k, &discoveryv3.DeltaDiscoveryRequest{
			ResourceNamesSubscribe: names, InitialResourceVersions: map[string]string{name: version},
		})
	}
	have(clusters, "a", "1")
	have(endpoints, "a", "1", "a")
	have(listeners, "l", "1")
	have(routes, "r", "2", "r")
	back.ack(endpoints, back.receive(endpoints)) // Envoy may be waiting for these; nothing else comes.
	await(t, restarted, "known again", func() bool {
		acks := restarted.ServiceAcks("shop/web")
		return len(acks) == 1 && acks[0].Current && acks[0].HighestShare("canary") == 0.05
	})

	next := weighted("3", 0)
	next.Clusters["b"] = &xds.Resource{Name: "b", Version: "1", Body: next.Clusters["a"].Body}
	next.Endpoints["b"] = &xds.Resource{Name: "b", Version: "1", Body: next.Endpoints["a"].Body}
	delete(next.Clusters, "a")
	delete(next.Endpoints, "a")
	next.Routes["r"].References = []string{"b"}
	restarted.Publish(testView, next)
	added := back.receive(clusters)
	if len(added.GetRemovedResources()) > 0 {
		t.Errorf("a cluster in use is removed: %v", added)
	}
	back.ask(endpoints, "b")
	back.ack(endpoints, back.receive(endpoints))
	back.ack(clusters, added)
	back.ack(routes, back.receive(routes))
	for _, k := range []kind{endpoints, clusters} {
		m := back.receive(k)
		if d := cmp.Diff([]string{"a"}, m.GetRemovedResources()); d != "" {
			t.Errorf("%s: -want +got\n%s", short[k], d)
		}
	}
}
