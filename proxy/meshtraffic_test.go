package proxy_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// TestSidecarTraffic lets real sidecars tell requests apart by more than weights.
func TestSidecarTraffic(t *testing.T) {
	w := newMeshWorld(t)
	t.Run("Match", w.matching)
	t.Run("Mirror", w.mirroring)
	t.Run("Sticky", w.sticking)
}

// divide publishes a weight and what goes beside it, and waits for all proxies.
func (w *meshWorld) divide(t *testing.T, weight int32, traffic string) {
	t.Helper()
	record := w.in.Rollouts[0].Status.Record
	record.Weight, record.Traffic = weight, parseTraffic(t, traffic)
	w.publish()
	changes, stop := w.server.Subscribe()
	defer stop()
	late := time.After(60 * time.Second)
	for {
		if behind, settled := w.server.Behind(func(string, string) bool { return true }); len(behind) == 0 && len(settled) == 3 {
			return
		}
		select {
		case <-changes:
		case <-late:
			t.Fatal("the proxies do not confirm it")
		}
	}
}

// matching gives a team's requests to the canary, by every protocol that has requests.
func (w *meshWorld) matching(t *testing.T) {
	w.divide(t, 0, `match: [{headers: [{name: X-Team, value: checkout}]}, {cookies: [{name: beta, value: "1"}]}, {queryParams: [{name: preview, type: Present}]}]`)
	for name, tc := range map[string]struct {
		http2 bool
		url   string
		want  string
		sent  []string
	}{
		"Nobody":      {false, "http://10.96.0.10", "stable", nil},
		"Header":      {false, "http://10.96.0.10", "canary", []string{"X-Team", "checkout"}},
		"HeaderHTTP2": {true, "http://10.96.0.10:82", "canary", []string{"X-Team", "checkout"}},
		"Undeclared2": {true, "http://10.96.0.10", "", []string{"X-Team", "checkout"}},
		"Other":       {true, "http://10.96.0.10:82", "stable", []string{"X-Team", "search"}},
		"Cookie":      {true, "http://10.96.0.10:82", "canary", []string{"Cookie", "a=1; beta=1; c=2"}},
		"Query":       {false, "http://10.96.0.10/?x=1&preview", "canary", nil},
	} {
		for range 5 {
			answer, _, err := get(w.web.client(tc.http2), tc.url, tc.sent...)
			if err != nil || tc.want != "" && answer != tc.want {
				t.Errorf("%s: %q, %v", name, answer, err)
			}
		}
	}
	w.states[2].SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING) // So that the canary can be told.
	defer w.states[2].SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	calls := w.calls(t)
	for team, want := range map[string]grpc_health_v1.HealthCheckResponse_ServingStatus{
		"checkout": grpc_health_v1.HealthCheckResponse_NOT_SERVING, "search": grpc_health_v1.HealthCheckResponse_SERVING,
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-team", team)
		if answer, err := calls.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil || answer.GetStatus() != want {
			t.Errorf("gRPC metadata %s: %v, %v", team, answer, err)
		}
	}
	for range 20 {
		connection, err := w.web.dial(context.Background(), "", "10.96.0.10:90")
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := line(connection); answer != "stable" || err != nil {
			t.Errorf("a connection that is only bytes follows the weight 0: %q, %v", answer, err)
		}
		_ = connection.Close()
	}
}

// mirroring copies all requests that change nothing, encrypted like any other, but no
// WebSockets.
func (w *meshWorld) mirroring(t *testing.T) {
	w.divide(t, 0, `mirror: {percent: 100}`)
	for i, client := range []*http.Client{w.web.client(false), w.web.client(true)} {
		url := []string{"http://10.96.0.10", "http://10.96.0.10:82"}[i]
		before := w.canary.copies.Load()
		for range 50 {
			if answer, _, err := get(client, url); answer != "stable" || err != nil {
				t.Fatalf("a user gets %q, %v", answer, err)
			}
		}
		for late := time.Now().Add(10 * time.Second); w.canary.copies.Load() != before+50; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("%d of 50 copies came to %s", w.canary.copies.Load()-before, url)
			}
		}
	}
	before := w.canary.copies.Load()
	socket, answer := w.socket(t)
	if answer != "stable" {
		t.Errorf("a WebSocket leads to %q", answer)
	}
	_ = socket.Close()
	if _, _, err := get(w.web.client(false), "http://10.96.0.10"); err != nil {
		t.Fatal(err)
	}
	for late := time.Now().Add(10 * time.Second); w.canary.copies.Load() == before && time.Now().Before(late); {
		time.Sleep(5 * time.Millisecond)
	}
	if n := w.canary.copies.Load() - before; n != 1 {
		t.Errorf("a WebSocket and a request made %d copies, want one, of the request", n)
	}
}

// sticking keeps users by a cookie, with spans of every request: Envoy writes the
// decision about them into the request's id, of which the cookie is made.
func (w *meshWorld) sticking(t *testing.T) {
	w.in.Options.Collector = ir.Collector{Host: "10.203.0.1", Port: 4317}
	policy := &v1alpha1.MeshPolicy{}
	policy.Namespace, policy.Name = "shop", "all"
	policy.Spec.Telemetry = &v1alpha1.TelemetryPolicy{Tracing: &v1alpha1.TracingPolicy{SamplingPercent: 100}}
	w.in.MeshPolicies = []*v1alpha1.MeshPolicy{policy}
	w.divide(t, 50, `sticky: {cookie: {name: who}}`)
	client, canary := w.web.client(false), 0
	for range 200 {
		var cookie string
		var answers []string
		for range 3 {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://10.96.0.10", nil)
			if err != nil {
				t.Fatal(err)
			}
			if cookie != "" {
				request.Header.Set("Cookie", cookie)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range response.Cookies() {
				cookie = c.Name + "=" + c.Value
			}
			answer, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, string(answer))
		}
		if cookie == "" || answers[0] != answers[1] || answers[1] != answers[2] {
			t.Fatalf("with the cookie %q a user gets %v", cookie, answers)
		}
		if answers[0] == "canary" {
			canary++
		}
	}
	if canary < 50 || canary > 150 {
		t.Errorf("the canary at 50 of 100 got %d of 200 users", canary)
	}
}
