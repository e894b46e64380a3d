package proxy_test

import (
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// witness is a pod that notes what it is asked.
type witness struct {
	port int
	mu   sync.Mutex
	// requests and copies count by the request's id.
	requests, copies map[string]int
	hosts, methods   map[string]int
}

// startWitness starts a pod that answers its name by a handler.
func startWitness(t *testing.T, handler http.HandlerFunc) *witness {
	t.Helper()
	w := &witness{requests: map[string]int{}, copies: map[string]int{}, hosts: map[string]int{}, methods: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		id := r.Header.Get("X-Request-Id")
		if r.Header.Get("X-Crossfade-Mirror") == "true" {
			w.copies[id]++
			w.hosts[r.Host]++
			w.methods[r.Method]++
		} else {
			w.requests[id]++
		}
		w.mu.Unlock()
		handler(out, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	w.port = server.Listener.Addr().(*net.TCPAddr).Port
	return w
}

// seen waits until so many requests and copies have come, and returns how many did.
func (w *witness) seen(want int) (requests, copies int) {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		w.mu.Lock()
		requests, copies = len(w.requests), len(w.copies)
		w.mu.Unlock()
		if requests+copies >= want || time.Now().After(deadline) {
			return requests, copies
		}
	}
}

func says(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, name) // A client that went away is no concern of a pod's.
	}
}

// counter reads one of Envoy's counters of the canary's cluster.
func counter(t *testing.T, stats, name string) int {
	t.Helper()
	response, err := http.Get(stats + "?filter=" + regexp.QuoteMeta(`cluster.out|shop/b|80|x2.`+name) + "$")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, value, found := strings.Cut(strings.TrimSpace(string(body)), ": ")
	if !found {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return n
}

// TestEnvoyMirrors lets the real Envoy copy requests to a canary.
func TestEnvoyMirrors(t *testing.T) {
	const n = 2000
	cases := map[string]struct {
		reason        string
		weight        int32
		traffic       string
		method        string
		share, copied float64
		// twice says that requests of the canary's own users may be copied.
		twice bool
	}{
		"NoWeight":   {reason: "a share of all", traffic: "mirror: {percent: 20}", method: "GET", copied: 0.2},
		"Weight":     {reason: "a share of stable's", weight: 30, traffic: "mirror: {percent: 50}", method: "GET", share: 0.3, copied: 0.35},
		"All":        {reason: "all of stable's", weight: 40, traffic: "mirror: {percent: 100}", method: "GET", share: 0.4, copied: 0.6},
		"Writes":     {reason: "nobody asked for writes", traffic: "mirror: {percent: 100}", method: "POST"},
		"WritesToo":  {reason: "somebody did", traffic: "mirror: {percent: 100, methods: [POST]}", method: "POST", copied: 1},
		"ReadsNot":   {reason: "of writes only", traffic: "mirror: {percent: 100, methods: [POST]}", method: "GET"},
		"Head":       {reason: "it changes nothing", traffic: "mirror: {percent: 100}", method: "HEAD", copied: 1},
		"NobodyElse": {reason: "the audience is not asked for", weight: 100, traffic: "audience: [{headers: [{name: x-no, value: x}]}]\nmirror: {percent: 10}", method: "GET", copied: 0.1},
		"Sticky":     {reason: "by chance, of all users", weight: 50, traffic: "sticky: {header: {name: x-request-id}}\nmirror: {percent: 20}", method: "GET", share: 0.5, copied: 0.2, twice: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			stable, canary := startWitness(t, says("a")), startWitness(t, says("b"))
			base, stats := startGatewayWithStats(t, trafficSnapshot(t, tc.weight, tc.traffic, stable.port, canary.port))
			for range n {
				asks(t, base, tc.method, "/b")
			}
			requests, _ := stable.seen(0)
			direct, copies := canary.seen(counter(t, stats, "upstream_rq_total"))
			if requests+direct != n {
				t.Errorf("%s: of %d requests stable got %d and the canary %d", tc.reason, n, requests, direct)
			}
			within := func(what string, got int, share float64) {
				if math.Abs(float64(got)-n*share) > 5*math.Sqrt(n*share*(1-share)) {
					t.Errorf("%s: %d of %d %s, want about %g of them", tc.reason, got, n, what, share)
				}
			}
			within("requests to the canary", direct, tc.share)
			within("copies", copies, tc.copied)
			if total, ok := counter(t, stats, "upstream_rq_total"), counter(t, stats, "upstream_rq_2xx"); total != direct+copies || ok != total {
				t.Errorf("%s: %d requests and %d copies are counted as %d requests, %d of them well", tc.reason, direct, copies, total, ok)
			}
			for id := range canary.copies {
				if canary.requests[id] > 0 && !tc.twice {
					t.Fatalf("%s: the canary's own request %s came twice", tc.reason, id)
				}
			}
			for host := range canary.hosts {
				if host != "split.example.com" {
					t.Errorf("%s: copies are for host %s", tc.reason, host)
				}
			}
			t.Logf("%d requests: %d to stable, %d to the canary, %d copies", n, requests, direct, copies)
		})
	}
}

// TestMirrorHarmsNobody shows that users notice nothing of a canary that fails with
// their copies.
func TestMirrorHarmsNobody(t *testing.T) {
	cases := map[string]http.HandlerFunc{
		"Errors": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"Hangs":  func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"Breaks": func(w http.ResponseWriter, _ *http.Request) {
			if connection, _, err := w.(http.Hijacker).Hijack(); err == nil {
				_ = connection.Close()
			}
		},
		"Dead": nil,
	}
	for name, handler := range cases {
		t.Run(name, func(t *testing.T) {
			port := freePort(t)
			if handler != nil {
				port = startWitness(t, handler).port
			}
			base, stats := startGatewayWithStats(t, trafficSnapshot(t, 0, "mirror: {percent: 100}", startPod(t, "a"), port))
			for range 300 {
				if got := asks(t, base, "GET", "/b"); got != "a" {
					t.Fatalf("a user gets %q", got)
				}
			}
			if failed, under := counter(t, stats, "upstream_rq_5xx"), counter(t, stats, "upstream_rq_active"); failed+under != 300 {
				t.Errorf("of 300 copies %d are counted as failed and %d as under way", failed, under)
			}
		})
	}
}
