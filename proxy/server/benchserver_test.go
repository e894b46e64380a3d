package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	gcptypes "github.com/envoyproxy/go-control-plane/pkg/cache/types"
	gcpcache "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	gcpresource "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	gcpdelta "github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// runBenchServer is the other process.
func runBenchServer(kind string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	acks := &ackCounter{}
	g := grpc.NewServer(append(GRPCOptions(time.Hour), grpc.StreamInterceptor(acks.intercept))...)
	publish, err := benchPublisher(kind, g)
	if err != nil {
		return err
	}
	if err := publish(0); err != nil {
		return err
	}
	go func() { _ = g.Serve(listener) }()
	fmt.Println(listener.Addr())
	in := bufio.NewScanner(os.Stdin)
	for push := 1; in.Scan(); push++ {
		switch command, argument, _ := strings.Cut(in.Text(), " "); command {
		case "publish":
			n, err := strconv.Atoi(argument)
			if err != nil {
				return err
			}
			done := acks.expect(int64(n))
			start := time.Now()
			if err := publish(push); err != nil {
				return err
			}
			fmt.Println((<-done).Sub(start).Nanoseconds())
		case "cpu":
			used, err := processTime()
			if err != nil {
				return err
			}
			fmt.Println(used.Nanoseconds())
		case "heap":
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Println(m.HeapAlloc, m.StackInuse)
		}
	}
	return nil
}

// processTime is the CPU time that this process has used.
func processTime() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// ackCounter counts ACKs of routes as they come in, the same way for each server.
type ackCounter struct {
	left atomic.Int64
	done chan time.Time
}

func (a *ackCounter) expect(n int64) <-chan time.Time {
	a.done = make(chan time.Time, 1)
	a.left.Store(n)
	return a.done
}

type countingStream struct {
	grpc.ServerStream
	acks *ackCounter
}

func (a *ackCounter) intercept(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, countingStream{s, a})
}

func (s countingStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if r, ok := m.(*discoveryv3.DeltaDiscoveryRequest); ok && err == nil && r.GetResponseNonce() != "" && r.GetTypeUrl() == xds.RouteType {
		if s.acks.left.Add(-1) == 0 {
			s.acks.done <- time.Now()
		}
	}
	return err
}

// benchWorld is what is served: messages for go-control-plane, a snapshot for ours.
type benchWorld struct {
	messages map[kind][]proto.Message
	snap     *xds.Snapshot
}

// newBenchWorld makes services of two revisions each, all of them at weight 0 for the second.
func newBenchWorld() (benchWorld, error) {
	w := benchWorld{messages: map[kind][]proto.Message{}, snap: &xds.Snapshot{
		Clusters: map[string]*xds.Resource{}, Endpoints: map[string]*xds.Resource{},
		Listeners: map[string]*xds.Resource{}, Routes: map[string]*xds.Resource{},
	}}
	address := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8080}
	put := func(k kind, name string, m proto.Message, references ...string) error {
		r, err := xds.NewResource(name, m)
		if err != nil {
			return err
		}
		r.References = references
		w.snap.Of(typeURLs[k])[name] = r
		w.messages[k] = append(w.messages[k], m)
		return nil
	}
	for i := range *benchServices {
		name, names := benchService(i)
		for _, cluster := range names {
			if err := errors.Join(
				put(clusters, cluster, edsCluster(cluster)),
				put(endpoints, cluster, assignment(cluster, []net.Addr{address, address})),
			); err != nil {
				return w, err
			}
		}
		if err := errors.Join(
			put(listeners, name, &listenerv3.Listener{Name: name}, name),
			put(routes, name, weightedRoute(name, names, []uint32{100, 0}), names...),
		); err != nil {
			return w, err
		}
	}
	return w, nil
}

// benchService names a service and the clusters of its revisions.
func benchService(i int) (name string, names []string) {
	name = fmt.Sprintf("shop/service-%d:80", i)
	for _, revision := range []string{"6d7bd6989", "78bd5d695"} {
		names = append(names, fmt.Sprintf("out|shop/service-%d|80|%s", i, revision))
	}
	return name, names
}

// push returns the world with another weight for the first service. The rest of it stays what it is, as it does when
// Crossfade translates.
func (w benchWorld) push(push int) (benchWorld, error) {
	name, names := benchService(0)
	weight := uint32(push) % 101
	route := weightedRoute(name, names, []uint32{100 - weight, weight})
	resource, err := xds.NewResource(name, route)
	if err != nil {
		return w, err
	}
	resource.References = names
	next := benchWorld{messages: maps.Clone(w.messages), snap: &xds.Snapshot{}}
	*next.snap = *w.snap
	next.snap.Routes = maps.Clone(w.snap.Routes)
	next.snap.Routes[name] = resource
	next.messages[routes] = slices.Clone(w.messages[routes])
	next.messages[routes][0] = route
	return next, nil
}

// benchPublisher registers a server and returns how it is told a weight.
func benchPublisher(kind string, g *grpc.Server) (func(push int) error, error) {
	start, err := newBenchWorld()
	if err != nil {
		return nil, err
	}
	if kind != benchOurs {
		set := plainPublisher(kind, g)
		return func(push int) error {
			w, err := start.push(push)
			if err != nil {
				return err
			}
			return set(w)
		}, nil
	}
	s := New(testOptions())
	s.Register(g)
	return func(push int) error {
		w, err := start.push(push)
		if err == nil {
			s.Publish(testView, w.snap)
		}
		return err
	}, nil
}

// plainPublisher registers go-control-plane's server.
func plainPublisher(kind string, g *grpc.Server) func(benchWorld) error {
	var hash gcpcache.NodeHash = sameHash{}
	nodes := []string{""}
	if kind == benchPerNode {
		hash, nodes = gcpcache.IDHash{}, nil
		for i := range 1000 {
			nodes = append(nodes, fmt.Sprintf("proxy-%d", i))
		}
	}
	cache := gcpcache.NewSnapshotCache(true, hash, nil)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, &plainServer{delta: gcpdelta.NewServer(context.Background(), cache, nil)})
	version := 0
	return func(w benchWorld) error {
		version++
		resources := map[string][]gcptypes.Resource{}
		for k, list := range w.messages {
			for _, m := range list {
				resources[typeURLs[k]] = append(resources[typeURLs[k]], m)
			}
		}
		for _, node := range nodes {
			snapshot, err := gcpcache.NewSnapshot(strconv.Itoa(version), resources)
			if err == nil {
				err = cache.SetSnapshot(context.Background(), node, snapshot)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// plainServer is go-control-plane's delta server.
type plainServer struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	delta gcpdelta.Server
}

func (p *plainServer) DeltaAggregatedResources(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return p.delta.DeltaStreamHandler(s, gcpresource.AnyType)
}

// sameHash puts all nodes into one group.
type sameHash struct{}

func (sameHash) ID(*corev3.Node) string { return "" }
