package proxy_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// halfway is a delivery that gives half of the requests to its canary. STABLE and
// CANARY are where the pods listen, POLICY is what is asked of those who call them.
// OTHER is where a Service listens of which no policy speaks.
const halfway = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {crossfade.dev/injection: enabled}}
---
apiVersion: crossfade.dev/v1alpha1
kind: MeshPolicy
metadata: {name: payments, namespace: shop}
spec: POLICY
---
apiVersion: crossfade.dev/v1alpha1
kind: Rollout
metadata: {name: payments, namespace: shop}
spec: {workloadRef: {name: payments}, serviceRef: {name: payments}, strategy: {canary: {steps: [{weight: 50}]}}}
status: {record: {stage: Stepping, workload: payments, workloadUID: u, service: payments, stable: s1, canary: x2, weight: 50, total: 100, capacity: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: shop}
spec: {clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10], selector: {app: payments}, ports: [{name: http, port: 80, targetPort: web}, {name: tcp, port: 90, targetPort: web}]}
---
apiVersion: v1
kind: Pod
metadata: {name: stable, namespace: shop, labels: {app: payments, pod-template-hash: s1}}
spec: {containers: [{name: main, ports: [{name: web, containerPort: STABLE}]}]}
status: {phase: Running, podIP: 127.0.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: canary, namespace: shop, labels: {app: payments, pod-template-hash: x2}}
spec: {containers: [{name: main, ports: [{name: web, containerPort: CANARY}]}]}
status: {phase: Running, podIP: 127.0.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: shop, labels: {crossfade.dev/proxy: sidecar}}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: attic}
spec: {selector: {app: other}, ports: [{port: 80, targetPort: OTHER}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: attic, labels: {app: other}}
status: {phase: Running, podIP: 127.0.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: shop, namespace: attic}
spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}], to: [{group: "", kind: Service}]}
---
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
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: payments, namespace: shop}
spec:
  parentRefs: [{name: crossfade, namespace: crossfade-system}]
  rules:
  - backendRefs: [{name: payments, port: 80}]
  - matches: [{path: {value: /shared}}]
    backendRefs: [{name: payments, port: 80, weight: 3}, {name: other, namespace: attic, port: 80, weight: 1}]
