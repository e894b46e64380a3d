package delivery

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// TestGoldensOfPeople tells deliveries in which somebody has a say.
func TestGoldensOfPeople(t *testing.T) { runScenarios(t, peopleScenarios) }

var peopleScenarios = map[string]func(*story){
	"action-promote": func(s *story) {
		s.ro.Spec.Strategy.Canary.Steps = []v1alpha1.Step{{Weight: new(int32(20)), Pause: &v1alpha1.Pause{}}, {Weight: new(int32(50)), Pause: &v1alpha1.Pause{}}}
		s.adopted()
		s.canaryStarts("B")
		s.paused(1)
		s.ask("ann", v1alpha1.ActionPromote, "xA").Spec.Reason = "looks good"
		s.answered()
		// Two people click at the same time: the second word does not end the next hold.
		s.ask("ann", v1alpha1.ActionPromote, "xB").Spec.Reason = "looks good, INC-7"
		s.ask("bob", v1alpha1.ActionPromote, "xB")
		s.answered()
		s.paused(2)
		s.ask("bob", v1alpha1.ActionPromote, "xB").Spec.Step = 1
		s.ask("bob", v1alpha1.ActionPromote, "xB").Spec.Step = 2
		s.answered()
		s.endsHealthy("xB")
		s.history("Promoted xB by bob: ")
	},
	"action-approvals": func(s *story) {
		s.ro.Spec.Strategy.Canary.Steps = []v1alpha1.Step{{Weight: new(int32(20)), Pause: &v1alpha1.Pause{Requires: &v1alpha1.Requires{Approvals: 2}}}}
		s.adopted()
		s.canaryStarts("B")
		s.paused(1)
		s.annotate(v1alpha1.AnnotationPromote, "xB/1")
		s.ask("ann", v1alpha1.ActionPromote, "xB")
		s.answered()
		s.ask("ann", v1alpha1.ActionPromote, "xB")
		s.answered()
		want := &v1alpha1.ApprovalsStatus{Required: 2, By: []string{"ann"}}
		if diff := cmp.Diff(want, s.ro.Status.Step.Approvals); diff != "" {
			s.t.Errorf("the status says who approved (-want +got)\n%s", diff)
		}
		s.run(time.Hour, func() bool { return false })
		s.ask("bob", v1alpha1.ActionPromote, "xB").Spec.Reason = "checked the dashboards"
		s.answered()
		s.endsHealthy("xB")
		s.history("Promoted xB by ann, bob: checked the dashboards")
	},
	"action-promote-full": func(s *story) {
		good := 0.001
		s.withCheck(&good)
		s.at(5)
		s.ask("ann", v1alpha1.ActionPromoteFull, "xB").Spec.Reason = "hotfix"
		s.healthy()
		s.serves("xB")
		s.history("Promoted xB by ann: hotfix")
	},
	"action-abort": func(s *story) {
		s.at(50)
		s.ask("ann", v1alpha1.ActionAbort, "xB").Spec.Reason = "customers call"
		s.ask("bob", v1alpha1.ActionPromote, "xB")
		s.rolledBack()
		s.serves("rA")
		s.history("Aborted xB by ann: customers call")
		s.ask("bob", v1alpha1.ActionRetry, "xB")
		s.endsHealthy("xB")
		s.history("Promoted xB by : ", "Aborted xB by ann: customers call")
	},
	"action-abort-before-the-canary": func(s *story) {
		s.at(5)
		s.healthyAgain("A")
		s.edit("sets paused", func(ro *v1alpha1.Rollout) { ro.Spec.Paused = true })
		s.apply("B")
		s.until("paused", s.settledIn(v1alpha1.PhasePaused))
		s.ask("ann", v1alpha1.ActionAbort, "xB")
		s.rolledBack()
		s.serves("rA")
		s.history("Aborted xB by ann: ")
	},
	"action-pause": func(s *story) {
		s.at(5)
		s.ask("ann", v1alpha1.ActionPause, "xB").Spec.Reason = "lunch"
		s.ask("bob", v1alpha1.ActionPause, "xB")
		s.answered()
		s.run(10*time.Minute, func() bool { return false })
		s.ask("bob", v1alpha1.ActionResume, "xB")
		s.ask("bob", v1alpha1.ActionResume, "xB")
		s.until("25 %", s.atWeight(25))
		s.endsHealthy("xB")
	},
	"action-refused": func(s *story) {
		s.adopted()
		s.ask("ann", v1alpha1.ActionAbort, "rA")
		s.ask("ann", v1alpha1.ActionRetry, "rA")
		s.answered()
		s.names = Names{Known: true, Message: "the admission policies are missing"}
		s.ask("ann", v1alpha1.ActionPause, "xB")
		s.answered()
		s.names = Names{Known: true, Kept: true, Since: s.now.Add(2 * time.Second)}
		s.ask("ann", v1alpha1.ActionPause, "xB")
		s.answered()
		s.names.Since = time.Time{}
		s.ask("ann", v1alpha1.ActionPause, "xB").Annotations = nil
		s.answered()
		s.edit("is refused", func(*v1alpha1.Rollout) { s.d.BreakGlass = true })
		s.ask("ann", v1alpha1.ActionPause, "xB")
		s.answered()
	},
}

// paused waits until a step is held.
func (s *story) paused(step int32) {
	s.t.Helper()
	s.until(fmt.Sprintf("step %d is held", step), func() bool {
		return s.settledIn(v1alpha1.PhasePaused)() && s.record().Step == step && s.record().AckedAt != nil
	})
}

// answered waits until nobody waits for an answer.
func (s *story) answered() {
	s.t.Helper()
	s.until("all actions are answered", func() bool {
		for i := range s.asked {
			if s.asked[i].Status.Phase == "" {
				return false
			}
		}
		return true
	})
}

// healthyAgain goes back to a template.
func (s *story) healthyAgain(template string) {
	s.t.Helper()
	s.quietly("and back to template "+template, func() {
		s.apply(template)
		s.healthy()
	})
}

// history holds how the last deliveries have ended.
func (s *story) history(want ...string) {
	s.t.Helper()
	var got []string
	for _, e := range s.ro.Status.History {
		got = append(got, fmt.Sprintf("%s %s by %s: %s", e.Outcome, e.Revision, e.By, e.Message))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("history (-want +got)\n%s", diff)
	}
}
