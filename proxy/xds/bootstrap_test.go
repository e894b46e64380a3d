package xds_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

var update = flag.Bool("update", false, "rewrite the goldens; read the difference before it is committed")

func TestBootstrap(t *testing.T) {
	cases := map[string]struct {
		reason  string
		options xds.BootstrapOptions
		golden  string
	}{
		"Socket": {
			reason: "with a socket the administration has no port, and without a port for statistics there is no listener",
			options: xds.BootstrapOptions{
				NodeID: "crossfade-system/crossfade-gateway-0", View: xds.GatewayView("crossfade-system", "crossfade"),
				XDSHost: "crossfade-xds.crossfade-system.svc", XDSPort: 15010, AdminSocket: "/tmp/envoy-admin.sock",
			},
			golden: "socket.json",
		},
		"StatsPort": {
			reason: "the port for statistics leads to two pages of the administration, which stays on loopback",
			options: xds.BootstrapOptions{
				NodeID: "crossfade-system/crossfade-gateway-0", View: xds.GatewayView("crossfade-system", "crossfade"),
				XDSHost: "10.0.0.1", XDSPort: 15010, StatsPort: 15090, MaxConnections: 1000,
			},
			golden: "stats-port.json",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := xds.Bootstrap(tc.options)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "bootstrap", tc.golden)
			if *update {
				if err := os.WriteFile(file, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s: %s differs (-want +got):\n%s", tc.reason, file, diff)
			}
		})
	}
}

func TestBootstrapNeedsAnIdentity(t *testing.T) {
	if got, err := xds.Bootstrap(xds.BootstrapOptions{XDSHost: "localhost", XDSPort: 1}); err == nil {
		t.Errorf("a proxy without a name and a view got a bootstrap: %s", got)
	}
}

// TestBootstrapStartsEnvoy starts the real Envoy with a bootstrap, and no control
// plane: it must stay alive, say that it is not ready, and open nothing but the two
// pages.
func TestBootstrapStartsEnvoy(t *testing.T) {
	program := findEnvoy(t)
	stats := freePort(t)
	dir := t.TempDir()
	content, err := xds.Bootstrap(xds.BootstrapOptions{
		NodeID: "test/proxy", View: xds.GatewayView("test", "test"), XDSHost: "127.0.0.1", XDSPort: freePort(t),
		AdminSocket: filepath.Join(dir, "admin.sock"), StatsPort: stats,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "bootstrap.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	command := exec.CommandContext(ctx, program, "-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning")
	var log bytes.Buffer
	command.Stderr = &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait() // It was killed.
		for _, word := range []string{"deprecated", "no configured limit"} {
			if strings.Contains(strings.ToLower(log.String()), word) {
				t.Errorf("Envoy complains (%s):\n%s", word, &log)
			}
		}
	})
	// Envoy's listeners wait for the first configuration, so the administration itself
	// is asked.
	admin := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "admin.sock"))
		},
	}}
	if got := await(t, admin, "http://admin/ready"); got != "503 PRE_INITIALIZING" {
		t.Errorf("/ready says %q, want 503 PRE_INITIALIZING", got)
	}
	if got := await(t, admin, "http://admin/stats/prometheus?usedonly"); !strings.Contains(got, "envoy_cluster_upstream_cx_total{envoy_cluster_name=\"xds\"}") {
		t.Errorf("the statistics do not name the control plane's cluster:\n%.2000s", got)
	}
	if got := await(t, admin, "http://admin/runtime"); !strings.Contains(got, "re2.max_program_size.error_level") {
		t.Errorf("the runtime has no bound for expressions: %s", got)
	}
}

// await asks until there is an answer; the test's own deadline bounds it.
func await(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		response, err := client.Get(url)
		if err == nil {
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			return fmt.Sprintf("%d %s", response.StatusCode, strings.TrimSpace(string(body)))
		}
		if time.Now().After(deadline) {
			t.Fatalf("ask %s: %v", url, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func freePort(t *testing.T) uint32 {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return uint32(listener.Addr().(*net.TCPAddr).Port)
}
