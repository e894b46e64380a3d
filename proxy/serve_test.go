package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// served are the objects of TestEnvoyServes. PORT-A and PORT-B are where the pods of
// the Services a and b listen; those of b are half way through a delivery.
const served = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: crossfade}
spec: {controllerName: crossfade.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: crossfade, namespace: crossfade-system}
spec: {gatewayClassName: crossfade, listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]}
---
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {selector: {app: a}, ports: [{port: 80, targetPort: PORT-A}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec: {selector: {app: b}, ports: [{port: 80, targetPort: web}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, labels: {app: a}}
status: {podIP: 127.0.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b-stable, namespace: shop, labels: {app: b, pod-template-hash: s1}}
spec: {containers: [{name: main, ports: [{name: web, containerPort: PORT-A}]}]}
status: {podIP: 127.0.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b-canary, namespace: shop, labels: {app: b, pod-template-hash: x2}}
spec: {containers: [{name: main, ports: [{name: web, containerPort: PORT-B}]}]}
status: {podIP: 127.0.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: crossfade.dev/v1alpha1
kind: Rollout
metadata: {name: b, namespace: shop}
spec: {workloadRef: {name: b}, serviceRef: {name: b}, strategy: {canary: {steps: [{weight: 25}]}}}
status: {record: {stage: Stepping, workload: b, workloadUID: u, service: b, stable: s1, canary: x2, weight: 25, total: 100, capacity: 1}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: hosts, namespace: shop}
spec:
  parentRefs: [{name: crossfade, namespace: crossfade-system}]
  hostnames: [shop.example.com, "*.wild.example.com"]
  rules:
  - matches: [{path: {type: PathPrefix, value: /foo}}, {path: {type: Exact, value: /exact}}]
    backendRefs: [{name: a, port: 80}]
  - matches: [{path: {value: /header}, headers: [{name: X-Tier, type: RegularExpression, value: "gold|silver"}]}, {path: {value: /header}, method: PUT}]
    backendRefs: [{name: a, port: 80}]
  - matches: [{path: {value: /gone}}]
    backendRefs: [{name: gone, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: split, namespace: shop}
spec:
  parentRefs: [{name: crossfade, namespace: crossfade-system}]
  hostnames: [split.example.com]
  rules:
  - {matches: [{path: {value: /b}}], backendRefs: [{name: b, port: 80}]}
  - {matches: [{path: {value: /two}}], backendRefs: [{name: a, port: 80}, {name: b, port: 80}]}
  - {matches: [{path: {value: /half}}], backendRefs: [{name: a, port: 80}, {name: gone, port: 80}]}
`

// TestEnvoyServes lets the real Envoy serve what is made of objects, and asks it: the
// meaning of matches and weights is what counts, not how they are written.
func TestEnvoyServes(t *testing.T) {
	a, b := startPod(t, "a"), startPod(t, "b")
	objects := strings.NewReplacer("PORT-A", fmt.Sprint(a), "PORT-B", fmt.Sprint(b)).Replace(served)
	world := xds.Translate(nil, proxy.Build(parseObjects(t, "served", []byte(objects))).Config)
	base := startGateway(t, world.Snapshots[xds.GatewayView("crossfade-system", "crossfade")])

	cases := map[string]struct {
		reason             string
		method, host, path string
		header             string
		want               string
	}{
		"Prefix":        {"the prefix itself", "GET", "shop.example.com", "/foo", "", "200 a"},
		"Segment":       {"a segment below it", "GET", "shop.example.com", "/foo/bar?q=1", "", "200 a"},
		"PrefixQuery":   {"the query is no part of the path", "GET", "shop.example.com", "/foo?q=1", "", "200 a"},
		"NoSegment":     {"no whole segment", "GET", "shop.example.com", "/foobar", "", "404"},
		"Normalized":    {"paths are normalized before they are matched", "GET", "shop.example.com", "/bar/../foo", "", "200 a"},
		"Exact":         {"the very path", "GET", "shop.example.com", "/exact", "", "200 a"},
		"NotExact":      {"nothing below it", "GET", "shop.example.com", "/exact/x", "", "404"},
		"HostCase":      {"hosts have no case", "GET", "SHOP.example.com", "/foo", "", "200 a"},
		"HostPort":      {"clients may name a port", "GET", "shop.example.com:8080", "/foo", "", "200 a"},
		"OtherHost":     {"another host", "GET", "example.com", "/foo", "", "404"},
		"Wildcard":      {"a host below the wildcard", "GET", "a.b.wild.example.com", "/foo", "", "200 a"},
		"WildcardApex":  {"but not the wildcard's own", "GET", "wild.example.com", "/foo", "", "404"},
		"HeaderRegex":   {"the whole value matches", "GET", "shop.example.com", "/header", "gold", "200 a"},
		"HeaderPart":    {"a part of the value does not", "GET", "shop.example.com", "/header", "golden", "404"},
		"HeaderMissing": {"no header, no match", "GET", "shop.example.com", "/header", "", "404"},
		"Method":        {"another match of the same rule", "PUT", "shop.example.com", "/header", "", "200 a"},
		"Unreachable":   {"a backend that does not exist", "GET", "shop.example.com", "/gone", "", "500"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := ask(t, base, tc.method, tc.host, tc.path, tc.header); got != tc.want {
				t.Errorf("%s: %s http://%s%s says %q, want %q", tc.reason, tc.method, tc.host, tc.path, got, tc.want)
			}
		})
	}
	t.Run("Weights", func(t *testing.T) {
		const n = 2000
		canary, failed := 0, 0
		for range n {
			if ask(t, base, "GET", "split.example.com", "/b", "") == "200 b" {
				canary++
			}
			if ask(t, base, "GET", "split.example.com", "/half", "") == "500" {
				failed++
			}
		}
		// Five standard deviations: one run in a million is outside by chance.
		if canary < 500-97 || canary > 500+97 {
			t.Errorf("the canary at 25 of 100 got %d of %d requests", canary, n)
		}
		if failed < 1000-112 || failed > 1000+112 {
			t.Errorf("half the backends do not exist, but %d of %d requests failed", failed, n)
		}
	})
}

// startPod starts something that answers its name, and returns its port.
func startPod(t *testing.T, name string) int {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, name) // A client that went away is no concern of a pod's.
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port
}

// startGateway lets the real Envoy serve a gateway's snapshot, without a control
// plane, and returns its address.
func startGateway(t *testing.T, snapshot *xds.Snapshot) string {
	t.Helper()
	address, _ := startGatewayWithStats(t, snapshot)
	return address
}

// startGatewayWithStats returns where its statistics are, too.
func startGatewayWithStats(t *testing.T, snapshot *xds.Snapshot) (address, stats string) {
	t.Helper()
	program := findEnvoy(t)
	port, admin := freePort(t), freePort(t)
	config := static(t, snapshot, nil)
	config.Admin = &bootstrapv3.Admin{Address: loopback(uint32(admin))}
	config.StaticResources.Listeners[0].Address = loopback(uint32(port))
	content, err := protojson.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	command := exec.CommandContext(ctx, program, "-c", file, "--disable-hot-restart", "--concurrency", "2", "--log-level", "error")
	command.Stderr = t.Output()
	if err := command.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait() // It was killed.
	})
	address, stats = fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("http://127.0.0.1:%d/stats", admin)
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			_ = connection.Close()
			return "http://" + address, stats
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// ask returns the status, and the answer of a pod.
func ask(t *testing.T, base, method, host, path, tier string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	if tier != "" {
		request.Header.Set("X-Tier", tier)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", response.StatusCode, body))
}