`

// starter starts a proxy of those who call payments, and returns where it is for them.
type starter func(t *testing.T, policy, stable, canary string) string

// service counts the requests that reach it, and answers them as their path says.
type service struct {
	server *httptest.Server
	broken bool
	done   chan struct{}

	mu   sync.Mutex
	seen int
	late map[string]bool
}

func startService(t *testing.T, broken bool) *service {
	t.Helper()
	s := &service{broken: broken, late: map[string]bool{}, done: make(chan struct{})}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	t.Cleanup(func() { close(s.done) })
	return s
}

// ServeHTTP hangs on /hang, and on /hang-once the first time that it has a query.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen++
	hangs := r.URL.Path == "/hang" || r.URL.Path == "/hang-once" && !s.late[r.URL.RawQuery]
	s.late[r.URL.RawQuery] = true
	s.mu.Unlock()
	if hangs {
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
		return
	}
	if s.broken {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (s *service) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.seen
	s.seen = 0
	return n
}

// TestEnvoyRetriesWithinTheRevision has a canary that answers every request with a 503.
func TestEnvoyRetriesWithinTheRevision(t *testing.T) {
	stable, canary := startService(t, false), startService(t, true)
	for name, tc := range map[string]struct {
		reason, policy, method string
		// tries is how often the canary sees each request that it gets.
		tries int
	}{
		"asked for": {
			reason: "nothing of the canary's goes to stable",
			policy: `{retries: {attempts: 2, "on": [connect-failure, "503"]}}`, method: "GET", tries: 3,
		},
		"as any 5xx": {policy: `{retries: {attempts: 1, "on": [5xx]}}`, method: "PUT", tries: 2},
		"not idempotent": {
			reason: "the canary may have done what it was asked to",
			policy: `{retries: {attempts: 2, "on": [connect-failure, "503", 5xx, reset]}}`, method: "POST", tries: 1,
		},
		"other status": {policy: `{retries: {attempts: 2, "on": ["500", "502"]}}`, method: "GET", tries: 1},
		"off":          {policy: `{retries: {attempts: 0, "on": ["503"]}}`, method: "GET", tries: 1},
		"default":      {policy: `{timeouts: {request: 10s}}`, method: "GET", tries: 1},
	} {
		through(t, name, func(t *testing.T, start starter) {
			base := start(t, tc.policy, port(t, stable), port(t, canary))
			answers := map[int]int{}
			for range 40 {
				answers[do(t, tc.method, base+"/").StatusCode]++
			}
			fine, failed := answers[200], answers[503]
			if fine+failed != 40 || fine == 0 || failed == 0 {
				t.Fatalf("answers: %v", answers)
			}
			if got := canary.count(); got != failed*tc.tries {
				t.Errorf("%s: %d requests failed, and the canary saw %d; want %d tries of each", tc.reason, failed, got, tc.tries)
			}
			if got := stable.count(); got != fine {
				t.Errorf("%s: stable answered %d requests and saw %d", tc.reason, fine, got)
			}
		})
	}
}

// TestEnvoyLeavesADeadCanary has a canary that is not there any more.
func TestEnvoyLeavesADeadCanary(t *testing.T) {
	stable := startService(t, false)
	dead := fmt.Sprint(freePort(t))
	for name, tc := range map[string]struct{ policy, method string }{
		"default":                       {`{timeouts: {request: 10s}}`, "POST"},
		"own":                           {`{retries: {attempts: 2, "on": [connect-failure]}}`, "GET"},
		"the rest of one with statuses": {`{retries: {attempts: 2, "on": [connect-failure, "503"]}}`, "POST"},
	} {
		through(t, name, func(t *testing.T, start starter) {
			base := start(t, tc.policy, port(t, stable), dead)
			for i := range 40 {
				if got := do(t, tc.method, base+"/").StatusCode; got != http.StatusOK {
					t.Fatalf("request %d: %d", i, got)
				}
			}
		})
	}
}

func TestEnvoyEndsInTime(t *testing.T) {
	stable, canary := startService(t, false), startService(t, false)
	for name, tc := range map[string]struct {
		reason, policy, method, path string
		want                         int
	}{
		"request": {policy: `{timeouts: {request: 300ms}}`, method: "GET", path: "/hang", want: 504},
		"idle":    {policy: `{timeouts: {idle: 300ms}}`, method: "GET", path: "/hang", want: 504},
		"a try, and another": {
			reason: "nothing was answered, and twice is as good as once",
			policy: `{retries: {attempts: 2, perTryTimeout: 300ms}}`, method: "GET", path: "/hang-once", want: 200,
		},
		"a try, and no other": {
			reason: "it may have been done", policy: `{retries: {attempts: 2, perTryTimeout: 300ms}}`, method: "POST", path: "/hang-once", want: 504,
		},
	} {
		through(t, name, func(t *testing.T, start starter) {
			base := start(t, tc.policy, port(t, stable), port(t, canary))
			begun := time.Now()
			if got := do(t, tc.method, base+tc.path+"?"+url.QueryEscape(t.Name())).StatusCode; got != tc.want {
				t.Errorf("%s: got %d, want %d", tc.reason, got, tc.want)
			}
			if took := time.Since(begun); took < 250*time.Millisecond || took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestEnvoyEndsIdleBytes has a connection that is not HTTP: it lives as long as bytes go
// by, and both of its ends see it closed when none does.
func TestEnvoyEndsIdleBytes(t *testing.T) {
	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Close() })
	ended := make(chan int64, 100)
	go func() {
		for {
			c, err := app.Accept()
			if err != nil {
				return
			}
			go func() {
				n, _ := io.Copy(c, c)
				ended <- n
			}()
		}
	}()
	at := strconv.Itoa(app.Addr().(*net.TCPAddr).Port)
	c, err := net.Dial("tcp", startOutbound(t, translate(t, `{timeouts: {idle: 5s}}`, at, at, "1"), 90))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for range 14 {
		time.Sleep(500 * time.Millisecond)
		if _, err := io.WriteString(c, "x\n"); err != nil {
			t.Fatal(err)
		}
		if answer, err := line(c); answer != "x" || err != nil {
			t.Fatalf("a connection with bytes is not idle: %q, %v", answer, err)
		}
	}
	if answer, err := line(c); !errors.Is(err, io.EOF) {
		t.Errorf("the client's end of an idle connection says %q, %v; want it closed", answer, err)
	}
	for late := time.After(30 * time.Second); ; {
		select {
		case n := <-ended:
			if n > 0 { // The other ones were to see whether Envoy listens.
				return
			}
		case <-late:
			t.Fatal("the server's end of an idle connection is open")
		}
	}
}

// TestEnvoyKeepsTheLimits sends more at a time than is permitted, while nothing is
// answered.
func TestEnvoyKeepsTheLimits(t *testing.T) {
	stable, canary := startService(t, false), startService(t, false)
	base := startCaller(t, `{circuitBreaker: {maxRequests: 2}, timeouts: {request: 2s}}`, port(t, stable), port(t, canary))
	answers := make(chan int, 20)
	for range cap(answers) {
		go func() {
			response, err := http.Get(base + "/hang")
			if err != nil {
				answers <- 0
				return
			}
			_ = response.Body.Close()
			answers <- response.StatusCode
		}()
	}
	got := map[int]int{}
	for range cap(answers) {
		got[<-answers]++
	}
	// Two at a time for each revision.
	if got[504] != 4 || got[503] != 16 {
		t.Errorf("answers: %v; want 4 that were let through and 16 that were not", got)
	}
}

// TestEnvoyKeepsTheCanaryInTheChoice has both revisions fail, with outlier detection.
func TestEnvoyKeepsTheCanaryInTheChoice(t *testing.T) {
	stable, canary := startService(t, false), startService(t, true)
	base := startCaller(t, `{outlierDetection: {consecutive5xx: 1, interval: 100ms, baseEjection: 1h, maxEjectionPercent: 100}}`, port(t, stable), port(t, canary))
	for range 60 {
		do(t, "GET", base+"/")
	}
	if got := canary.count(); got < 10 {
		t.Errorf("the canary saw %d of 60 requests: it was taken out, and nobody can judge it", got)
	}
}

func port(t *testing.T, s *service) string {
	t.Helper()
	u, err := url.Parse(s.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

func do(t *testing.T, method, address string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response
}

// through runs a test for both ways in which requests come to payments.
func through(t *testing.T, name string, test func(t *testing.T, start starter)) {
	for door, start := range map[string]starter{"sidecar": startCaller, "gateway": startGatewayOfCallers} {
		t.Run(name+" at the "+door, func(t *testing.T) { test(t, start) })
	}
}

// TestEnvoyKeepsEachPolicyToItsService has a route to two Services, of which a policy
// speaks of one. Its canary and the other Service answer every request with a 503.
func TestEnvoyKeepsEachPolicyToItsService(t *testing.T) {
	stable, canary, other := startService(t, false), startService(t, true), startService(t, true)
	world := translate(t, `{retries: {attempts: 2, "on": ["503"]}}`, port(t, stable), port(t, canary), port(t, other))
	base := startGateway(t, world.Snapshots[xds.GatewayView("crossfade-system", "crossfade")])
	const n = 2000
	for range n {
		do(t, "GET", base+"/shared")
	}
	fine, tries, once := stable.count(), canary.count(), other.count()
	if tries%3 != 0 || fine+tries/3+once != n {
		t.Errorf("of %d requests stable saw %d, the canary %d, which is tried thrice, and the other Service %d, which is tried once", n, fine, tries, once)
	}
	// Five standard deviations: one run in a million is outside by chance.
	if once < 500-97 || once > 500+97 {
		t.Errorf("the other Service at 1 of 4 got %d of %d requests", once, n)
	}
	if broken := tries / 3; broken < 750-109 || broken > 750+109 {
		t.Errorf("the canary at half of 3 of 4 got %d of %d requests", broken, n)
	}
}

func translate(t *testing.T, policy, stable, canary, other string) *xds.World {
	t.Helper()
	return translateInput(t, underway(t, policy, stable, canary, other))
}

// underway are the objects of a delivery that is halfway.
func underway(t *testing.T, policy, stable, canary, other string) proxy.Input {
	t.Helper()
	objects := strings.NewReplacer("POLICY", policy, "STABLE", stable, "CANARY", canary, "OTHER", other).Replace(halfway)
	return parseObjects(t, t.Name(), []byte(objects))
}

func translateInput(t *testing.T, in proxy.Input) *xds.World {
	t.Helper()
	options := xds.Options{TLSDir: newAuthority(t).write(t, "spiffe://cluster.local/ns/shop/sa/caller")}
	return options.Translate(nil, proxy.Build(in).Config)
}

func startGatewayOfCallers(t *testing.T, policy, stable, canary string) string {
	t.Helper()
	return startGateway(t, translate(t, policy, stable, canary, "1").Snapshots[xds.GatewayView("crossfade-system", "crossfade")])
}

// startCaller lets the real Envoy be the sidecar of a caller of payments, and returns
// where payments is for it.
func startCaller(t *testing.T, policy, stable, canary string) string {
	t.Helper()
	return "http://" + startOutbound(t, translate(t, policy, stable, canary, "1"), 80)
}

// startCallerWith is startCaller with one pod behind both revisions, and a collector.
func startCallerWith(t *testing.T, policy, pod string, collector ir.Collector) *runningSidecar {
	t.Helper()
	in := underway(t, policy, pod, pod, "1")
	in.Options.Collector = collector
	return startOutboundSidecar(t, translateInput(t, in), 80)
}

// startOutbound is startCaller for one port of payments.
func startOutbound(t *testing.T, world *xds.World, port int) string {
	t.Helper()
	return startOutboundSidecar(t, world, port).address
}

func startOutboundSidecar(t *testing.T, world *xds.World, port int) *runningSidecar {
	t.Helper()
	config := static(t, world.Snapshots[xds.SidecarView("shop", "")], nil)
	at, admin := freePort(t), freePort(t)
	config.Admin.Address = loopback(uint32(admin))
	only(t, config, fmt.Sprintf("out|shop/payments|%d", port))
	listener := config.StaticResources.Listeners[0]
	listener.Address, listener.BindToPort = loopback(uint32(at)), wrapperspb.Bool(true)
	sidecar := &runningSidecar{address: fmt.Sprintf("127.0.0.1:%d", at), admin: fmt.Sprintf("http://127.0.0.1:%d", admin), out: &output{}}
	startStatic(t, config, sidecar)
	return sidecar
}
