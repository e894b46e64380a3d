package delivery

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// ask is a person who creates a RolloutAction.
func (w *world) ask(who string, action v1alpha1.ActionKind, revision string) *v1alpha1.RolloutAction {
	w.trace("user", fmt.Sprintf("%s asks for %s of %s", who, action, revision))
	a := v1alpha1.RolloutAction{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-%04d", testName, w.next()), Namespace: testNamespace, UID: types.UID(w.uid()),
			CreationTimestamp: metav1.NewTime(w.now.Truncate(time.Second)),
			Annotations:       map[string]string{v1alpha1.AnnotationBy: who},
		},
		Spec: v1alpha1.RolloutActionSpec{Rollout: testName, Action: action, Revision: revision},
	}
	w.asked = append(w.asked, a)
	return &w.asked[len(w.asked)-1]
}

// tellPeople tells what of a record somebody has asked for.
func tellPeople(was, r *v1alpha1.Record) string {
	if was == nil {
		was = &v1alpha1.Record{}
	}
	s := ""
	if n := len(r.Approvals); n > len(was.Approvals) {
		s += ", approved by " + r.Approvals[n-1].By
	}
	if r.Full && !was.Full {
		s += ", in full"
	}
	switch {
	case r.Paused != nil && was.Paused == nil:
		s += ", paused by " + r.Paused.By
	case r.Paused == nil && was.Paused != nil:
		s += ", not paused"
	}
	if r.Override != nil && was.Override == nil {
		s += ", overridden by " + r.Override.By
	}
	return s
}

// observeAsked is what the shell reads: live, as long as something has no answer.
func (w *world) observeAsked(o *Observation) {
	for i := range w.asked {
		o.Asked = append(o.Asked, *w.asked[i].DeepCopy())
	}
	o.Names = w.names
}

// doAsked writes an answer, or removes an action.
func (w *world) doAsked(a *Action) error {
	i := slices.IndexFunc(w.asked, func(x v1alpha1.RolloutAction) bool { return x.Name == a.Object })
	if i < 0 {
		return nil
	}
	if a.Kind == DeleteAction {
		w.asked = slices.Delete(w.asked, i, i+1)
		return nil
	}
	// The shell makes sure that the Rollout is as it was judged.
	if w.roRV != w.cache.roRV {
		return errConflict
	}
	w.checkAnswer(&w.asked[i], a.Answer)
	w.asked[i].Status = *a.Answer
	return nil
}

// checkAnswer: an action is answered once, by what came of it.
func (w *world) checkAnswer(a *v1alpha1.RolloutAction, s *v1alpha1.RolloutActionStatus) {
	applied := slices.Contains(w.facts.taken, a.UID)
	switch {
	case a.Status.Phase != "":
		w.violated("I14", fmt.Sprintf("%s is answered twice", a.Name))
	case applied != (s.Phase == v1alpha1.ActionApplied):
		w.violated("I14", fmt.Sprintf("%s is %s, applied: %v", a.Name, s.Phase, applied))
	}
}

// checkTaken judges a record that an action has changed.
func (w *world) checkTaken(next *v1alpha1.Record) {
	t := next.Taken
	if t == nil || len(w.facts.taken) > 0 && w.facts.taken[len(w.facts.taken)-1] == t.UID {
		return
	}
	pending := slices.IndexFunc(w.asked, func(a v1alpha1.RolloutAction) bool { return a.Status.Phase == "" })
	switch {
	case slices.Contains(w.facts.taken, t.UID):
		w.violated("I14", fmt.Sprintf("an action is applied twice: %s", t.Message))
	case pending < 0 || w.asked[pending].UID != t.UID:
		w.violated("I14", fmt.Sprintf("an action is applied out of turn: %s", t.Message))
	case !w.names.Kept:
		w.violated("I14", fmt.Sprintf("an action is applied that nobody vouches for: %s", t.Message))
	}
	w.facts.taken = append(w.facts.taken, t.UID)
}

// approved says that the people whom a step requires have promoted it.
func approved(was *v1alpha1.Record, pause *v1alpha1.Pause) bool {
	n := int32(1)
	if pause.Requires != nil {
		n = pause.Requires.Approvals
	}
	names := map[string]bool{}
	for _, a := range was.Approvals {
		names[a.By] = true
	}
	return int32(len(names)) >= n
}

// askAny is somebody who asks for anything, of whatever revision he may have seen.
func (s *sim) askAny() {
	rec := s.record()
	who := []string{"ann", "bob", "cleo"}[s.r.IntN(3)]
	action := []v1alpha1.ActionKind{
		v1alpha1.ActionPromote, v1alpha1.ActionPromote, v1alpha1.ActionPromote, v1alpha1.ActionPromoteFull, v1alpha1.ActionAbort,
		v1alpha1.ActionRetry, v1alpha1.ActionPause, v1alpha1.ActionResume, v1alpha1.ActionOverride,
	}[s.r.IntN(9)]
	revision := "xB"
	if rec != nil && !s.one(5) {
		revision = rec.Canary
		if action == v1alpha1.ActionRetry {
			revision = rec.Failed
		}
	}
	a := s.ask(who, action, revision)
	if s.one(10) {
		a.Annotations = nil
	}
}

// steer is a person who brings a delivery on: he resumes it, and people promote what
// waits for them.
func (s *sim) steer() {
	rec := s.record()
	if rec == nil || s.ro.Status.Phase != v1alpha1.PhasePaused || slices.ContainsFunc(s.asked, pendingAction) {
		return
	}
	if rec.Paused != nil && (rec.Stage == v1alpha1.StageStepping || rec.Stage == v1alpha1.StagePinning || rec.Stage == v1alpha1.StageHandingOver || rec.Stage == v1alpha1.StagePreparing) {
		s.ask("ann", v1alpha1.ActionResume, s.onItsWay(rec))
		return
	}
	steps := Steps(&s.ro.Spec.Strategy)
	if rec.Stage != v1alpha1.StageStepping || rec.AckedAt == nil || int(rec.Step) > len(steps) {
		return
	}
	if pause := steps[rec.Step-1].Pause; pause != nil && pause.Requires != nil && !approved(rec, pause) {
		for i := range 10 { // the first who has not yet
			who := fmt.Sprintf("person %d", i)
			if !slices.ContainsFunc(rec.Approvals, func(a v1alpha1.Word) bool { return a.By == who }) {
				s.ask(who, v1alpha1.ActionPromote, rec.Canary)
				return
			}
		}
	}
	word := fmt.Sprintf("%s/%d", rec.Canary, rec.Step)
	if s.ro.Annotations[v1alpha1.AnnotationPromote] != word {
		s.annotate(v1alpha1.AnnotationPromote, word)
	}
}

func pendingAction(a v1alpha1.RolloutAction) bool { return a.Status.Phase == "" }

func (s *sim) onItsWay(rec *v1alpha1.Record) string {
	if rec.Canary != "" {
		return rec.Canary
	}
	for _, r := range s.rss {
		if r.Template == s.d.Template {
			return r.Revision
		}
	}
	return s.d.CanaryHash
}
