package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// prometheusPath is that of queries to the Prometheus of the controller, through the
// API server.
const prometheusPath = "/api/v1/namespaces/crossfade-monitoring/services/http:prometheus:9090/proxy/api/v1/query"

// newShop is a cluster with a rollout under way, a Prometheus, and an API server that
// refuses, in a dry run, a Rollout whose cron it cannot read.
func newShop(t *testing.T) *cluster {
	t.Helper()
	c := newCluster(t, "stepping.yaml", "plan-cluster.yaml")
	c.answer = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path == prometheusPath:
			raw, _ := io.ReadAll(r.Body)
			form, _ := url.ParseQuery(string(raw))
			answerQuery(w, form.Get("query"))
			return true
		case r.Method == http.MethodPatch:
			raw, _ := io.ReadAll(r.Body)
			if r.URL.Query().Get("dryRun") != "All" {
				t.Errorf("%s %s writes: a plan only asks", r.Method, r.URL)
			}
			if strings.Contains(string(raw), "Mars") {
				fail(w, http.StatusUnprocessableEntity, "Invalid", `Rollout.crossfade.dev "payments" is invalid: spec.schedule.timeZone: there is no zone Mars`, "payments")
			} else {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write(raw)
			}
			return true
		}
		return false
	}
	return c
}

// answerQuery knows a few numbers.
func answerQuery(w http.ResponseWriter, query string) {
	value := ""
	switch {
	case strings.Contains(query, "errors"):
		value = "0.02"
	case strings.HasPrefix(query, "100 *"):
		value = "99.9"
	case strings.Contains(query, "increase"):
		value = "240"
	case strings.Contains(query, `service="payments"}[5m]`):
		value = "40"
	}
	w.Header().Set("Content-Type", "application/json")
	if value == "" {
		_, _ = fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[]}}`)
		return
	}
	_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1790000000,%q]}]}}`, value)
}

// TestGoldenPlan types `plan` and `check` in all their forms.
func TestGoldenPlan(t *testing.T) {
	isolate(t)
	tests := map[string]struct {
		reason string
		lines  []string
	}{
		"plan": {
			reason: "A live Rollout, and one of a file with windows, requests and checks of today.",
			lines:  []string{"plan payments -n shop", "plan -f testdata/plan-rollout.yaml", "plan -f testdata/plan-rollout.yaml --at 2026-12-01T05:00:00Z -o json"},
		},
		"plan-offline": {
			reason: "What a plan does not know it says.",
			lines: []string{
				"plan -f testdata/plan-rollout.yaml --offline", "plan -f testdata/plan-rollout.yaml --offline --replicas 10", "plan -f testdata/analyze/mistakes.yaml --offline",
			},
		},
		"plan-wrong": {
			reason: "What is missing is said with what to do.",
			lines: []string{
				"plan", "plan orders -n shop", "plan -f testdata/plan-cluster.yaml", "plan --offline", "plan payments -n shop --at noon",
				"plan -f testdata/plan-rollout.yaml orders",
			},
		},
		"check": {
			reason: "Values, thresholds, verdicts and queries; nothing is decided.",
			lines: []string{
				"check payments -n shop", "check payments -n shop --check errors -o json", "check -f testdata/plan-rollout.yaml --revision 8695bf8868 --check success",
				"check -f testdata/check-job.yaml --revision 8695bf8868",
			},
		},
		"check-wrong": {
			reason: "A check without a revision, a name or a source is no check.",
			lines: []string{
				"check", "check payments -n shop --check speed", "check -f testdata/plan-rollout.yaml --offline --check errors", "check -f testdata/analyze/mistakes.yaml --offline --revision a",
				"check payments -n shop --prometheus-url localhost:9090",
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newShop(t)
			var all []string
			for _, line := range tt.lines {
				args := strings.Fields(line)
				out, errOut, code := c.run(args...)
				all = append(all, transcript(args, out, errOut, code))
			}
			golden(t, name+".golden", strings.Join(all, "\n"))
		})
	}
}

// TestPlanRefused: what the API server refuses in a dry run is in the plan.
func TestPlanRefused(t *testing.T) {
	isolate(t)
	c := newShop(t)
	file := strings.TrimSuffix(t.TempDir(), "/") + "/rollout.yaml"
	writeMars(t, file)
	out, errOut, code := c.run("plan", "-f", file)
	if code != 2 || !strings.Contains(out, "there is no zone Mars") {
		t.Errorf("exit code %d, want 2 and the API server's words:\n%s%s", code, out, errOut)
	}
}

func writeMars(t *testing.T, file string) {
	t.Helper()
	raw, err := os.ReadFile("testdata/plan-rollout.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(raw), "Europe/Berlin", "Mars", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}
