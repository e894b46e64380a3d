package xds_test

import (
	"bytes"
	"context"
	"encoding/json"
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
				NodeID: "crossfade-system/crossfade-gateway-0", View: xds.GatewayView("crossfade-system", "crossfade"), Version: "v1.2.3",
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
// plane: it must stay alive, say that it is not ready, and not complain.
func TestBootstrapStartsEnvoy(t *testing.T) {
	dir := t.TempDir()
	content := bootstrap(t, xds.BootstrapOptions{XDSPort: freePort(t), AdminSocket: filepath.Join(dir, "admin.sock"), StatsPort: freePort(t)})
	startEnvoy(t, dir, content)
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

// TestBootstrapOpensTwoPages starts the real Envoy as if its first configuration had
// come, which is when it listens: two pages are to be read, and nothing of the
// administration can be reached beside them.
func TestBootstrapOpensTwoPages(t *testing.T) {
	port := freePort(t)
	dir := t.TempDir()
	var parsed map[string]any
	content := bootstrap(t, xds.BootstrapOptions{XDSPort: freePort(t), AdminSocket: filepath.Join(dir, "admin.sock"), StatsPort: port})
	if err := json.Unmarshal(content, &parsed); err != nil {
		t.Fatal(err)
	}
	delete(parsed, "dynamicResources")
	content, err := json.Marshal(parsed)
	if err != nil {
		t.Fatal(err)
	}
	startEnvoy(t, dir, content)
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	cases := map[string]struct {
		reason, method, path string
		want                 int
	}{
		"Metrics":    {"what Prometheus reads", http.MethodGet, "/stats/prometheus?usedonly", 200},
		"Ready":      {"what a probe reads", http.MethodGet, "/ready", 200},
		"Post":       {"nothing is to be written", http.MethodPost, "/ready", 404},
		"Quit":       {"nobody else may stop the proxy", http.MethodPost, "/quitquitquit", 404},
		"ConfigDump": {"nor read its configuration", http.MethodGet, "/config_dump", 404},
		"Around":     {"not by a detour either", http.MethodGet, "/ready/../config_dump", 404},
	}
	await(t, http.DefaultClient, base+"/ready")
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), tc.method, base+tc.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != tc.want {
				t.Errorf("%s: %s %s says %d, want %d", tc.reason, tc.method, tc.path, response.StatusCode, tc.want)
			}
		})
	}
}

func bootstrap(t *testing.T, o xds.BootstrapOptions) []byte {
	t.Helper()
	o.NodeID, o.View, o.XDSHost = "test/proxy", xds.GatewayView("test", "test"), "127.0.0.1"
	content, err := xds.Bootstrap(o)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// startEnvoy starts the real Envoy until the test ends, and fails it when Envoy
// complains of what it was given.
func startEnvoy(t *testing.T, dir string, bootstrap []byte) {
	t.Helper()
	program := findEnvoy(t)
	file := filepath.Join(dir, "bootstrap.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	command := exec.CommandContext(ctx, program, "-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning")
	var log bytes.Buffer
	command.Stderr = &log
	if err := command.Start(); err != nil {
		cancel()
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
}

// await asks until there is an answer; the test's own deadline bounds it.
func await(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
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
