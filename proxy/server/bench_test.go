package server

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
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

// The benchmark measures a server in a process of its own, the test binary started once more, so that the cost of the
// simulated proxies is not in its CPU time and heap. The servers compared are the same but for who answers.
const (
	benchServerVariable = "CROSSFADE_BENCH_SERVER"

	benchOurs    = "crossfade"
	benchShared  = "SnapshotCache, one shared snapshot"
	benchPerNode = "SnapshotCache, one snapshot per node"
)

var (
	benchServices = flag.Int("services", 100, "how many services, of two revisions each, the benchmark's proxies know")
	benchPushes   = flag.Int("pushes", 50, "how many weights the benchmark changes")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if kind := os.Getenv(benchServerVariable); kind != "" {
		if err := runBenchServer(kind); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// BenchmarkPush changes one weight at a time for N proxies and measures from the write to the last ACK. It prints one table.
func BenchmarkPush(b *testing.B) {
	var rows []string
	for _, n := range []int{1000, 5000} {
		for _, server := range []string{benchOurs, benchShared, benchPerNode} {
			if server == benchPerNode && n > 1000 {
				continue // One snapshot per node needs gigabytes at 5,000.
			}
			b.Run(fmt.Sprintf("%s/%d", strings.NewReplacer(" ", "-", ",", "").Replace(server), n), func(b *testing.B) {
				var r benchResult
				for b.Loop() {
					pushes := *benchPushes
					if server == benchPerNode {
						pushes /= 5
					}
					r = measurePushes(b, server, n, pushes)
				}
				b.ReportMetric(r.p50.Seconds()*1000, "p50-ms")
				b.ReportMetric(r.p99.Seconds()*1000, "p99-ms")
				b.ReportMetric(r.cpu.Seconds()*1000, "cpu-ms/push")
				b.ReportMetric(r.heap/1024, "heap-KiB/proxy")
				rows = append(rows, fmt.Sprintf("%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.2f\t", server, n,
					r.p50.Seconds()*1000, r.p99.Seconds()*1000, r.cpu.Seconds()*1000, r.heap/1024, r.stack/1024, r.sync.Seconds()))
			})
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\nserver\tproxies\tlast ACK p50 ms\tp99 ms\tCPU ms/push\theap KiB/proxy\tstack KiB/proxy\tfirst sync s\t\n%s\n", strings.Join(rows, "\n"))
	_ = w.Flush()
}

// benchResult is one line of the table; cpu, heap and stack are the server's alone.
type benchResult struct {
	p50, p99, cpu, sync time.Duration
	heap, stack         float64
}

// benchChild is a server in a process of its own, spoken to by lines.
type benchChild struct {
	b   *testing.B
	in  io.Writer
	out *bufio.Scanner
}

func startChild(b *testing.B, server string) (*benchChild, string) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-services", strconv.Itoa(*benchServices))
	cmd.Env = append(os.Environ(), benchServerVariable+"="+server)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	c := &benchChild{b: b, in: in, out: bufio.NewScanner(out)}
	return c, c.line()
}

func (c *benchChild) line() string {
	c.b.Helper()
	if !c.out.Scan() {
		c.b.Fatal("the server is gone")
	}
	return c.out.Text()
}

// ask sends a command and returns the numbers that come back.
func (c *benchChild) ask(command string) []int64 {
	c.b.Helper()
	if _, err := fmt.Fprintln(c.in, command); err != nil {
		c.b.Fatal(err)
	}
	var numbers []int64
	for word := range strings.FieldsSeq(c.line()) {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			c.b.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

func measurePushes(b *testing.B, server string, n, pushes int) benchResult {
	b.Helper()
	child, address := startChild(b, server)
	empty := child.ask("heap")
	start := time.Now()
	ctx, cancel := context.WithCancel(b.Context())
	var clients sync.WaitGroup
	defer func() { cancel(); clients.Wait() }()
	var synced sync.WaitGroup
	// A few hundred connect at a time, as a rate limit would have it; the others wait.
	gate := make(chan struct{}, 200)
	for i := range n {
		gate <- struct{}{}
		synced.Add(1)
		clients.Go(func() {
			p := &benchProxy{node: fmt.Sprintf("proxy-%d", i), synced: func() { synced.Done(); <-gate }}
			if err := p.run(ctx, address); err != nil && ctx.Err() == nil {
				b.Error(err)
			}
		})
	}
	synced.Wait()
	r := benchResult{sync: time.Since(start)}
	full := child.ask("heap")
	r.heap, r.stack = float64(full[0]-empty[0])/float64(n), float64(full[1]-empty[1])/float64(n)
	for range 3 {
		child.ask(fmt.Sprintf("publish %d", n)) // Warm up.
	}
	var latencies []time.Duration
	before := child.ask("cpu")[0]
	for range pushes {
		latencies = append(latencies, time.Duration(child.ask(fmt.Sprintf("publish %d", n))[0]))
	}
	r.cpu = time.Duration(child.ask("cpu")[0]-before) / time.Duration(pushes)
	slices.Sort(latencies)
	r.p50, r.p99 = latencies[len(latencies)/2], latencies[(len(latencies)*99+99)/100-1]
	return r
}

// benchWorld is what is served: messages for go-control-plane, a snapshot for ours.
func benchWorld(push int) (map[kind][]proto.Message, *xds.Snapshot, error) {
	messages := map[kind][]proto.Message{}
	snap := &xds.Snapshot{
		Clusters: map[string]*xds.Resource{}, Endpoints: map[string]*xds.Resource{},
		Listeners: map[string]*xds.Resource{}, Routes: map[string]*xds.Resource{},
	}
	address := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8080}
	put := func(k kind, name string, m proto.Message, references ...string) error {
		r, err := xds.NewResource(name, m)
		if err != nil {
			return err
		}
		r.References = references
		snap.Of(typeURLs[k])[name] = r
		messages[k] = append(messages[k], m)
		return nil
	}
	for i := range *benchServices {
		service := fmt.Sprintf("shop/service-%d", i)
		name := service + ":80"
		weight := uint32(0)
		if i == 0 {
			weight = uint32(push) % 101
		}
		var names []string
		for _, revision := range []string{"6d7bd6989", "78bd5d695"} {
			cluster := "out|" + service + "|80|" + revision
			names = append(names, cluster)
			if err := errors.Join(
				put(clusters, cluster, edsCluster(cluster)),
				put(endpoints, cluster, assignment(cluster, []net.Addr{address, address})),
			); err != nil {
				return nil, nil, err
			}
		}
		if err := errors.Join(
			put(listeners, name, &listenerv3.Listener{Name: name}, name),
			put(routes, name, weightedRoute(name, names, []uint32{100 - weight, weight}), names...),
		); err != nil {
			return nil, nil, err
		}
	}
	return messages, snap, nil
}

// runBenchServer is the other process.
func runBenchServer(kind string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	acks := &ackCounter{}
	g := grpc.NewServer(append(GRPCOptions(time.Hour), grpc.StreamInterceptor(acks.intercept))...)
	publish := benchPublisher(kind, g)
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
			var u syscall.Rusage
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
				return err
			}
			fmt.Println(u.Utime.Nano() + u.Stime.Nano())
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

// benchPublisher registers a server and returns how it is told a new weight.
func benchPublisher(kind string, g *grpc.Server) func(push int) error {
	if kind == benchOurs {
		s := New(testOptions())
		s.Register(g)
		return func(push int) error {
			_, snap, err := benchWorld(push)
			if err == nil {
				s.Publish(testView, snap)
			}
			return err
		}
	}
	var hash gcpcache.NodeHash = sameHash{}
	if kind == benchPerNode {
		hash = gcpcache.IDHash{}
	}
	cache := gcpcache.NewSnapshotCache(true, hash, nil)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, &plainServer{delta: gcpdelta.NewServer(context.Background(), cache, nil)})
	return func(push int) error {
		messages, _, err := benchWorld(push)
		if err != nil {
			return err
		}
		resources := map[string][]gcptypes.Resource{}
		for k, list := range messages {
			for _, m := range list {
				resources[typeURLs[k]] = append(resources[typeURLs[k]], m)
			}
		}
		nodes := []string{""}
		if kind == benchPerNode {
			nodes = nil
			for i := range 1000 {
				nodes = append(nodes, fmt.Sprintf("proxy-%d", i))
			}
		}
		for _, node := range nodes {
			snapshot, err := gcpcache.NewSnapshot(strconv.Itoa(push), resources)
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
