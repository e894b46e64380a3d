package delivery

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// oracle is what the invariants are judged by: facts of the world, remembered
// apart from what the decisions remember.
type oracle struct {
	// judged is the last answer of each check that reached the controller, with the
	// time it is about; failing counts the numbers out of range per revision.
	judged  map[string]Sample
	failing map[string]int
	// unweighted is when a revision last lost its weight in the record, listening
	// since when the present controller has run.
	unweighted map[string]time.Time
	listening  time.Time
	// yes are the questions that a hook has answered with yes, no those with no.
	yes, no map[Question]time.Time
	// admitted is what was let begin last; passed says that it followed a promotion that
	// had been let begin before.
	admitted admitted
	passed   bool
	// odd says that a fault was injected against which no invariant is promised
	// while it lasts: somebody took the hold or the pin away.
	odd bool
	// taken are the actions that had an effect on the record, in their order.
	taken []types.UID
}

func (w *world) record() *v1alpha1.Record {
	if w.ro == nil {
		return nil
	}
	return w.ro.Status.Record
}

// heard notes what the controller has taken into its status.
func (w *world) heard(samples []Sample) {
	if w.facts.judged == nil {
		w.facts.judged = map[string]Sample{}
	}
	if w.facts.failing == nil {
		w.facts.failing = map[string]int{}
	}
	for _, s := range samples {
		w.facts.judged[s.Check] = s
		if s.Outcome == Number && s.Value > 0.01 && judgeable(s) {
			w.facts.failing[s.Revision]++
		}
	}
}

// checkRecord judges a transition.
func (w *world) checkRecord(o *Observation, was, next *v1alpha1.Record) {
	if w.facts.unweighted == nil {
		w.facts.unweighted = map[string]time.Time{}
	}
	if was != nil {
		for _, r := range []string{was.Canary, was.Stable, was.Old} {
			if r != "" && w.weighted(was, r) && !w.weighted(next, r) {
				w.facts.unweighted[r] = w.now
			}
		}
	}
	if next == nil {
		return
	}
	w.checkTaken(next)
	if next.Weight < 0 || next.Weight > max(next.Total, 0) || (w.weighted(next, next.Canary) && next.Capacity < 1) {
		w.violated("I1", fmt.Sprintf("weight %d of %d with capacity %d, %s", next.Weight, next.Total, next.Capacity, trafficWords(next.Traffic)))
	}
	if next.Traffic != nil && next.Canary == "" {
		w.violated("I1", "traffic for a canary that there is not")
	}
	if was == nil {
		return
	}
	w.checkOpen(o, was, next)
	if next.Weight > was.Weight || w.reachesOthers(was.Traffic, next.Traffic) {
		w.checkRise(o, was, next)
	}
	if next.Total != was.Total && was.Weight > 0 && next.Weight > 0 {
		w.violated("I1", "the sum of the weights changes on the way")
	}
	if portionOf(was).words() != portionOf(next).words() && next.AckedAt != nil {
		w.violated("I3", "traffic counts as acked before anybody could")
	}
	if w.templates.gone && o.Checks == nil && next.Step > was.Step && was.Stage == v1alpha1.StageStepping {
		w.violated("I6", "a step ends while the template of its check is missing")
	}
	w.checkHooks(o, was, next)
	if was.Stage == v1alpha1.StageStepping && next.Stage == v1alpha1.StageStepping && next.Step > was.Step {
		w.checkAdvance(was)
	}
	w.checkSwitch(next)
	if next.Stage == v1alpha1.StagePinning && (was.Weight != was.Total || !w.allAcked()) {
		w.violated("I5", "promotion begins before all proxies have the whole weight")
	}
	if next.Stage == v1alpha1.StageRetreating && next.Reason == EventCheckFailed && w.facts.failing[was.Canary] == 0 {
		w.violated("I6", "a check failed without a failed measurement")
	}
	if next.Stage == v1alpha1.StageRetreating && was.Stage == v1alpha1.StageRestoring {
		w.violated("I7", "a retreat after everything was given back")
	}
}

func (w *world) weighted(r *v1alpha1.Record, revision string) bool {
	switch {
	case r == nil:
		return true
	case revision == r.Canary:
		return r.Canary != "" && (r.Weight > 0 || r.Traffic != nil && len(r.Traffic.Match)+percent(r.Traffic.Mirror) > 0)
	case revision == r.Stable:
		return r.Canary == "" || r.Weight < r.Total
	}
	return false
}

func (w *world) allAcked() bool {
	if w.ro.Spec.Acks.OnTimeout == v1alpha1.AckTimeoutContinue {
		return true
	}
	for _, p := range w.proxies {
		if p.present && (p.acked == nil || w.published == nil || *p.acked != *w.published) {
			return false
		}
	}
	return true
}

