package proxy_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	grpcxds "google.golang.org/grpc/xds"

	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// TestChainToGRPC lets gRPC's own client, which has no Envoy beside it, use what is
// made for the mesh: it must take every resource as it is, and follow the weight.
func TestChainToGRPC(t *testing.T) {
	a, b := startRPC(t), startRPC(t)
	objects := strings.NewReplacer("PORT-A", fmt.Sprint(a), "PORT-B", fmt.Sprint(b)).Replace(served)
	in := parseObjects(t, "served", []byte(objects))
	serving, address := startServer(t)
	var world *xds.World
	publish := func(weight int32) {
		in.Rollouts[0].Status.Record.Weight = weight
		world = xds.Translate(world, proxy.Build(in).Config)
		serving.Publish(xds.MeshView, world.Snapshots[xds.MeshView])
	}
	publish(0)
	resolver, err := grpcxds.NewXDSResolverWithConfigForTesting(fmt.Appendf(nil, `{
		"xds_servers": [{"server_uri": %q, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
		"node": {"id": "grpc", "cluster": %q}}`, address, xds.MeshView))
	if err != nil {
		t.Fatal(err)
	}
	connection, err := grpc.NewClient("xds:///b.shop:80", grpc.WithResolvers(resolver), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	client := healthpb.NewHealthClient(connection)
	call := func(pairs ...string) string {
		var from peer.Peer
		_, err := client.Check(metadata.AppendToOutgoingContext(t.Context(), pairs...), &healthpb.HealthCheckRequest{}, grpc.Peer(&from))
		if err != nil {
			return err.Error()
		}
		return from.Addr.String()
	}
	call() // Only who has made a call has asked for routes.
	for _, weight := range []int32{0, 100, 0} {
		publish(weight)
		awaitAck(t, serving, float64(weight)/100)
		want := map[int32]int{0: a, 100: b}[weight]
		// Unlike Envoy, gRPC confirms before its next call follows, and it drops clusters of
		// weight 0: on a busy machine it may pick one that has just got weight before its own
		// balancer knows it. That call fails, with these words, in grpc-go 1.85.
		for n := 0; ; n++ {
			got := call()
			if got == fmt.Sprintf("127.0.0.1:%d", want) {
				break
			}
			if n == 1000 || !strings.HasPrefix(got, "127.0.0.1:") && !strings.Contains(got, "unknown cluster selected") {
				t.Fatalf("weight %d is confirmed, but a call says %s", weight, got)
			}
		}
		for range 50 {
			if got := call(); got != fmt.Sprintf("127.0.0.1:%d", want) {
				t.Errorf("at weight %d a call went to %s", weight, got)
			}
		}
	}
	// What it does not know must not make it take requests for others.
	in.Rollouts[0].Status.Record.Traffic = parseTraffic(t, `
match: [{headers: [{name: X-Team, value: checkout}]}, {cookies: [{name: beta, value: "1"}]}, {queryParams: [{name: q, type: Present}]}, {headers: [{name: x-version, type: Regex, value: "v[0-9]"}]}]
sticky: {cookie: {name: who}}
mirror: {percent: 100}`)
	publish(0)
	awaitAcks(t, serving, 1, 0)
	for _, tc := range []struct {
		pairs []string
		want  int
	}{
		{nil, a},
		{[]string{"x-team", "checkout"}, b},
		{[]string{"x-team", "search"}, a},
		{[]string{"x-version", "v1"}, b},
		{[]string{"x-version", "v12"}, a},
		{[]string{"cookie", "beta=1"}, a},
	} {
		for n := 0; ; n++ {
			got := call(tc.pairs...)
			if got == fmt.Sprintf("127.0.0.1:%d", tc.want) {
				break
			}
			if n == 1000 {
				t.Fatalf("a call with %v goes to %s, want %d", tc.pairs, got, tc.want)
			}
		}
		for range 20 {
			if got := call(tc.pairs...); got != fmt.Sprintf("127.0.0.1:%d", tc.want) {
				t.Errorf("a call with %v goes to %s, want %d", tc.pairs, got, tc.want)
			}
		}
	}
}

// startRPC starts a gRPC server that stands for a pod, and returns its port.
func startRPC(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	healthpb.RegisterHealthServer(g, health.NewServer())
	go func() { _ = g.Serve(listener) }() // It ends with the test.
	t.Cleanup(g.Stop)
	return listener.Addr().(*net.TCPAddr).Port
}
