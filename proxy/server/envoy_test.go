package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/grpc"
)

var envoyBinary = flag.String("envoy", "", "an Envoy to run TestEnvoy with")

const envoyBootstrap = `
node: {id: envoy, cluster: test}
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{envoy_grpc: {cluster_name: xds}}]
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  clusters:
  - name: xds
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: xds
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]
`

// controller is a server that can be restarted on the same address.
type controller struct {
	t       *testing.T
	server  *Server
	grpc    *grpc.Server
	address string
}

func (c *controller) start() {
	c.t.Helper()
	if c.address == "" {
		c.address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.address = listener.Addr().String()
	c.server = New(testOptions())
	c.grpc = grpc.NewServer(GRPCOptions(time.Hour)...)
	c.server.Register(c.grpc)
	go func() { _ = c.grpc.Serve(listener) }()
}

// TestEnvoy takes a real Envoy through revisions that come, get weight and go, and through restarts of the server into a
// newer world, all under load. It runs only where it is given an Envoy; the simulation covers the same without one.
func TestEnvoy(t *testing.T) {
	if *envoyBinary == "" {
		t.Skip("no -envoy given")
	}
	c := &controller{t: t}
	c.start()
	t.Cleanup(func() { c.grpc.Stop() })
	port := freePort(t)
	listener := envoyListener(t, port)
	var pods [3]net.Addr
	for i := range pods {
		pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i) }))
		t.Cleanup(pod.Close)
		pods[i] = pod.Listener.Addr()
	}
	rev := func(i int, weight uint32) revision {
		return revision{fmt.Sprint("r", i%4), weight, []net.Addr{pods[i%len(pods)]}}
	}
	put := func(revisions ...revision) { c.server.Publish(testView, mesh(t, listener, revisions...)) }
	put(rev(0, 100))
	startEnvoy(t, c.address)
	current(t, c.server)

	ok, failed, stop := load(t, fmt.Sprintf("http://127.0.0.1:%d/", port))
	var longest time.Duration
	step := func(revisions ...revision) {
		start := time.Now()
		put(revisions...)
		current(t, c.server)
		longest = max(longest, time.Since(start))
		served := ok.Load() // Let each state meet some requests.
		for ok.Load() < served+20 && failed.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	for i := range 20 {
		step(rev(i, 100), rev(i+1, 0))
		for _, weight := range []uint32{1, 5, 25, 50, 99} {
			step(rev(i, 100-weight), rev(i+1, weight))
		}
		// Everything at once: the weight goes, and with it the endpoints that carried it.
		gone := rev(i, 0)
		gone.addresses = nil
		step(gone, rev(i+1, 100))
		step(rev(i+1, 100))
	}
	t.Logf("20 rollouts: %d requests, %d failed, longest publish to ack %s", ok.Load(), failed.Load(), longest)
	for i := 20; i < 30; i++ {
		// The server goes away and comes back with another revision in the place of the only one.
		c.grpc.Stop()
		c.start()
		put(rev(i+1, 100))
		current(t, c.server)
	}
	for i := 30; i < 40; i++ {
		step(rev(i+2, 100)) // One revision in the place of another, in one publish.
		step(rev(i+1, 100))
	}
	stop()
	t.Logf("with 10 restarts and 20 exchanges: %d requests, %d failed", ok.Load(), failed.Load())
	if failed.Load() > 0 {
		t.Error("requests failed")
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func envoyListener(t *testing.T, port int) *listenerv3.Listener {
	t.Helper()
	return &listenerv3.Listener{
		Name: "web",
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
		}}},
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: connectionManager(t)},
		}}}},
	}
}

func startEnvoy(t *testing.T, server string) {
	t.Helper()
	address, err := net.ResolveTCPAddr("tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, envoyBootstrap, address.Port), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), *envoyBinary, "-c", path, "--concurrency", "2", "--use-dynamic-base-id",
		"--log-path", filepath.Join(os.TempDir(), "crossfade-envoy.log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// load requests the URL at about 1,000 a second until it is stopped, and counts.
func load(t *testing.T, url string) (ok, failed *atomic.Int64, stop func()) {
	t.Helper()
	ok, failed = &atomic.Int64{}, &atomic.Int64{}
	ctx, cancel := context.WithCancel(t.Context())
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 10}}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			ticker := time.NewTicker(10 * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
				if err := get(client, url); err != nil {
					if failed.Add(1) < 5 {
						t.Log(err)
					}
				} else {
					ok.Add(1)
				}
			}
		})
	}
	return ok, failed, func() { cancel(); wg.Wait() }
}

func get(client *http.Client, url string) error {
	r, err := client.Get(url)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return errors.Join(err, fmt.Errorf("%s: %s", r.Status, body))
	}
	return err
}
