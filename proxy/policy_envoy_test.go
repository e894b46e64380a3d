package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// closed is a pod whose callers are named. PORT is where it listens.
const closed = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {crossfade.dev/injection: enabled}}
---
apiVersion: crossfade.dev/v1alpha1
kind: MeshPolicy
metadata: {name: payments, namespace: shop}
spec:
  access:
    default: Deny
    allow:
    - from: [{namespace: web, serviceAccounts: [front.end]}]
      methods: [GET]
      paths: [/api/*, /v1.0/status]
      ports: [PORT]
    - from: [{namespace: batch}]
    - from: [{namespace: other}]
      ports: [1]
    - paths: [/public]
---
apiVersion: v1
kind: Pod
metadata: {name: payments, namespace: shop, labels: {crossfade.dev/proxy: sidecar}}
status: {phase: Running, podIP: 10.0.0.1}
`

// TestEnvoyKeepsTheRules asks a real sidecar as callers of all kinds.
func TestEnvoyKeepsTheRules(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }))
	t.Cleanup(app.Close)
	ca := newAuthority(t)
	sidecar := startSidecar(t, ca, closed, app.Listener.Addr())
	const front = "spiffe://cluster.local/ns/web/sa/front.end"
	for name, tc := range map[string]struct {
		reason string
		// id is empty for cleartext, alpn for a connection that says that it is HTTP.
		id, alpn, method, path string
		// want is a status, 0 for a closed connection.
		want int
	}{
		"allowed":                {id: front, path: "/api/x", want: 200},
		"with a query":           {reason: "it does not count", id: front, path: "/api/x?y=/../admin", want: 200},
		"exact":                  {id: front, path: "/v1.0/status", want: 200},
		"a dot is a dot":         {reason: "in a path", id: front, path: "/v1x0/status", want: 403},
		"a dot in a name":        {reason: "of a ServiceAccount", id: "spiffe://cluster.local/ns/web/sa/frontxend", path: "/api/x", want: 403},
		"longer than exact":      {id: front, path: "/v1.0/status/", want: 403},
		"without the slash":      {reason: "/api/* begins with /api/", id: front, path: "/api", want: 403},
		"other method":           {id: front, method: "POST", path: "/api/x", want: 403},
		"method in lower case":   {reason: "methods are compared as they are; Envoy knows no such one", id: front, method: "get", path: "/api/x", want: 400},
		"longer account":         {id: front + "2", path: "/api/x", want: 403},
		"longer namespace":       {id: "spiffe://cluster.local/ns/web2/sa/front.end", path: "/api/x", want: 403},
		"shorter namespace":      {id: "spiffe://cluster.local/ns/we/sa/front.end", path: "/api/x", want: 403},
		"dots go up":             {id: front, path: "/api/../admin", want: 403},
		"encoded dots go up":     {id: front, path: "/api/%2e%2e/admin", want: 403},
		"backslashes go up":      {id: front, path: `/api/..\admin`, want: 403},
		"encoded slashes":        {reason: "an application may take them for slashes or not", id: front, path: "/api/..%2fadmin", want: 400},
		"down and up again":      {id: front, path: "/admin/../api/x", want: 200},
		"two slashes":            {id: front, path: "//api/x", want: 403},
		"absolute":               {reason: "its path is what counts", id: front, path: "http://shop/admin", want: 403},
		"cleartext":              {reason: "it proves nothing", path: "/api/x", want: 403},
		"cleartext to public":    {reason: "a rule without from is for all", path: "/public", want: 200},
		"whole namespace":        {id: "spiffe://cluster.local/ns/batch/sa/any.thing", method: "PUT", path: "/admin", want: 200},
		"whole namespace, not 2": {id: "spiffe://cluster.local/ns/batch2/sa/x", path: "/admin", want: 403},
		"other port":             {id: "spiffe://cluster.local/ns/other/sa/x", path: "/admin", want: 403},
		"other trust domain":     {reason: "the handshake fails already", id: "spiffe://evil/ns/batch/sa/x", path: "/admin", want: 0},
		"bytes":                  {id: "spiffe://cluster.local/ns/batch/sa/x", alpn: "crossfade", path: "/admin", want: 200},
		"bytes of an HTTP rule":  {reason: "nobody looks at their methods and paths", id: front, alpn: "crossfade", path: "/api/x", want: 0},
		"bytes at another port":  {id: "spiffe://cluster.local/ns/other/sa/x", alpn: "crossfade", path: "/admin", want: 0},
		"bytes of a stranger":    {id: "spiffe://cluster.local/ns/web2/sa/x", alpn: "crossfade", path: "/public", want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, ca, sidecar.address, caller{id: tc.id, alpn: tc.alpn}, tc.method, tc.path)
			if got != tc.want {
				t.Errorf("%s: got %d, want %d", tc.reason, got, tc.want)
			}
		})
	}
	t.Run("log", func(t *testing.T) { testDenialsAreLogged(t, ca, sidecar, front) })
}

// testDenialsAreLogged finds a line for what was refused, and none for the rest.
func testDenialsAreLogged(t *testing.T, ca authority, sidecar *runningSidecar, front string) {
	call(t, ca, sidecar.address, caller{id: front}, "", "/api/quiet")
	call(t, ca, sidecar.address, caller{id: front}, "", "/loud?password=secret")
	call(t, ca, sidecar.address, caller{id: front, alpn: "crossfade"}, "", "/bytes")
	var request, connection map[string]any
	for deadline := time.Now().Add(30 * time.Second); request == nil || connection == nil; time.Sleep(50 * time.Millisecond) {
		for line := range strings.Lines(sidecar.out.String()) {
			var entry map[string]any
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatalf("%q is not JSON: %v", line, err)
			}
			switch path := entry["path"]; {
			case path == "/loud":
				request = entry
			case path == nil && entry["peer"] == front:
				connection = entry
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no line for what was refused in:\n%s", sidecar.out.String())
		}
	}
	if request["status"] != 403.0 || request["peer"] != front || request["method"] != "GET" {
		t.Errorf("the request's line is %v", request)
	}
	if log := sidecar.out.String(); strings.Contains(log, "quiet") || strings.Contains(log, "secret") || strings.Contains(log, "HTTP_REQUEST") {
		t.Errorf("the log says too much:\n%s", log)
	}
}

// TestEnvoyLetsNoByteThrough asks for a server that speaks first.
func TestEnvoyLetsNoByteThrough(t *testing.T) {
	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Close() })
	go func() {
		for {
			c, err := app.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "welcome\n")
		}
	}()
	ca := newAuthority(t)
	sidecar := startSidecar(t, ca, closed, app.Addr())
	for name, tc := range map[string]struct {
		who  caller
		want string
	}{
		"allowed":   {who: caller{id: "spiffe://cluster.local/ns/batch/sa/x", alpn: "crossfade"}, want: "welcome\n"},
		"stranger":  {who: caller{id: "spiffe://cluster.local/ns/web/sa/x", alpn: "crossfade"}},
		"cleartext": {who: caller{}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := tc.who.dial(t, ca, sidecar.address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			got, _ := bufio.NewReader(c).ReadString('\n')
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// caller is who asks: nobody in particular without an id.
type caller struct{ id, alpn string }

func (c caller) dial(t *testing.T, ca authority, address string) (net.Conn, error) {
	t.Helper()
	if c.id == "" {
		return net.Dial("tcp", address)
	}
	dir := ca.write(t, c.id)
	certificate, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	alpn := c.alpn
	if alpn == "" {
		alpn = "crossfade-http/1.1"
	}
	return tls.Dial("tcp", address, &tls.Config{
		Certificates: []tls.Certificate{certificate}, NextProtos: []string{alpn},
		InsecureSkipVerify: true, // The server's name is not what is tested.
	})
}

// call sends a request as it stands and returns the status, 0 without any.
func call(t *testing.T, ca authority, address string, who caller, method, path string) int {
	t.Helper()
	c, err := who.dial(t, ca, address)
	if err != nil {
		return 0
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if method == "" {
		method = "GET"
	}
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", method, path); err != nil {
		return 0
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// runningSidecar is a real Envoy with the inbound listener of a sidecar.
type runningSidecar struct {
	address string
	// admin is its administration, if it has one.
	admin string
	out   *output
}

// output is what a process has written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startSidecar lets the real Envoy stand before an application as the sidecar of the
// only shape in namespace shop. There is no interception here, so the application is
// where Envoy is told, and not where the connection was going.
func startSidecar(t *testing.T, ca authority, objects string, app net.Addr) *runningSidecar {
	t.Helper()
	return startSidecarWith(t, ca, objects, app, ir.Collector{})
}

// startSidecarWith is startSidecar with a collector, and with the administration on a
// port.
func startSidecarWith(t *testing.T, ca authority, objects string, app net.Addr, collector ir.Collector) *runningSidecar {
	t.Helper()
	port, admin := freePort(t), freePort(t)
	in := parseObjects(t, t.Name(), []byte(strings.ReplaceAll(objects, "PORT", fmt.Sprint(port))))
	in.Options.Collector = collector
	options := xds.Options{TLSDir: ca.write(t, "spiffe://cluster.local/ns/shop/sa/payments")}
	world := options.Translate(nil, proxy.Build(in).Config)
	config := static(t, world.Snapshots[xds.SidecarView("shop", "")], nil)
	config.Admin.Address = loopback(uint32(admin))
	only(t, config, xds.InboundName)
	config.StaticResources.Listeners[0].Address = loopback(uint32(port))
	for _, c := range config.StaticResources.Clusters {
		if c.GetName() == xds.InboundName {
			c.ClusterDiscoveryType, c.LbPolicy, c.UpstreamBindConfig = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, clusterv3.Cluster_ROUND_ROBIN, nil
			c.LoadAssignment = &endpointv3.ClusterLoadAssignment{ClusterName: c.GetName(), Endpoints: []*endpointv3.LocalityLbEndpoints{{
				LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
					Endpoint: &endpointv3.Endpoint{Address: loopback(uint32(app.(*net.TCPAddr).Port))},
				}}},
			}}}
		}
	}
	sidecar := &runningSidecar{
		address: fmt.Sprintf("127.0.0.1:%d", port), admin: fmt.Sprintf("http://127.0.0.1:%d", admin), out: &output{},
	}
	startStatic(t, config, sidecar)
	return sidecar
}

// only leaves one listener.
func only(t *testing.T, config *bootstrapv3.Bootstrap, name string) {
	t.Helper()
	for _, l := range config.StaticResources.Listeners {
		if l.GetName() == name {
			config.StaticResources.Listeners = append(config.StaticResources.Listeners[:0], l)
			return
		}
	}
	t.Fatalf("there is no listener %s", name)
}

func startStatic(t *testing.T, config *bootstrapv3.Bootstrap, sidecar *runningSidecar) {
	t.Helper()
	content, err := protojson.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	command := exec.CommandContext(ctx, findEnvoy(t), "-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "error", "--file-flush-interval-msec", "100")
	command.Stdout, command.Stderr = sidecar.out, t.Output()
	if err := command.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait() // It was killed.
	})
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		connection, err := net.Dial("tcp", sidecar.address)
		if err == nil {
			_ = connection.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
