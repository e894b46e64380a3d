package server

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
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
	benchPushes   = flag.Int("pushes", 100, "how many weights the benchmark changes")
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
				b.ReportMetric(r.clients.Seconds()*1000, "clients-cpu-ms/push")
				b.ReportMetric(r.heap/1024, "heap-KiB/proxy")
				rows = append(rows, fmt.Sprintf("%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.2f\t", server, n,
					r.p50.Seconds()*1000, r.p99.Seconds()*1000, r.cpu.Seconds()*1000, r.clients.Seconds()*1000,
					r.heap/1024, r.stack/1024, r.sync.Seconds()))
			})
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\nserver\tproxies\tlast ACK p50 ms\tp99 ms\tCPU ms/push\tproxies' CPU\theap KiB/proxy\tstack KiB/proxy\tfirst sync s\t\n%s\n", strings.Join(rows, "\n"))
	_ = w.Flush()
}

// benchResult is one line of the table; cpu, heap and stack are the server's alone. What clients, the simulated proxies,
// use up themselves would be on other machines; here it is taken from the same cores, so half of the sum of both is the
// least that two cores need from the write to the last ACK.
type benchResult struct {
	p50, p99, cpu, clients, sync time.Duration
	heap, stack                  float64
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
	before, own := child.ask("cpu")[0], cpuTime(b)
	for range pushes {
		latencies = append(latencies, time.Duration(child.ask(fmt.Sprintf("publish %d", n))[0]))
	}
	r.cpu = time.Duration(child.ask("cpu")[0]-before) / time.Duration(pushes)
	r.clients = (cpuTime(b) - own) / time.Duration(pushes)
	slices.Sort(latencies)
	r.p50, r.p99 = latencies[len(latencies)/2], latencies[(len(latencies)*99+99)/100-1]
	return r
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	used, err := processTime()
	if err != nil {
		b.Fatal(err)
	}
	return used
}
