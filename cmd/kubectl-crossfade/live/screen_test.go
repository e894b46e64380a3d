package live

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func stepping() *rollouts.Family {
	acked, measured := metav1.NewMicroTime(noon.Add(-2*time.Minute)), metav1.NewMicroTime(noon.Add(-12*time.Second))
	limit, weight := "0.01", int32(25)
	r := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments"}}
	r.Spec.Strategy.Canary = &v1alpha1.Canary{TotalWeight: 100, Steps: []v1alpha1.Step{
		{Weight: &weight}, {Weight: &weight, Pause: &v1alpha1.Pause{Duration: &metav1.Duration{Duration: 5 * time.Minute}}}, {Weight: &weight},
	}}
	r.Spec.Analysis = &v1alpha1.Analysis{Checks: []v1alpha1.Check{{Name: "errors", Max: &limit}}}
	r.Status = v1alpha1.RolloutStatus{
		Phase: v1alpha1.PhaseProgressing, Message: "step 2/3: 25/100 on canary x78bd5d6951; holding until 12:03:00",
		Stable: &v1alpha1.RevisionStatus{Revision: "8695bf8868", Replicas: 4, Ready: 4}, Canary: &v1alpha1.RevisionStatus{Revision: "x78bd5d6951", Replicas: 4, Ready: 1},
		Step: &v1alpha1.StepStatus{Index: 2, Count: 3}, StepSummary: "2/3", Weight: &v1alpha1.WeightStatus{Desired: 25, Effective: 25, Acked: 5},
		Proxies: &v1alpha1.ProxiesStatus{Expected: 12, Connected: 12, Acked: 11},
		Checks: []v1alpha1.CheckStatus{
			{Name: "errors", Verdict: v1alpha1.VerdictPassing, Value: "0.0007", MeasuredAt: &measured},
			{Name: "latency", Verdict: v1alpha1.VerdictNoVerdict, Message: "Prometheus has no data for this query, which is long enough to be cut"},
		},
		Record: &v1alpha1.Record{Stage: v1alpha1.StageStepping, Step: 2, Total: 100, AckedAt: &acked},
	}
	return &rollouts.Family{Rollout: r, Revisions: []rollouts.Revision{{Hash: "8695bf8868", Images: []string{"crossfade.local/shop:v1"}}}}
}

// TestGoldenScreen: the screens can be read aloud, and fit into what they are drawn on.
func TestGoldenScreen(t *testing.T) {
	var many []change
	for i := range 30 {
		many = append(many, change{at: noon.Add(time.Duration(i) * time.Second), text: "Progressing, step 1/3: something has changed again, and it is told in a long sentence"})
	}
	tests := map[string]view{
		"usual":   {family: stepping(), changes: many[:2], width: 80, height: 24},
		"narrow":  {family: stepping(), changes: many, width: 40, height: 16},
		"tiny":    {family: stepping(), changes: many, width: 10, height: 3},
		"colours": {family: stepping(), changes: many[:1], width: 60, height: 20, paint: session.NewPaint(true)},
		"away":    {family: stepping(), trouble: "the API server cannot be reached: check --context", changes: many[:1], width: 80, height: 24},
		"begin":   {width: 80, height: 24},
	}
	for name, v := range tests {
		t.Run(name, func(t *testing.T) {
			v.now = noon
			lines := screen(v)
			if len(lines) > v.height {
				t.Errorf("%d lines on a screen of %d", len(lines), v.height)
			}
			for _, line := range lines {
				if visible(line) > v.width && v.width > bar {
					t.Errorf("a line is %d wide on a screen of %d: %q", visible(line), v.width, line)
				}
				if !utf8.ValidString(line) {
					t.Errorf("a line was cut in the midst of a letter: %q", line)
				}
			}
			golden(t, "screen-"+name+".golden", strings.Join(lines, "\n")+"\n")
		})
	}
}

// TestGauge: what has begun shows, and nothing looks done that is not.
func TestGauge(t *testing.T) {
	tests := map[string]struct{ part, whole, want float64 }{
		"nothing": {0, 10, 0}, "a little": {1, 10000, 1}, "half": {5, 10, bar / 2}, "almost": {9999, 10000, bar - 1}, "all": {10, 10, bar},
		"more than all": {12, 10, bar}, "of nothing": {0, 0, 0}, "less than nothing": {-1, 10, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := strings.Count(gauge(tt.part, tt.whole), "█"); got != int(tt.want) {
				t.Errorf("%v of %v are %d blocks, want %v", tt.part, tt.whole, got, tt.want)
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
