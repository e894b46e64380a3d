package proxy_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/go-logr/logr"
	"google.golang.org/grpc"

	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/server"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// TestChain goes the whole way: objects of the cluster, what the proxies should do,
// Envoy's resources, our server, our bootstrap, a real Envoy, requests. The weight of
// a record must be the share of the answers as soon as the proxy has confirmed it.
func TestChain(t *testing.T) {
	program := findEnvoy(t)
	a, b, port := startPod(t, "a"), startPod(t, "b"), freePort(t)
	objects := strings.NewReplacer("PORT-A", fmt.Sprint(a), "PORT-B", fmt.Sprint(b), "port: 80, protocol: HTTP",
		fmt.Sprintf("port: %d, protocol: HTTP", port)).Replace(served)
	in := parseObjects(t, "served", []byte(objects))
	in.Options.Ports = []int32{int32(port)}

	serving, address := startServer(t)
	var world *xds.World
	publish := func(weight int32) {
		in.Rollouts[0].Status.Record.Weight = weight
		world = xds.Translate(world, proxy.Build(in).Config)
		for view, snapshot := range world.Snapshots {
			serving.Publish(view, snapshot)
		}
	}
	publish(0)
	startProxy(t, program, address, "proxy")
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	for _, weight := range []int32{0, 100, 40, 0} {
		publish(weight)
		awaitAck(t, serving, float64(weight)/100)
		got := 0
		for range 100 {
			if ask(t, base, "GET", "split.example.com", "/b", "") == "200 b" {
				got++
			}
		}
		if weight%100 == 0 && got != int(weight) || weight == 40 && (got < 15 || got > 65) {
			t.Errorf("weight %d is confirmed, and the canary got %d of 100 requests", weight, got)
		}
	}
}

func startServer(t *testing.T) (*server.Server, *net.TCPAddr) {
	t.Helper()
	s := server.New(server.Options{
		Logger: logr.Discard(), Now: time.Now,
		ViewOf: func(n *corev3.Node) (string, error) { return n.GetCluster(), nil },
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(server.GRPCOptions(time.Hour)...)
	s.Register(g)
	go func() { _ = g.Serve(listener) }() // It ends with the test.
	t.Cleanup(g.Stop)
	return s, listener.Addr().(*net.TCPAddr)
}

func startProxy(t *testing.T, program string, control *net.TCPAddr, name string) {
	t.Helper()
	dir := t.TempDir()
	bootstrap, err := xds.Bootstrap(xds.BootstrapOptions{
		NodeID: "test/" + name, View: xds.GatewayView("crossfade-system", "crossfade"),
		XDSHost: "localhost", XDSPort: uint32(control.Port), AdminSocket: filepath.Join(dir, "admin.sock"),
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "bootstrap.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	command := exec.CommandContext(ctx, program, "-c", file, "--disable-hot-restart", "--concurrency", "2", "--log-level", "warning")
	command.Stderr = t.Output()
	if err := command.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait() // It was killed.
	})
}

// awaitAck waits until the proxy has confirmed a share of the canary.
func awaitAck(t *testing.T, s *server.Server, share float64) {
	t.Helper()
	changes, stop := s.Subscribe()
	defer stop()
	late := time.After(60 * time.Second)
	for {
		acks := s.ServiceAcks("shop/b")
		if len(acks) == 1 && acks[0].Current && acks[0].LowestShare("x2") == share && acks[0].HighestShare("x2") == share {
			return
		}
		select {
		case <-changes:
		case <-late:
			t.Fatalf("no proxy confirms the share %g: %+v", share, acks)
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}
