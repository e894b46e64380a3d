package delivery

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// What is asked of a weight that rises, and of a step that ends.

// reachesOthers says that requests, or copies of some, go to the canary that did not.
func (w *world) reachesOthers(was, next *v1alpha1.Traffic) bool {
	if next == nil {
		return was != nil && len(was.Audience) > 0 && was.Sticky == nil
	}
	if was == nil {
		was = &v1alpha1.Traffic{}
	}
	for _, m := range next.Match {
		if !slices.ContainsFunc(was.Match, func(x v1alpha1.RequestMatch) bool { return matchWords(&x) == matchWords(&m) }) {
			return true
		}
	}
	return percent(next.Mirror) > percent(was.Mirror)
}

func percent(m *v1alpha1.Mirror) int {
	if m == nil {
		return 0
	}
	return int(m.Percent)
}

func (w *world) checkRise(o *Observation, was, next *v1alpha1.Record) {
	canary := slices.IndexFunc(o.ReplicaSets, func(r ReplicaSet) bool { return r.Revision == next.Canary })
	switch {
	case was.Stage != v1alpha1.StageStepping:
		w.violated("I3", "the weight rises in stage "+string(was.Stage))
	case !w.allAcked():
		w.violated("I3", "the weight rises before the last one is acked by all")
	case o.Rollout.Spec.Paused || was.Paused != nil:
		w.violated("I3", "the weight rises while the Rollout is paused")
	case o.Refused != nil || o.Service == nil:
		w.violated("I3", "the weight rises while nothing may move")
	case o.Proxies.Connected == 0:
		w.violated("I3", "the weight rises with no proxy connected")
	case canary < 0 || o.ReplicaSets[canary].Available < share(int64(o.Deployment.Replicas), int64(next.Weight), int64(next.Total)) && !ownSize(o.Rollout, next.Step):
		w.violated("I3", "the weight rises before the canary can carry it")
	case next.Capacity > o.ReplicaSets[canary].Available:
		w.violated("I3", "pods are counted on that are not available")
	}
}

// ownSize says that a step asks for a size of its own.
func ownSize(ro *v1alpha1.Rollout, step int32) bool {
	steps := Steps(&ro.Spec.Strategy)
	return int(step) <= len(steps) && steps[step-1].Replicas != nil
}

// checkAdvance: without a verdict nothing advances.
func (w *world) checkAdvance(was *v1alpha1.Record) {
	if was.Full {
		return // A person said to skip what is left.
	}
	if was.AckedAt == nil {
		w.violated("I3", "a step ends that was not acked")
		return
	}
	if !w.allAcked() {
		w.violated("I3", "a step ends while a proxy has not acked")
	}
	steps := Steps(&w.ro.Spec.Strategy)
	if was.Step > int32(len(steps)) {
		return
	}
	step := &steps[was.Step-1]
	for _, c := range (&Observation{Rollout: w.ro}).checksSpec() {
		s := w.facts.judged[c.Name]
		asked := w.weighted(was, was.Canary) && (step.Checks == nil || slices.Contains(step.Checks, c.Name))
		if asked && !c.DryRun && (s.Outcome != Number || s.Value > 0.01 || !judgeable(s) || s.Step != was.Step || s.Revision != was.Canary || s.At.Before(was.AckedAt.Time)) {
			w.violated("I6", fmt.Sprintf("step %d ends while check %s said %+v", was.Step, c.Name, s))
		}
	}
	since := was.AckedAt.Time
	if was.TestSince != nil {
		since = was.TestSince.Time
	}
	switch {
	case step.Pause != nil && approved(was, step.Pause): // a person ended it
	case step.Pause != nil && step.Pause.Requires != nil:
		w.violated("I14", "a step ends without the approvals that it requires")
	case w.now.Sub(since) < step.heldFor():
		w.violated("I3", "a pause is cut short")
	case step.ByPerson && !strings.HasSuffix(w.ro.Annotations[v1alpha1.AnnotationPromote], fmt.Sprintf("%s/%d", was.Canary, was.Step)):
		w.violated("I3", "an endless pause ends by itself")
	case step.Returns:
		w.violated("I3", "a test that returns to stable goes on")
	}
}