// checkScale judges a size that the controller writes.
func (w *world) checkScale(o *Observation, r *replicaSet, n int32) {
	rec := w.record()
	if n >= r.Replicas || rec == nil || w.d.Replicas == 0 && r.Replicas == 0 {
		return
	}
	if n > 0 && r.Revision == rec.Canary {
		return // smaller, but still there to serve
	}
	if o.Deployment.Replicas > 0 { // at 0 the routes may have nothing else to name
		w.checkUnrouted(r, "is made smaller")
	}
	if rec.Stage == v1alpha1.StageRetreating && o.Deployment.Replicas > 0 && readyIn(o, rec.Stable) == 0 && readyIn(o, r.Revision) > 0 {
		w.violated("I2", r.Name+" is all that serves, and is taken away")
	}
	if rec.Stage == v1alpha1.StageWarm && r.Replicas-n > max(1, (w.d.Replicas+3)/4) && !w.odd() {
		w.violated("I4", fmt.Sprintf("%s goes from %d to %d at once", r.Name, r.Replicas, n))
	}
}

// checkUnrouted: pods of a revision are never removed while any proxy may still
// route to it, up to acks.timeout.
func (w *world) checkUnrouted(r *replicaSet, what string) {
	since := latest(w.facts.unweighted[r.Revision], w.facts.listening)
	if w.now.Sub(since) >= w.ro.Spec.Acks.Timeout.Duration {
		return
	}
	for _, p := range w.proxies {
		if (p.present || p.connected) && p.may(r.Revision) {
			w.violated("I4", fmt.Sprintf("%s %s while %s may route to it", r.Name, what, p.name))
		}
	}
}

// checkOwner judges a change of a ReplicaSet's owner by the controller.
func (w *world) checkOwner(r *replicaSet, to Owner) {
	rec := w.record()
	if rec == nil {
		return
	}
	owned := slices.DeleteFunc(slices.Clone(w.rss), func(r *replicaSet) bool { return r.Owner != OwnerDeployment })
	switch {
	case to == OwnerHolder && r.Revision == rec.Stable && rec.Stage == v1alpha1.StageHandingOver:
		canary := w.rs(rec.Canary)
		switch {
		case len(owned) != 1 || owned[0] != r:
			w.violated("I5", "a handover starts while the Deployment owns more than stable")
		case w.d.Hold == "" || canary == nil || w.d.Template != canary.Template:
			w.violated("I5", "a handover starts with another template than the canary's")
		case w.failedAtLast(rec):
			w.violated("I6", "a handover starts though a check has failed")
		case rec.Weight != rec.Total || !w.allAcked():
			w.violated("I5", "a handover starts before everything is acked on the canary")
		}
	case to == OwnerHolder && r.Revision == rec.Stable:
		w.violated("I5", "stable is parked in stage "+string(rec.Stage))
	case to == OwnerDeployment && r.Revision == rec.Canary && rec.Stage == v1alpha1.StageHandingOver:
		if len(owned) > 0 && !w.odd() {
			w.violated("I5", "the Deployment owns "+owned[0].Name+" in the gap of the handover")
		}
	case to == OwnerDeployment && r.Replicas+int32(len(r.pods)) > 0 && r.Revision != rec.Stable:
		w.violated("I5", r.Name+" is given back while it has pods")
	}
}

// failedAtLast says that what was measured last with all requests is out of range, of a
// check that forgives nothing.
func (w *world) failedAtLast(rec *v1alpha1.Record) bool {
	for _, c := range (&Observation{Rollout: w.ro}).checksSpec() {
		s, limit := w.facts.judged[c.Name], failureLimit(&c)
		about := s.Step == rec.Step && s.Revision == rec.Canary && rec.AckedAt != nil && !s.At.Before(rec.AckedAt.Time)
		if about && !c.DryRun && c.TemplateRef == nil && limit != nil && *limit == 0 && s.Outcome == Number && s.Value > 0.01 && judgeable(s) {
			return true
		}
	}
	return false
}

// checkDeploymentWrite: a hold ends only when the template is stable's, or the
// Rollout lets go.
func (w *world) checkDeploymentWrite(_ *Observation, a *Action) {
	rec := w.record()
	stable := (*replicaSet)(nil)
	if rec != nil {
		stable = w.rs(rec.Stable)
	}
	switch a.Kind {
	case Release:
		if stable == nil || stable.Template != w.d.Template {
			w.violated("I10", "a hold is released with another template than stable's")
		}
		if rec.Stage != v1alpha1.StageHealthy && rec.Stage != v1alpha1.StageRestoring {
			w.violated("I10", "a hold is released in stage "+string(rec.Stage))
		}
		for _, r := range w.rss {
			if r.Owner == OwnerHolder {
				w.violated("I10", "a hold is released before "+r.Name+" is back")
			}
		}
	case LetGo:
		if rec != nil && rec.Then != v1alpha1.ThenDetach && stable != nil {
			w.violated("I10", "the Deployment is let go in stage "+string(rec.Stage))
		}
	}
}

// checkPin: clients outside the mesh never reach a canary pod while stable has a
// ready endpoint, before the promotion.
func (w *world) checkPin(o *Observation, s *service, revision string) {
	rec := w.record()
	if rec == nil || revision != rec.Canary || rec.Stage == v1alpha1.StagePinning || rec.Stage == v1alpha1.StageHandingOver {
		return
	}
	if readyIn(o, rec.Stable) > 0 {
		w.violated("I8", "Service "+s.Name+" is pinned to the canary while stable is ready")
	}
}

