package agent

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/crossfade-dev/crossfade/proxy/probe"
)

// application answers every kind of probe.
func application(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ok":
	case "/headers":
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		if r.Host != "shop.example" || strings.Join(r.Header["X-Probe"], ",") != "a,b" || r.URL.RawQuery != "deep=1" ||
			!strings.HasPrefix(r.UserAgent(), "kube-probe/") || from != "127.0.0.6" {
			w.WriteHeader(http.StatusTeapot)
		}
	case "/own-agent":
		if r.UserAgent() != "mine" || r.Header.Get("Accept") != "text/plain" {
			w.WriteHeader(http.StatusTeapot)
		}
	case "/redirect":
		http.Redirect(w, r, "/sick", http.StatusFound)
	case "/elsewhere":
		http.Redirect(w, r, "http://203.0.113.7/", http.StatusFound)
	case "/loop":
		http.Redirect(w, r, "/loop", http.StatusFound)
	case "/slow":
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
	case "/not-modified":
		w.WriteHeader(http.StatusNotModified)
	default:
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func portOf(t *testing.T, address string) int32 {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return int32(n)
}

func startHealth(t *testing.T) int32 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, h := grpc.NewServer(), health.NewServer()
	healthv1.RegisterHealthServer(server, h)
	h.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
	h.SetServingStatus("sick", healthv1.HealthCheckResponse_NOT_SERVING)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return portOf(t, l.Addr().String())
}

func TestProbes(t *testing.T) {
	plain, secure := httptest.NewServer(http.HandlerFunc(application)), httptest.NewTLSServer(http.HandlerFunc(application))
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	port, tlsPort, nobody, health := portOf(t, plain.Listener.Addr().String()), portOf(t, secure.Listener.Addr().String()), portOf(t, closed.Addr().String()), startHealth(t)
	get := func(path string, headers ...probe.Header) probe.Probe {
		return probe.Probe{HTTP: &probe.HTTP{Port: port, Path: path, Headers: headers}, TimeoutSeconds: 5}
	}
	slow := get("/slow")
	slow.TimeoutSeconds = 1
	for name, tc := range map[string]struct {
		reason string
		probe  probe.Probe
		want   int
	}{
		"well":              {"", get("/ok"), 200},
		"below 400":         {"a success to the kubelet", get("/not-modified"), 304},
		"headers":           {"all of the original is asked, from where Envoy comes from", get("/headers?deep=1", probe.Header{Name: "Host", Value: "shop.example"}, probe.Header{Name: "X-Probe", Value: "a"}, probe.Header{Name: "X-Probe", Value: "b"}), 200},
		"own headers":       {"no defaults over what was given", get("/own-agent", probe.Header{Name: "user-agent", Value: "mine"}, probe.Header{Name: "Accept", Value: "text/plain"}), 200},
		"sick":              {"the kubelet says which status it was", get("/sick"), 500},
		"redirect":          {"followed on the same host", get("/redirect"), 500},
		"redirect away":     {"a success to the kubelet, and nobody is asked there", get("/elsewhere"), 302},
		"redirect for ever": {"bounded", get("/loop"), 503},
		"slow":              {"bounded by the probe's own time", slow, 503},
		"nobody":            {"", probe.Probe{HTTP: &probe.HTTP{Port: nobody}, TimeoutSeconds: 1}, 503},
		"https":             {"without a look at the certificate", probe.Probe{HTTP: &probe.HTTP{Port: tlsPort, Path: "/ok", Scheme: "HTTPS"}, TimeoutSeconds: 5}, 200},
		"http to https":     {"the wrong scheme is the application's failure", probe.Probe{HTTP: &probe.HTTP{Port: tlsPort, Path: "/ok"}, TimeoutSeconds: 5}, 400},
		"tcp":               {"", probe.Probe{TCP: &probe.TCP{Port: port}, TimeoutSeconds: 1}, 200},
		"tcp, nobody":       {"", probe.Probe{TCP: &probe.TCP{Port: nobody}, TimeoutSeconds: 1}, 503},
		"grpc":              {"", probe.Probe{GRPC: &probe.GRPC{Port: health}, TimeoutSeconds: 5}, 200},
		"grpc, sick":        {"", probe.Probe{GRPC: &probe.GRPC{Port: health, Service: "sick"}, TimeoutSeconds: 5}, 503},
		"grpc, unknown":     {"", probe.Probe{GRPC: &probe.GRPC{Port: health, Service: "other"}, TimeoutSeconds: 5}, 503},
		"grpc, nobody":      {"", probe.Probe{GRPC: &probe.GRPC{Port: nobody}, TimeoutSeconds: 1}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			handler := handlerOf(t, probe.Table{"app/liveness": tc.probe})
			answer := httptest.NewRecorder()
			start := time.Now()
			handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/probe/app/liveness", nil))
			if answer.Code != tc.want {
				t.Errorf("%s: status %d, want %d: %s", tc.reason, answer.Code, tc.want, answer.Body)
			}
			if took := time.Since(start); took > 8*time.Second {
				t.Errorf("%s: took %v", tc.reason, took)
			}
		})
	}
}

func handlerOf(t testing.TB, table probe.Table) http.Handler {
	t.Helper()
	text, err := table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	handler, err := newProbes(strings.ReplaceAll(text, "$$", "$"), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// TestProbesOnlyDeclared is about whoever reaches the port: it is open to all.
func TestProbesOnlyDeclared(t *testing.T) {
	handler := handlerOf(t, probe.Table{"app/liveness": {TCP: &probe.TCP{Port: 1}, TimeoutSeconds: 1}})
	for _, path := range []string{"/probe/", "/probe/app", "/probe/app/readiness", "/probe/other/liveness", "/probe/app/liveness/", "/probe/app/liveness/../liveness"} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if answer.Code != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", path, answer.Code)
		}
	}
}

// TestHooks is about what the kubelet takes for a failed hook: only no answer at
// all.
func TestHooks(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(application))
	t.Cleanup(app.Close)
	agent := httptest.NewServer(handlerOf(t, probe.Table{
		"app/preStop":   {HTTP: &probe.HTTP{Port: portOf(t, app.Listener.Addr().String()), Path: "/sick"}},
		"app/postStart": {HTTP: &probe.HTTP{Port: 1}},
	}))
	t.Cleanup(agent.Close)
	ask := func(path string) string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, agent.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := agent.Client().Do(request)
		if err != nil {
			return "no answer"
		}
		_ = answer.Body.Close()
		return fmt.Sprint(answer.StatusCode)
	}
	if got := ask("/probe/app/preStop"); got != "500" {
		t.Errorf("a hook that was answered: %s, want 500", got)
	}
	if got := ask("/probe/app/postStart"); got != "no answer" {
		t.Errorf("a hook that nobody answered: %s, want no answer", got)
	}
}

func TestNewProbesRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ table, podIP string }{
		"no JSON":    {"{", ""},
		"no probe":   {`{"app/liveness":{}}`, ""},
		"two":        {`{"app/liveness":{"tcp":{"port":1},"grpc":{"port":1}}}`, ""},
		"port":       {`{"app/liveness":{"tcp":{"port":70000}}}`, ""},
		"no address": {"", "pod"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newProbes(tc.table, tc.podIP); err == nil {
				t.Error("accepted")
			}
		})
	}
}
