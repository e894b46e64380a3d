package server

import (
	"context"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	grpcxds "google.golang.org/grpc/xds"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// backend starts a gRPC server that stands for a pod.
func backend(t testing.TB) net.Addr {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	healthpb.RegisterHealthServer(g, health.NewServer())
	go func() { _ = g.Serve(listener) }()
	t.Cleanup(g.Stop)
	return listener.Addr()
}

// dialMesh opens a channel of grpc-go's own xDS client, configured by the server.
func dialMesh(t testing.TB, server string) healthpb.HealthClient {
	t.Helper()
	resolver, err := grpcxds.NewXDSResolverWithConfigForTesting(fmt.Appendf(nil, `{
		"xds_servers": [{"server_uri": %q, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
		"node": {"id": "grpc"}}`, server))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("xds:///web", grpc.WithResolvers(resolver), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return healthpb.NewHealthClient(conn)
}

// call makes one request and returns the address that answered.
func call(ctx context.Context, c healthpb.HealthClient) (string, error) {
	var from peer.Peer
	if _, err := c.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Peer(&from)); err != nil {
		return "", err
	}
	return from.Addr.String(), nil
}

// TestWeightsWithGRPC lets an independent implementation judge the weights: the xDS client of grpc-go, which speaks
// state-of-the-world.
func TestWeightsWithGRPC(t *testing.T) {
	stable, canary := backend(t), backend(t)
	listener := &listenerv3.Listener{Name: "web", ApiListener: &listenerv3.ApiListener{ApiListener: connectionManager(t)}}
	s := New(testOptions())
	put := func(weight uint32) {
		s.Publish(testView, mesh(t, listener,
			revision{"stable", 100 - weight, []net.Addr{stable}}, revision{"canary", weight, []net.Addr{canary}}))
	}
	put(1) // Never from 0: TestStepsWithGRPC says why.
	client := dialMesh(t, serveOn(t, s))
	if _, err := call(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	const n, workers = 5000, 8
	before := uint32(1)
	for _, weight := range []uint32{1, 5, 50, 95, 99} {
		put(weight)
		current(t, s)
		if weight != before {
			left(t, client, canary.String(), before)
		}
		before = weight
		var hits, failed atomic.Int64
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range n / workers {
					address, err := call(t.Context(), client)
					if err != nil {
						failed.Add(1)
					}
					if address == canary.String() {
						hits.Add(1)
					}
				}
			})
		}
		wg.Wait()
		chi := chiSquare(hits.Load(), n, weight)
		t.Logf("%d %%: %d of %d, chi-square %.2f", weight, hits.Load(), n, chi)
		if chi > unlikely || failed.Load() > 0 {
			t.Errorf("weight %d: %d of %d, %d failed", weight, hits.Load(), n, failed.Load())
		}
	}
}

// chiSquare says how badly a number of hits fits a weight in percent. With its one degree of freedom chance alone gets
// above unlikely once in 100,000 runs.
func chiSquare(hits, n int64, weight uint32) float64 {
	p := float64(weight) / 100
	off := math.Pow(float64(hits)-float64(n)*p, 2) / float64(n)
	return off/p + off/(1-p)
}

const unlikely = 19.5

// left waits until the channel has left a weight: grpc-go acks what it has read before it has built the balancers for
// it. The first answers that the weight does not explain may still be a mixture; those after them are not.
func left(t testing.TB, client healthpb.HealthClient, canary string, before uint32) {
	t.Helper()
	const n = 500
	for deadline := time.Now().Add(patience); ; {
		hits := int64(0)
		for range n {
			address, err := call(t.Context(), client)
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("the channel never leaves weight %d: %v", before, err)
			}
			if address == canary {
				hits++
			}
		}
		if chiSquare(hits, n, before) > unlikely {
			return
		}
	}
}

// TestStepsWithGRPC moves the weight 200 times under load and takes the canary away in the end. No request may fail. The
// weights stay between 1 and 99 under load: grpc-go drops clusters of weight 0, and when it takes one in, with whatever
// server, it selects it for a moment before its own picker knows it ("unknown cluster selected for RPC").
func TestStepsWithGRPC(t *testing.T) {
	stable, canary := backend(t), backend(t)
	listener := &listenerv3.Listener{Name: "web", ApiListener: &listenerv3.ApiListener{ApiListener: connectionManager(t)}}
	s := New(testOptions())
	put := func(weight uint32) {
		s.Publish(testView, mesh(t, listener,
			revision{"stable", 100 - weight, []net.Addr{stable}}, revision{"canary", weight, []net.Addr{canary}}))
	}
	put(1)
	client := dialMesh(t, serveOn(t, s))
	if _, err := call(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var requests atomic.Int64
	var wg sync.WaitGroup
	failures := make(chan error, 1)
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				// Its own context: a request that is cut off by the end of the test has not failed.
				if _, err := call(t.Context(), client); err != nil {
					select {
					case failures <- err:
					default:
					}
				}
				requests.Add(1)
			}
		})
	}
	for step := range 200 {
		put(1 + uint32(step*37)%99)
		current(t, s)
		for range 10 {
			if _, err := call(t.Context(), client); err != nil {
				t.Errorf("step %d: %v", step, err)
			}
		}
	}
	s.Publish(testView, mesh(t, listener, revision{"stable", 100, []net.Addr{stable}}))
	await(t, s, "canary's cluster removed", func() bool {
		return len(s.Proxies()[0].Types[xds.ClusterType].Resources) == 1
	})
	stop()
	wg.Wait()
	t.Logf("%d requests during 200 steps", requests.Load())
	select {
	case err := <-failures:
		t.Errorf("a request failed: %v", err)
	default:
	}
}
