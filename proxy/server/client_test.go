package server

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-logr/logr"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

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
	// version is the one that the proxy says it has.
	version string
	close   func()
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
	if c.version != "" {
		m.Node.Metadata = &structpb.Struct{Fields: map[string]*structpb.Value{xds.NodeVersion: structpb.NewStringValue(c.version)}}
	}
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