// readyIn is how many ready pods of a revision were seen when something was decided.
func readyIn(o *Observation, revision string) int32 {
	for i := range o.ReplicaSets {
		if o.ReplicaSets[i].Revision == revision {
			return o.ReplicaSets[i].Ready
		}
	}
	return 0
}

// checkFirstPod is asked when a ReplicaSet gets a pod: the canary's first one must
// find every Service pinned, and the Deployment owning stable only.
func (w *world) checkFirstPod(r *replicaSet) {
	rec := w.record()
	if rec == nil || r.Owner != OwnerHolder || r.Revision != rec.Canary || rec.Stage != v1alpha1.StageStepping || r.startedIn.Equal(rec.Since.Time) || w.odd() {
		return
	}
	r.startedIn = rec.Since.Time
	for _, s := range w.svcs {
		if s.Rollout == "" || !s.made.Before(rec.Since.Time) || s.Key == rec.Canary {
			continue // made anew after the start had been decided, or moved by the pin guard
		}
		if s.Key != rec.Stable && w.ready(rec.Stable) > 0 && w.cache.ready(rec.Stable) > 0 {
			w.violated("I8", "a canary pod starts while Service "+s.Name+" is not pinned to stable")
		}
	}
	for _, x := range w.rss {
		if x.Owner == OwnerDeployment && x.Revision != rec.Stable {
			w.violated("I5", "a canary pod starts while the Deployment owns "+x.Name)
		}
	}
}

// checkPlainRollout is asked when the Deployment makes a ReplicaSet by itself.
func (w *world) checkPlainRollout(revision string) {
	rec := w.record()
	if rec == nil || !w.policies.Hold || w.d.BreakGlass || rec.Then == v1alpha1.ThenDetach || w.odd() || w.d.Rollout == "" {
		return
	}
	if stable := w.rs(rec.Stable); stable != nil && stable.Template != w.d.Template {
		w.violated("I10", "the Deployment starts "+revision+" by itself")
	}
}

// checkKeptByDeployment is asked when the Deployment scales: while it is held it
// takes no pods from what serves.
func (w *world) checkKeptByDeployment(r *replicaSet, n int32) {
	rec := w.record()
	if rec == nil || w.d.Hold == "" || n >= r.Replicas || n == w.d.Replicas || w.odd() {
		return
	}
	for _, x := range w.rss {
		if x != r && x.Owner == OwnerDeployment && x.Replicas > 0 {
			return // a rolling update had begun before the hold came
		}
	}
	w.violated("I5", fmt.Sprintf("the held Deployment scales %s to %d", r.Name, n))
}

func (w *world) odd() bool { return w.facts.odd }

// checkHealthy: when nothing is on its way, Deployment and Services are as the
// user wrote them, but for the label.
func (w *world) checkHealthy() {
	if w.d == nil {
		return
	}
	if w.policies.Hold && (w.d.Hold != "" || w.d.Paused != w.userPaused) {
		w.violated("I12", fmt.Sprintf("Healthy, but hold %q, paused %v", w.d.Hold, w.d.Paused))
	}
	for _, s := range w.svcs {
		if s.Pin != "" || s.Key != "" {
			w.violated("I12", "Healthy, but Service "+s.Name+" is pinned")
		}
	}
	if w.holder != nil {
		w.violated("I12", "Healthy, but there is a holder")
	}
	for _, r := range w.rss {
		if r.Owner != OwnerDeployment || r.RevisionNumber == 0 {
			w.violated("I12", fmt.Sprintf("Healthy, but %s is owned by %d, revision number %d", r.Name, r.Owner, r.RevisionNumber))
		}
	}
}

// checkQuiet judges a world in which nothing happens any more: a pinned Service
// has a ready endpoint if any revision has one, and what waits says for what.
func (w *world) checkQuiet(plan *Plan) {
	rec := w.record()
	if rec == nil {
		return
	}
	anyReady := false
	for _, r := range w.rss {
		_, n := r.living()
		anyReady = anyReady || n > 0
	}
	for _, s := range w.svcs {
		if anyReady && len(s.Endpoints) == 0 {
			w.violated("I11", "Service "+s.Name+" has no endpoint, but there are ready pods")
		}
	}
	if w.ready(rec.Stable) > 0 && rec.Stage == v1alpha1.StageStepping && !w.odd() {
		for _, s := range w.svcs {
			if s.Key != rec.Stable {
				w.violated("I8", "Service "+s.Name+" is not pinned to stable")
			}
		}
	}
	if plan.Status.Message == "" {
		w.violated("I9", "no word about what is waited for in stage "+string(rec.Stage))
	}
	unbounded := plan.Status.Phase == v1alpha1.PhaseHealthy || plan.Status.Phase == v1alpha1.PhaseRolledBack || plan.Status.Phase == v1alpha1.PhasePaused
	if plan.RequeueAt.IsZero() && !unbounded && len(plan.Measure) == 0 && rec.Stage == v1alpha1.StageStepping {
		w.violated("I9", "a wait without a deadline: "+plan.Status.Message)
	}
}
