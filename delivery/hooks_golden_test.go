package delivery

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// hooks lets hooks answer one after the other what is given, the last one for ever,
// and tells the journal what they were asked.
func (s *story) hooks(answers map[string][]HookAnswer, hooks ...v1alpha1.Hook) {
	s.ro.Spec.Hooks = hooks
	s.hook = func(q Question) HookAnswer {
		list := answers[q.Hook]
		if len(list) > 1 {
			answers[q.Hook] = list[1:]
		}
		if list[0].Outcome == HookNo {
			s.facts.no = map[Question]time.Time{q: s.now}
		}
		if list[0].Outcome == HookYes {
			if s.facts.yes == nil {
				s.facts.yes = map[Question]time.Time{}
			}
			s.facts.yes[q] = s.now
		}
		s.trace("hook", fmt.Sprintf("%s is asked (%s %d) about %s: %s", q.Hook, q.At, q.Step, q.Revision, list[0].Message))
		return list[0]
	}
}

// tellHooks says what a record knows of hooks that it did not know before.
func tellHooks(was, next *v1alpha1.Record) string {
	out := ""
	for i := range next.Hooks {
		e := &next.Hooks[i]
		known := was != nil && slices.ContainsFunc(was.Hooks, func(b v1alpha1.HookRecord) bool { return equality.Semantic.DeepEqual(&b, e) })
		if !known {
			out += fmt.Sprintf("; %s: %s", hookWhere(e), e.State)
		}
	}
	return out
}

// TestHookGoldens are deliveries that ask, to be read aloud.
func TestHookGoldens(t *testing.T) {
	yes, no := HookAnswer{Outcome: HookYes, Message: "answered 200"}, HookAnswer{Outcome: HookNo, Message: "answered 500"}
	later, silent := HookAnswer{Outcome: HookLater, Message: "answered 425, not yet"}, HookAnswer{Outcome: HookSilent, Message: "no answer within 10s"}
	runScenarios(t, map[string]func(*story){
		"hooks-yes": func(s *story) {
			s.hooks(map[string][]HookAnswer{"calendar": {later, later, yes}, "step": {yes}, "smoke": {silent, yes}, "release": {yes}, "tell": {silent, silent, yes}},
				httpHook("calendar", v1alpha1.BeforeStart), httpHook("step", v1alpha1.BeforeStep, 2), httpHook("smoke", v1alpha1.DuringStep, 1),
				httpHook("release", v1alpha1.BeforePromotion), httpHook("tell", v1alpha1.AfterPromotion))
			s.adopted()
			s.canaryStarts("B")
			s.healthy()
			s.serves("xB")
		},
		"hooks-no": func(s *story) {
			s.hooks(map[string][]HookAnswer{"smoke": {later, no}, "tell": {no}}, httpHook("smoke", v1alpha1.DuringStep), httpHook("tell", v1alpha1.AfterRollback))
			s.adopted()
			s.canaryStarts("B")
			s.rolledBack()
			s.serves("rA")
		},
		"hooks-before-start-for-ever": func(s *story) {
			s.hooks(map[string][]HookAnswer{"calendar": {later}}, httpHook("calendar", v1alpha1.BeforeStart))
			s.adopted()
			s.apply("B")
			s.rolledBack()
			s.serves("rA")
		},
	})
}
