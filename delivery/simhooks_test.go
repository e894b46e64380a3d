package delivery

import (
	"fmt"
	"slices"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// setHooks chooses some hooks.
func (s *sim) setHooks() {
	moments := []v1alpha1.HookMoment{
		v1alpha1.BeforeStart, v1alpha1.BeforeStep, v1alpha1.DuringStep, v1alpha1.BeforePromotion, v1alpha1.AfterPromotion, v1alpha1.AfterRollback,
	}
	s.ro.Spec.Hooks = nil
	for i := range s.r.IntN(5) {
		retries := int32(s.r.IntN(4))
		h := v1alpha1.Hook{Name: fmt.Sprintf("h%d", i), At: moments[s.r.IntN(len(moments))], HTTP: &v1alpha1.HTTPHook{URL: "http://x", Retries: &retries}}
		if (h.At == v1alpha1.BeforeStep || h.At == v1alpha1.DuringStep) && s.one(2) {
			h.Steps = []int32{int32(1 + s.r.IntN(3))}
		}
		s.ro.Spec.Hooks = append(s.ro.Spec.Hooks, h)
	}
}

// askHooks sends what is due and not under way yet.
func (s *sim) askHooks(plan *Plan) {
	for _, q := range plan.Hooks {
		rec := s.record()
		if rec == nil || !slices.ContainsFunc(rec.Hooks, func(e v1alpha1.HookRecord) bool { return QuestionOf(&e) == q }) {
			s.violated("I7", fmt.Sprintf("%+v is asked before the record says so", q))
		}
		if !slices.Contains(s.inFlight, q) {
			s.inFlight = append(s.inFlight, q)
		}
	}
}

// hooksAnswer lets one question come back, perhaps long after anybody wanted to know.
func (s *sim) hooksAnswer() {
	if len(s.inFlight) == 0 {
		return
	}
	i := s.r.IntN(len(s.inFlight))
	q := s.inFlight[i]
	s.inFlight = slices.Delete(s.inFlight, i, i+1)
	a := s.hookSays(q)
	a.Question, a.Came = q, s.now
	s.hookAnswers = append(s.hookAnswers, a)
	if s.one(8) {
		s.hookAnswers = append(s.hookAnswers, a)
	}
}

func (s *sim) hookSays(q Question) HookAnswer {
	if s.facts.yes == nil {
		s.facts.yes, s.facts.no = map[Question]time.Time{}, map[Question]time.Time{}
	}
	a := HookAnswer{Outcome: []HookOutcome{HookYes, HookYes, HookLater, HookSilent}[s.r.IntN(4)], Message: "said"}
	if s.no {
		a.Outcome = HookNo
	}
	switch a.Outcome {
	case HookYes:
		s.facts.yes[q] = s.now
	case HookNo, HookSilent:
		s.facts.no[q] = s.now
	case HookLater:
	}
	s.trace("hook", fmt.Sprintf("%s %s %d of %s: %d", q.Hook, q.At, q.Step, q.Revision, a.Outcome))
	return a
}

// checkHooks: nothing goes on towards the canary without the yes of every hook that
// stands before it, given about this very delivery; and none fails for want of one.
func (w *world) checkHooks(o *Observation, was, next *v1alpha1.Record) {
	stepping := next.Stage == v1alpha1.StageStepping
	switch {
	case was.Stage == v1alpha1.StagePreparing && stepping:
		w.needYes(o, next, v1alpha1.BeforeStart, 0, was.Since.Time)
		w.needYes(o, next, v1alpha1.BeforeStep, 1, was.Since.Time)
	case was.Stage == v1alpha1.StageStepping && stepping && begins(was, next):
		w.needYesBetween(o, was, next.Step)
	}
	if next.Stage == v1alpha1.StageRetreating && was.Stage != next.Stage && next.Reason == EventHookFailed {
		no := slices.ContainsFunc(next.Hooks, func(e v1alpha1.HookRecord) bool {
			late := !w.now.Before(e.Since.Add((&pass{Observation: *o}).deadline()))
			return e.State == v1alpha1.HookFailed && !Afterwards(e.At) && (!w.facts.no[QuestionOf(&e)].IsZero() || late)
		})
		if !no {
			w.violated("I6", "a hook failed that has said nothing of the kind")
		}
	}
}

// needYesBetween: a person who promotes in full skips what stands before steps, but
// not what stands before the promotion. A step that begins anew, for it was edited, is
// asked for anew.
func (w *world) needYesBetween(o *Observation, was *v1alpha1.Record, next int32) {
	steps := newPass(*o).steps()
	promotion := func(step int32) bool { return int(step) > len(steps) || steps[step-1].Switched }
	begun := was.StepSince.Time
	if int(was.Step) <= len(steps) && (!was.Full || !promotion(next)) && !was.WeightSince.IsZero() {
		w.needYes(o, was, v1alpha1.DuringStep, was.Step, time.Time{})
	}
	switch {
	case w.facts.passed:
	case promotion(next):
		w.needYes(o, was, v1alpha1.BeforePromotion, 0, begun)
	default:
		w.needYes(o, was, v1alpha1.BeforeStep, next, begun)
	}
}

func (w *world) needYes(o *Observation, rec *v1alpha1.Record, at v1alpha1.HookMoment, step int32, since time.Time) {
	for _, h := range o.Rollout.Spec.Hooks {
		if h.At != at || (len(h.Steps) > 0 && !slices.Contains(h.Steps, step)) {
			continue
		}
		q := Question{Hook: h.Name, At: at, Step: step, Revision: rec.Canary, Attempt: max(1, rec.Attempt)}
		if yes := w.facts.yes[q]; yes.IsZero() || yes.Before(since) {
			w.violated("I3", fmt.Sprintf("it goes on without the yes of %+v", q))
		}
	}
}
