//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

// The tests of this file break parts that all namespaces share, so they run one after the other.

// Prometheus is away mid-way: the rollout holds its weight, neither promoted nor rolled back; when Prometheus is
// back it goes on by itself.
func TestPrometheusAway(t *testing.T) {
	s := begin(t, setup{Check: true, Steps: []step{{30, "4s"}, {60, "1s"}}})
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 30)
	s.kubectl("-n", "crossfade-monitoring", "scale", "deployment/prometheus", "--replicas=0")
	t.Cleanup(func() {
		s.kubectl("-n", "crossfade-monitoring", "scale", "deployment/prometheus", "--replicas=1")
		s.kubectl("-n", "crossfade-monitoring", "rollout", "status", "deployment/prometheus", "--timeout=60s")
	})
	s.kubectl("-n", "crossfade-monitoring", "wait", "pod", "--all", "--for=delete", "--timeout=60s")
	away := s.await("says that there is no verdict", func(r live.Rollout) bool {
		return len(r.Status.Checks) == 1 && r.Status.Checks[0].Verdict == "NoVerdict"
	})
	t.Logf("while Prometheus is away: %v; check: %+v", away, away.Status.Checks)
	// More than the rest of the step's pause, and several measurements.
	hold := time.Now().Add(10 * time.Second)
	s.until("10 s are over", func() (string, bool) { return "", time.Now().After(hold) })
	if r := s.rollout.Last().Object; r.Status.Weight.Desired != 30 || r.Status.Canary.Revision != canary || r.Status.Phase == "RollingBack" {
		t.Errorf("without verdicts the rollout has to hold at weight 30: %v", r)
	}
	s.kubectl("-n", "crossfade-monitoring", "scale", "deployment/prometheus", "--replicas=1")
	s.atWeight(canary, 60)
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
}
