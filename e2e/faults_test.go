//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

// The tests of this file break parts that all namespaces share, so they run one after the other.

// Prometheus is away mid-way: the rollout holds its weight, neither promoted nor rolled back; when Prometheus is
// back it goes on by itself.
func TestPrometheusAway(t *testing.T) {
	s := begin(t, setup{Check: true, Steps: []step{{30, "endless"}, {60, "1s"}}})
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 30)
	s.kubectl("-n", "crossfade-monitoring", "scale", "deployment/prometheus", "--replicas=0")
	t.Cleanup(func() {
		s.kubectl("-n", "crossfade-monitoring", "scale", "deployment/prometheus", "--replicas=1")
		s.kubectl("-n", "crossfade-monitoring", "rollout", "status", "deployment/prometheus", patiently)
	})
	s.kubectl("-n", "crossfade-monitoring", "wait", "pod", "--all", "--for=delete", patiently)
	s.pause(`{"duration":"1s"}`)
	away := s.await("says that there is no verdict", func(r live.Rollout) bool {
		return len(r.Status.Checks) == 1 && r.Status.Checks[0].Verdict == "NoVerdict"
	})
	t.Logf("while Prometheus is away: %v; check: %+v", away, away.Status.Checks)
	// More than the step's pause, and several measurements.
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

// A node is drained mid-way: budgets let the pods of stable and canary, a gateway and the controller itself go one
// after the other, others take their places, and no request is lost. The budget counts the canary's pods, whoever
// owns them.
func TestNodeDrained(t *testing.T) {
	s := begin(t, setup{Steps: []step{{50, "endless"}}})
	s.apply("budget.yaml")
	f := s.load()
	f.redoneIsFine = true // where a proxy drains, too
	canary := s.change("v2")
	s.atWeight(canary, 50)
	s.kubectl("wait", "pdb/"+name, "--for=jsonpath={.status.expectedPods}=6", patiently)
	const node = "node1"
	t.Cleanup(func() { s.kubectl("uncordon", node) })
	begin := time.Now()
	out := s.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", patiently)
	evicted := strings.Count(out, "evicting pod "+s.Namespace+"/")
	t.Logf("drained in %s, with %d tries to evict pods of the application", time.Since(begin).Round(time.Second), evicted)
	if evicted == 0 {
		t.Error("no pod of the application was on the node: nothing was tested")
	}
	s.kubectl("-n", system, "rollout", "status", "deployment/crossfade-controller", patiently)
	s.rollout.Skip()
	s.await("has its pods again", func(r live.Rollout) bool {
		return r.Status.Stable.Ready == 4 && r.Status.Canary.Ready == 2 && r.Status.Weight.Acked == 50
	})
	s.promote(canary)
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
	if out := s.kubectl("get", "events", "--field-selector=involvedObject.kind=PodDisruptionBudget,type=Warning", "-o", "name"); out != "" {
		t.Errorf("the budget had trouble with who owns the pods: %s", s.kubectl("get", "events", "--field-selector=involvedObject.kind=PodDisruptionBudget"))
	}
}
