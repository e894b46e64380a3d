package server

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// patience bounds every wait of the tests; none of them comes near it unless something is broken.
const patience = 10 * time.Second

const testView = "sidecar"

// serveOn starts a server on loopback and returns its address.
func serveOn(t testing.TB, s *Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(GRPCOptions(time.Hour)...)
	s.Register(g)
	go func() { _ = g.Serve(listener) }()
	t.Cleanup(g.Stop)
	return listener.Addr().String()
}

func testOptions() Options {
	return Options{
		Logger: logr.Discard(), Now: time.Now, StreamsPerSecond: 1e6,
		ViewOf: func(n *corev3.Node) (string, error) {
			if n.GetId() == "stranger" {
				return "", errors.New("no such proxy")
			}
			return testView, nil
		},
	}
}

// deltaClient is a proxy that says only what a test tells it to.
type deltaClient struct {
	t      testing.TB
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	node   string
	close  func()
}

func dial(t testing.TB, address, node string) *deltaClient {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c := &deltaClient{t: t, stream: stream, node: node, close: func() { cancel(); _ = conn.Close() }}
	t.Cleanup(c.close)
	return c
}

func (c *deltaClient) send(k kind, m *discoveryv3.DeltaDiscoveryRequest) {
	c.t.Helper()
	m.TypeUrl, m.Node = typeURLs[k], &corev3.Node{Id: c.node}
	if err := c.stream.Send(m); err != nil {
		c.t.Fatal(err)
	}
}

func (c *deltaClient) ask(k kind, names ...string) {
	c.t.Helper()
	c.send(k, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: names})
}

// receive returns the next response, which has to be of this type.
func (c *deltaClient) receive(k kind) *discoveryv3.DeltaDiscoveryResponse {
	c.t.Helper()
	m, err := c.stream.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	if m.GetTypeUrl() != typeURLs[k] {
		c.t.Fatalf("got %s, want %s", m.GetTypeUrl(), typeURLs[k])
	}
	return m
}

func (c *deltaClient) ack(k kind, m *discoveryv3.DeltaDiscoveryResponse) {
	c.t.Helper()
	c.send(k, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: m.GetNonce()})
}

// nack refuses a response with routes.
func (c *deltaClient) nack(m *discoveryv3.DeltaDiscoveryResponse, text string) {
	c.t.Helper()
	c.send(routes, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: m.GetNonce(), ErrorDetail: &statuspb.Status{Message: text}})
}

// sync brings the client to the world "one": cluster a, listener l, route r.
func (c *deltaClient) sync() {
	c.t.Helper()
	c.ask(clusters)
	cds := c.receive(clusters)
	c.ask(endpoints, "a")
	c.ack(endpoints, c.receive(endpoints))
	c.ack(clusters, cds)
	c.ask(listeners)
	c.ack(listeners, c.receive(listeners))
	c.ask(routes, "r")
	c.ack(routes, c.receive(routes))
}

