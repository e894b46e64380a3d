package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/server"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// meshed are the objects of TestSidecars.
const meshed = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {crossfade.dev/injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec:
  clusterIP: 10.96.0.10
  selector: {app: b}
  ports: [{name: any, port: 80, targetPort: 8080}, {name: http2, port: 82, targetPort: 8080}, {name: grpc, port: 81, targetPort: 8081}, {name: tcp, port: 90, targetPort: 9000}]
---
apiVersion: v1
kind: Service
metadata: {name: peers, namespace: shop}
spec: {clusterIP: None, selector: {app: b}, ports: [{name: http, port: 8080}, {name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Pod
metadata: {name: stable, namespace: shop, labels: {app: b, pod-template-hash: s1, crossfade.dev/proxy: sidecar}}
status: {podIP: 10.203.0.11, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: canary, namespace: shop, labels: {app: b, pod-template-hash: x2, crossfade.dev/proxy: sidecar}}
status: {podIP: 10.203.0.12, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web, crossfade.dev/proxy: sidecar}}
status: {podIP: 10.203.0.10, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: crossfade.dev/v1alpha1
kind: Rollout
metadata: {name: b, namespace: shop}
spec: {workloadRef: {name: b}, serviceRef: {name: b}, strategy: {canary: {steps: [{weight: 25}]}}}
status: {record: {stage: Stepping, workload: b, workloadUID: u, service: b, stable: s1, canary: x2, weight: 25, total: 100, capacity: 1}}
`

// meshWorld is a small cluster: a client, a stable and a canary pod with sidecars, and
// a pod without.
type meshWorld struct {
	t                          *testing.T
	in                         proxy.Input
	world                      *xds.World
	server                     *server.Server
	web, stable, canary, plain *pod
	states                     []*health.Server
}

func newMeshWorld(t *testing.T) *meshWorld {
	t.Helper()
	root := newAuthority(t)
	return newMeshWorldOf(t, func(id string) string { return root.write(t, id) }, 5)
}

// newMeshWorldOf is newMeshWorld with an authority that makes the folder of an identity,
// and the seconds that connections get when their listener changes.
func newMeshWorldOf(t *testing.T, identities func(id string) (dir string), drain int) *meshWorld {
	t.Helper()
	program := findEnvoy(t)
	hub := newHub(t)
	w := &meshWorld{t: t, in: parseObjects(t, "meshed", []byte(meshed))}
	w.server = server.New(server.Options{
		Logger: logr.Discard(), Now: time.Now,
		ViewOf: func(*corev3.Node) (string, error) { return xds.SidecarView("shop", ""), nil },
	})
	w.publish()
	listener := hub.listen(hub.ip + ":0")
	g := grpc.NewServer(server.GRPCOptions(time.Hour)...)
	w.server.Register(g)
	go func() { _ = g.Serve(listener) }() // It ends with the test.
	t.Cleanup(g.Stop)

	for _, p := range []struct {
		pod     **pod
		name    string
		address string
	}{{&w.web, "web", "10.203.0.10"}, {&w.stable, "stable", "10.203.0.11"}, {&w.canary, "canary", "10.203.0.12"}, {&w.plain, "plain", "10.203.0.13"}} {
		made := newPod(t, hub, p.name, p.address)
		*p.pod = made
		if made.name != "plain" {
			id := "spiffe://cluster.local/ns/shop/sa/" + made.name
			made.sidecar(program, identities(id), hub.ip, uint32(listener.Addr().(*net.TCPAddr).Port), drain)
		}
		w.states = append(w.states, made.serve())
	}
	w.await(25)
	return w
}

func (w *meshWorld) publish() {
	w.world = xds.Options{TLSDir: "tls"}.Translate(w.world, proxy.Build(w.in).Config)
	for view, snapshot := range w.world.Snapshots {
		w.server.Publish(view, snapshot)
	}
}

func (w *meshWorld) shift(weight int32) {
	w.in.Rollouts[0].Status.Record.Weight = weight
	w.publish()
	w.await(float64(weight))
}

func (w *meshWorld) mode(mode v1alpha1.MTLSMode) {
	policy := &v1alpha1.MeshPolicy{}
	policy.Namespace, policy.Name = "shop", "all"
	policy.Spec.MTLS = &v1alpha1.MTLSPolicy{Mode: mode}
	w.in.MeshPolicies = []*v1alpha1.MeshPolicy{policy}
	w.publish()
}

// await waits until all three sidecars have confirmed the canary's weight.
func (w *meshWorld) await(weight float64) {
	w.t.Helper()
	changes, stop := w.server.Subscribe()
	defer stop()
	late := time.After(60 * time.Second)
	for {
		confirmed := 0
		acks := w.server.ServiceAcks("shop/b")
		for _, ack := range acks {
			// Of four ports, three have routes and two have weighted endpoints.
			if ack.Current && len(ack.Acked) == 5 && ack.LowestShare("x2") == weight/100 && ack.HighestShare("x2") == weight/100 {
				confirmed++
			}
		}
		if confirmed == 3 {
			return
		}
		select {
		case <-changes:
		case <-late:
			w.t.Fatalf("%d of 3 proxies confirm %g: %+v", confirmed, weight, acks)
		}
	}
}

// get asks and returns who answered and who the application thinks has asked.
func get(client *http.Client, url string, header ...string) (answer, peer string, err error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return "", "", err
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return "", "", fmt.Errorf("status %d: %s", response.StatusCode, body)
	}
	return string(body), response.Header.Get("X-Peer"), err
}

// TestSidecars lets real Envoys intercept the connections of pods, and asks what an
// application would.
func TestSidecars(t *testing.T) {
	w := newMeshWorld(t)
	t.Run("Protocols", w.protocols)
	t.Run("Identity", w.identity)
	t.Run("Direct", w.direct)
	t.Run("Weights", w.weights)
	t.Run("Moving", w.moving)
	t.Run("Strict", w.strict)
	t.Run("Gone", w.gone)
}

func (w *meshWorld) protocols(t *testing.T) {
	for name, url := range map[string]string{"HTTP1": "http://10.96.0.10", "HTTP1ToHTTP2": "http://10.96.0.10:82"} {
		if answer, peer, err := get(w.web.client(false), url); err != nil || answer == "" || !strings.Contains(peer, "URI=spiffe://cluster.local/ns/shop/sa/web") {
			t.Errorf("%s: %q, %q, %v", name, answer, peer, err)
		}
	}
	for name, url := range map[string]string{"HTTP2": "http://10.96.0.10:82", "HTTP2Undeclared": "http://10.96.0.10"} {
		if answer, _, err := get(w.web.client(true), url); err != nil || answer == "" {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
	}
	connection, err := w.web.dial(t.Context(), "", "10.96.0.10:90")
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := line(connection); answer == "" || err != nil {
		t.Errorf("TCP, server first: %q, %v", answer, err)
	}
	_ = connection.Close()
	if socket, answer := w.socket(t); answer == "" {
		t.Error("no WebSocket")
	} else {
		_ = socket.Close()
	}
	calls := w.calls(t)
	if answer, err := calls.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil || answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("gRPC: %v, %v", answer, err)
	}
	if answer, _, err := get(w.web.client(false), "http://10.203.0.13:8080"); answer != "plain" || err != nil {
		t.Errorf("what the mesh does not know: %q, %v", answer, err)
	}
	if loop, err := w.web.dial(t.Context(), "", "127.0.0.1:15001"); err == nil {
		if text, err := line(loop); !errors.Is(err, io.EOF) {
			t.Errorf("who asks for the proxy's own port is let down: %q, %v", text, err)
		}
	}
	seen := map[string]bool{}
	for range 60 {
		answer, _, err := get(w.canary.client(false), "http://10.96.0.10")
		if err != nil {
			t.Errorf("a pod behind a Service asks the Service: %v", err)
		}
		seen[answer] = true
	}
	if !seen["canary"] || !seen["stable"] {
		t.Errorf("a pod behind a Service reaches %v by it, not itself and the other one", seen)
	}
}

// socket opens a WebSocket to the Service.
func (w *meshWorld) socket(t *testing.T) (net.Conn, string) {
	t.Helper()
	connection, err := w.web.dial(t.Context(), "", "10.96.0.10:80")
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(connection, "GET /socket HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	_ = connection.SetReadDeadline(time.Now().Add(10 * time.Second))
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("WebSocket: %v, %v", response, err)
	}
	answer, err := reader.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return connection, strings.TrimSpace(answer)
}

func (w *meshWorld) calls(t *testing.T) grpc_health_v1.HealthClient {
	t.Helper()
	connection, err := grpc.NewClient("passthrough:///10.96.0.10:81", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return w.web.dial(ctx, "", address) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return grpc_health_v1.NewHealthClient(connection)
}

// identity shows that an application learns who asks, and that nobody can pretend.
func (w *meshWorld) identity(t *testing.T) {
	const forged = "URI=spiffe://cluster.local/ns/shop/sa/admin"
	_, peer, err := get(w.web.client(false), "http://10.96.0.10", "X-Forwarded-Client-Cert", forged)
	if err != nil || strings.Contains(peer, "admin") || !strings.Contains(peer, "sa/web") {
		t.Errorf("a meshed client says that it is admin, and the application believes %q, %v", peer, err)
	}
	for name, client := range map[string]*http.Client{"HTTP1": w.plain.client(false), "HTTP2": w.plain.client(true)} {
		answer, peer, err := get(client, "http://10.203.0.11:8080", "X-Forwarded-Client-Cert", forged)
		if err != nil || answer != "stable" || peer != "" {
			t.Errorf("%s: a client outside the mesh says that it is admin; it gets %q, and the application believes %q, %v", name, answer, peer, err)
		}
	}
	connection, err := w.plain.dial(t.Context(), "", "10.203.0.11:9000")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if answer, err := line(connection); answer != "stable" || err != nil {
		t.Errorf("a client outside the mesh that lets the server speak first: %q, %v", answer, err)
	}
}

// direct asks one pod of a headless Service, as its client chose.
func (w *meshWorld) direct(t *testing.T) {
	answer, peer, err := get(w.web.client(false), "http://10.203.0.12:8080")
	if err != nil || answer != "canary" || !strings.Contains(peer, "sa/web") {
		t.Errorf("the canary's pod by its own address: %q, %q, %v", answer, peer, err)
	}
	connection, err := w.web.dial(t.Context(), "", "10.203.0.12:9000")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if answer, err := line(connection); answer != "canary" || err != nil {
		t.Errorf("the canary's pod by its own address: %q, %v", answer, err)
	}
}

func (w *meshWorld) weights(t *testing.T) {
	const n = 1000
	client := w.web.client(false)
	requests, connections := 0, 0
	for range n {
		if answer, _, err := get(client, "http://10.96.0.10"); err != nil {
			t.Fatal(err)
		} else if answer == "canary" {
			requests++
		}
	}
	for range n {
		connection, err := w.web.dial(t.Context(), "", "10.96.0.10:90")
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := line(connection); err != nil {
			t.Fatal(err)
		} else if answer == "canary" {
			connections++
		}
		_ = connection.Close()
	}
	// Five standard deviations: one run in a million is outside by chance.
	if requests < 250-69 || requests > 250+69 {
		t.Errorf("the canary at 25 of 100 got %d of %d requests", requests, n)
	}
	if connections < 250-69 || connections > 250+69 {
		t.Errorf("the canary at 25 of 100 got %d of %d connections", connections, n)
	}
}

// moving moves weights under load: nothing may fail, and nobody be sent elsewhere.
func (w *meshWorld) moving(t *testing.T) {
	alive, load := w.lasting(t), w.load(t)
	for _, weight := range []int32{0, 5, 50, 100, 50, 1, 0, 100, 0, 25} {
		w.shift(weight)
		if weight%100 != 0 {
			continue
		}
		want := map[int32]string{0: "stable", 100: "canary"}[weight]
		for range 20 {
			if answer, _, err := get(w.web.client(false), "http://10.96.0.10"); answer != want || err != nil {
				t.Errorf("weight %d is confirmed, and %q answers, %v", weight, answer, err)
			}
		}
	}
	load.check(t)
	alive()
}

// strict turns cleartext off and on again under load.
func (w *meshWorld) strict(t *testing.T) {
	alive, load := w.lasting(t), w.load(t)
	asks := func() error {
		client := w.plain.client(false)
		client.Transport.(*http.Transport).DisableKeepAlives = true
		_, _, err := get(client, "http://10.203.0.11:8080")
		return err
	}
	until := func(want bool, what string) {
		t.Helper()
		for late := time.Now().Add(30 * time.Second); (asks() == nil) != want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(late) {
				t.Fatal(what)
			}
		}
	}
	for range 2 {
		w.mode(v1alpha1.MTLSStrict)
		until(false, "a client outside the mesh is still served")
		for range 20 {
			if asks() == nil {
				t.Error("a client outside the mesh is served now and then")
			}
		}
		time.Sleep(6 * time.Second) // Longer than connections have to drain.
		w.mode(v1alpha1.MTLSPermissive)
		until(true, "a client outside the mesh is not served again")
	}
	load.check(t)
	alive()
}

// gone ends the canary's application while all still send requests to its pod: they
// were not seen there, and another pod answers.
func (w *meshWorld) gone(t *testing.T) {
	w.shift(50)
	if err := w.canary.web.Close(); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"http://10.96.0.10", "http://10.96.0.10:82"} {
		client := w.web.client(false)
		for range 100 {
			if answer, _, err := get(client, url); answer != "stable" || err != nil {
				t.Fatalf("%s: %q, %v", url, answer, err)
			}
		}
	}
}