// await waits for a condition, looking again at every signal of the server.
func await(t testing.TB, s *Server, what string, done func() bool) {
	t.Helper()
	signal, cancel := s.Subscribe()
	defer cancel()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-signal:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// weighted is the world "one" with a weight for the canary in its route.
func weighted(version string, canary uint32) *xds.Snapshot {
	snap := parse(one)
	snap.Routes["r"].Version = version
	snap.Routes["r"].Splits = []xds.Split{{
		Service: "shop/web", Port: 80, Total: 100, Weights: map[string]uint32{"stable": 100 - canary, "canary": canary},
	}}
	return snap
}

func TestServiceAcks(t *testing.T) {
	s := New(testOptions())
	s.Publish(testView, weighted("1", 0))
	c := dial(t, serveOn(t, s), "p1")
	c.sync()
	check := func(what string, want ServiceAck, canaryLow, canaryHigh float64) {
		t.Helper()
		var got []ServiceAck
		await(t, s, what, func() bool {
			got = s.ServiceAcks("shop/web")
			return len(got) == 1 && got[0].Current == want.Current && got[0].Rejected == want.Rejected &&
				got[0].HighestShare("canary") == canaryHigh
		})
		if low := got[0].LowestShare("canary"); low != canaryLow {
			t.Errorf("%s: acked share of the canary is %v, want %v", what, low, canaryLow)
		}
	}
	check("synced", ServiceAck{Current: true}, 0, 0)

	s.Publish(testView, weighted("2", 25))
	m := c.receive(routes)
	check("in flight", ServiceAck{}, 0, 0.25)
	c.ack(routes, m)
	check("acked", ServiceAck{Current: true}, 0.25, 0.25)

	s.Publish(testView, weighted("2b", 25)) // Somebody else's weight has changed in the same RouteConfiguration.
	m = c.receive(routes)
	check("another's change in flight", ServiceAck{Current: true}, 0.25, 0.25)
	c.nack(m, "another's fault")
	await(t, s, "the refusal", func() bool { return s.Rejections() == 1 })
	check("another's change refused", ServiceAck{Current: true}, 0.25, 0.25)

	s.Publish(testView, weighted("3", 50))
	c.nack(c.receive(routes), "bad route")
	check("refused", ServiceAck{Rejected: "bad route"}, 0.25, 0.25)
	if n := s.Rejections(); n != 2 {
		t.Errorf("%d rejections counted, want 2", n)
	}

	if acks := s.ServiceAcks("shop/other"); len(acks) != 0 {
		t.Errorf("the proxy does not route to this service, but is listed: %v", acks)
	}

	// After a restart of the server the proxy brings a version that nobody knows any more.
	restarted := New(testOptions())
	restarted.Publish(testView, weighted("9", 0))
	back := dial(t, serveOn(t, restarted), "p1")
	back.send(routes, &discoveryv3.DeltaDiscoveryRequest{
		ResourceNamesSubscribe: []string{"r"}, InitialResourceVersions: map[string]string{"r": "2"},
	})
	await(t, restarted, "unknown weights", func() bool {
		acks := restarted.ServiceAcks("shop/web")
		return len(acks) == 1 && acks[0].Unknown && !acks[0].Current && acks[0].HighestShare("canary") == 1
	})

	// A version that was replaced a moment ago is still known.
	again := dial(t, serveOn(t, s), "p1")
	again.send(listeners, &discoveryv3.DeltaDiscoveryRequest{})
	again.send(routes, &discoveryv3.DeltaDiscoveryRequest{
		ResourceNamesSubscribe: []string{"r"}, InitialResourceVersions: map[string]string{"r": "2"},
	})
	await(t, s, "known weights", func() bool {
		acks := s.ServiceAcks("shop/web")
		return len(acks) == 1 && !acks[0].Unknown && !acks[0].Current && acks[0].HighestShare("canary") == 0.25
	})
}

func TestProxies(t *testing.T) {
	s := New(testOptions())
	s.Publish(testView, weighted("1", 0))
	address := serveOn(t, s)
	c := dial(t, address, "p1")
	c.sync()
	synced := func() bool {
		p := s.Proxies()
		return len(p) == 1 && p[0].Types[xds.RouteType].Acked.Nonce != ""
	}
	await(t, s, "synced", synced)
	s.Publish(testView, weighted("2", 5))
	c.nack(c.receive(routes), "bad route")
	await(t, s, "refused", func() bool { return s.Proxies()[0].Types[xds.RouteType].LastError != "" })

	p := s.Proxies()[0]
	want := map[string]ResourceStatus{"r": {Acked: "1", Sent: "1", Rejected: "bad route"}}
	if d := cmp.Diff(want, p.Types[xds.RouteType].Resources); d != "" {
		t.Errorf("routes: -want +got\n%s", d)
	}
	if p.Node != "p1" || p.View != testView || p.ConnectedSince.IsZero() {
		t.Errorf("unexpected head: %+v", p)
	}

	page := httptest.NewRecorder()
	s.Debug().ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/", nil))
	var shown struct{ Proxies []ProxyStatus }
	if err := json.Unmarshal(page.Body.Bytes(), &shown); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, shown.Proxies[0].Types[xds.RouteType].Resources); d != "" {
		t.Errorf("debug page: -want +got\n%s", d)
	}
	refusal := httptest.NewRecorder()
	s.Debug().ServeHTTP(refusal, httptest.NewRequest(http.MethodPost, "/", nil))
	if refusal.Code != http.StatusMethodNotAllowed {
		t.Errorf("a write to the debug page gives %d", refusal.Code)
	}

	// The same node again, before its old stream is known to be gone.
	newer := dial(t, address, "p1")
	newer.ask(clusters)
	newer.receive(clusters)
	await(t, s, "newer stream", func() bool {
		p := s.Proxies()
		return len(p) == 1 && p[0].Types[xds.ClusterType].Sent.Nonce == "1" && len(p[0].Types) == 1
	})
	newer.close()
	await(t, s, "newer stream gone", synced)
	c.close()
	await(t, s, "all gone", func() bool { return len(s.Proxies()) == 0 })
}

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
			c.ask(clusters)
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
