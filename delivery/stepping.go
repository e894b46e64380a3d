package delivery

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// stepping goes through the steps, and after the last one moves the whole weight.
// What goes towards stable stands before what goes towards the canary.
func (p *pass) stepping() bool {
	return p.first(
		(*pass).superseded,
		(*pass).measured,
		(*pass).hookFailed,
		(*pass).failing,
		(*pass).testOver,
		(*pass).upkeep,
		(*pass).canaryThere,
		(*pass).watchConfig,
		(*pass).editedSteps,
		(*pass).lower,
		(*pass).startClockAgain,
		(*pass).standStill,
		(*pass).measure,
		(*pass).skipSteps,
		(*pass).resize,
		(*pass).rise,
		(*pass).confirm,
		(*pass).advance,
	)
}

// canaryThere makes the canary's ReplicaSet again when somebody deleted it. Where
// that is not possible (it was history, with a hash of the Deployment's own) the
// delivery starts over.
func (p *pass) canaryThere() bool {
	if p.canary != nil {
		return false
	}
	if p.Deployment.CanaryHash != p.rec.Canary {
		return p.retreat(v1alpha1.ThenPrepare, EventCanaryNotAvailable, "the canary's ReplicaSet was deleted")
	}
	return p.createCanary()
}

// editedSteps keeps the record at a step that there is. A step that was removed has
// the last one that is left in its place, with its hold, its checks and its approvals:
// no edit leads to the promotion, only the gates before it do. A step that was added
// while all requests move to the canary comes first.
func (p *pass) editedSteps() bool {
	whole := p.wholeStep()
	last := whole - 1
	for last > 1 && p.promotion(last) {
		last--
	}
	switch {
	case p.rec.Step >= 1 && p.rec.Promoting == p.promotion(p.rec.Step) && p.rec.Step <= whole, last < 1:
		return false
	case p.rec.Promoting && p.rec.Step > whole:
		return p.write(func(r *v1alpha1.Record) { r.Step = whole })
	}
	p.checks = p.freshChecks()
	return p.write(func(r *v1alpha1.Record) {
		r.Step, r.Promoting, r.Approvals = max(1, min(r.Step, last)), false, nil
		r.Hooks = stepHooks(r.Hooks, r.Step)
		if p.weighed() {
			p.weigh(r, portionOf(r)) // The hold counts from when that is confirmed anew.
		}
	})
}

// lower writes what an edited spec took from the canary, at once: towards stable
// nothing has to be waited for. The traffic of the step before goes only with the
// weight of its successor, or its users would be sent to and fro; and a match that
// nobody understands takes nothing from anybody.
func (p *pass) lower() bool {
	have := portionOf(p.rec)
	next := lesser(have, p.wanted(), p.rec.Total)
	if !p.weighed() || (p.Refused != nil && p.Refused.Reason == v1alpha1.ReasonInvalidMatch) {
		next = portion{min(have.weight, p.weightWanted()), have.traffic}
	}
	if next.equals(have) {
		return false
	}
	p.checks = p.freshChecks()
	return p.write(func(r *v1alpha1.Record) { p.weigh(r, next) })
}

// weigh writes what the canary gets, and with it that nobody has confirmed it yet:
// weight and traffic in one write, for the proxies take them as one.
func (p *pass) weigh(r *v1alpha1.Record, x portion) {
	r.Weight, r.Traffic, r.WeightSince, r.AckedAt = x.weight, x.traffic, metav1.NewMicroTime(p.now), nil
}

// weighed says that the step's weight is written.
func (p *pass) weighed() bool { return !p.rec.WeightSince.IsZero() }

// startClockAgain takes a confirmation back when what it stood for is lost: canary
// pods that carried the weight, the Service, the last proxy. The deadline counts
// from here, and so does the hold once it is confirmed anew.
func (p *pass) startClockAgain() bool {
	if p.rec.AckedAt == nil {
		return false
	}
	x := &p.Proxies
	lost := p.canary.Available < p.rec.Capacity || p.Service == nil ||
		(p.reached() && x.Current && (x.Expected == 0 || x.Effective < p.rec.Weight))
	if !lost {
		return false
	}
	return p.write(func(r *v1alpha1.Record) { p.weigh(r, portionOf(r)) })
}

// resize brings the canary to the size that its step needs (D8).
func (p *pass) resize() bool {
	return p.first((*pass).shrink, (*pass).grow, (*pass).carryMore)
}

// firstPod is the size to ask for when size pods are wanted: one, until one is
// available. A whole canary that never gets ready would blind an HPA, which counts
// its pods as idle (handover.md 6b).
func (p *pass) firstPod(size int32) int32 {
	if p.canary.Available == 0 {
		return min(size, 1)
	}
	return size
}

// shrink makes the canary smaller: first in the record, so that no weight counts
// on the pods that go. A canary without weight that serves everybody, because
// stable has no ready pod, keeps its size; the steps go on meanwhile, for nobody
// knows when stable is back. Nor do pods go that still bear what the step before gave
// the canary.
func (p *pass) shrink() bool {
	want := p.podsWanted()
	if p.rec.Replicas > want {
		if p.reached() && !p.weighed() {
			return false
		}
		if !p.reached() && p.stableCannotTake() {
			return false
		}
		if !p.reached() && !p.unrouted(p.rec.Canary, p.waitingSince()) {
			p.wait(v1alpha1.ReasonProgressing, "waiting until no proxy routes to the canary, to make it smaller")
			return true
		}
		return p.write(func(r *v1alpha1.Record) {
			now := metav1.NewMicroTime(p.now)
			r.Replicas, r.ScaledAt, r.Capacity = want, &now, min(r.Capacity, want)
		})
	}
	if p.canary.Replicas > p.rec.Replicas {
		p.act(Action{Kind: Scale, Object: p.canary.Name, Replicas: p.rec.Replicas, Why: "the step needs fewer pods"})
	}
	return false
}

// grow makes the canary larger. A paused Rollout grows no canary for a step that
// has not moved its weight yet.
func (p *pass) grow() bool {
	want := p.firstPod(p.podsWanted())
	if want > p.rec.Replicas && (!p.paused() || p.weighed()) {
		return p.write(func(r *v1alpha1.Record) {
			now := metav1.NewMicroTime(p.now)
			r.Replicas, r.ScaledAt = want, &now
		})
	}
	if p.canary.Replicas < p.rec.Replicas {
		p.act(Action{Kind: Scale, Object: p.canary.Name, Replicas: p.rec.Replicas, Why: "capacity leads the traffic"})
		p.wait(v1alpha1.ReasonProgressing, p.waitingForPods())
		return true
	}
	return false
}

// carryMore lets added pods count once they are available.
func (p *pass) carryMore() bool {
	want := p.podsWanted()
	if !p.weighed() || p.rec.Capacity >= want || p.canary.Available < want {
		return false
	}
	return p.write(func(r *v1alpha1.Record) { r.Capacity = want })
}

// rise writes the step's weight once everything is there to carry it (I3).
func (p *pass) rise() bool {
	if p.weighed() {
		return false
	}
	want := p.wanted()
	pods := p.podsWanted()
	switch {
	case p.canary.Available < pods:
		p.wait(v1alpha1.ReasonProgressing, p.waitingForPods())
		if p.paused() && p.rec.Replicas < pods {
			p.stayPaused("the rollout goes on")
		}
		return true
	case p.paused() && want.adds(portionOf(p.rec), p.rec.Total):
		p.stayPaused("the canary gets more")
		return true
	case want.reaches() && p.Proxies.Connected == 0:
		p.wait(v1alpha1.ReasonNoProxies, fmt.Sprintf("%s: no proxy that routes to Service %s is connected, so nobody could observe the canary; rolls back at %s",
			p.where(), p.rec.Service, clock(p.waitingSince().Add(p.deadline()))))
		return true
	case !p.acked():
		p.wait(v1alpha1.ReasonProgressing, p.waitingForAcks())
		return true
	case want.hash() != p.rec.Admitted:
		return p.startStep(p.rec.Step) // It was edited since.
	}
	return p.write(func(r *v1alpha1.Record) {
		p.weigh(r, want)
		r.Capacity = pods
	})
}

// confirm notes that every proxy has the step's weight: the hold and the checks
// count from here (D4).
func (p *pass) confirm() bool {
	if p.rec.AckedAt != nil {
		return false
	}
	if p.canary.Available < p.rec.Capacity {
		p.wait(v1alpha1.ReasonProgressing, p.waitingForPods())
		return true
	}
	if !p.shifted() {
		p.wait(v1alpha1.ReasonProgressing, p.waitingForAcks())
		return true
	}
	if p.Proxies.Acked < p.Proxies.Expected {
		p.warn(EventProxySilent, fmt.Sprintf("going on without a confirmation by %s, as acks.onTimeout says", join(p.Proxies.Silent)))
	}
	p.checks = renewed(p.checks)
	p.event(EventWeightAcked, fmt.Sprintf("%s, acked by %d/%d proxies", p.portionNow(), p.Proxies.Acked, p.Proxies.Expected))
	return p.write(func(r *v1alpha1.Record) {
		r.AckedAt = p.microNow()
		if s := p.step(); s != nil && s.Test && r.TestSince == nil {
			r.TestSince = p.microNow()
		}
	})
}

// shifted says that the record's weight is what the proxies do: confirmed, and not
// reduced for want of canary pods. With requests, one proxy at least must be there:
// nothing is promoted that nobody could observe.
func (p *pass) shifted() bool {
	x := &p.Proxies
	if !p.acked() || x.Effective < p.rec.Weight || p.canary.Available < p.rec.Capacity {
		return false
	}
	return !p.reached() || (x.Expected > 0 && x.Connected > 0)
}

// advance goes to the next step when this one is over: held long enough, judged
// well, confirmed still.
func (p *pass) advance() bool {
	whole := p.step() == nil
	during := whole || p.duringPassed()
	switch {
	case p.changed: // a hook's time is over
	case !p.shifted():
		p.wait(v1alpha1.ReasonProgressing, p.waitingForAcks())
	case p.rec.Capacity < p.podsWanted():
		p.wait(v1alpha1.ReasonProgressing, p.waitingForPods())
	case p.pausedNow():
		p.unaskHooks()
	case p.wanted().adds(portionOf(p.rec), p.rec.Total):
		// The step was edited to give the canary more: a rise like any other, so what it
		// gets now must have been judged first, and the step begins anew.
		p.goOn(during, p.rec.Step)
	case whole:
		return p.promote()
	case p.rec.Full:
		p.startStep(p.wholeStep())
	case !p.pauseOver():
		p.unaskHooks()
	default:
		p.goOn(during, p.rec.Step+1)
	}
	return true
}

// goOn begins a step when the present one is judged well.
func (p *pass) goOn(during bool, step int32) {
	switch {
	case !p.verdictsIn():
		p.unaskHooks()
	case !during: // it has said what it waits for
	default:
		p.startStep(step)
	}
}

// startStep begins a step, or the whole weight after the last one, unless a gate holds
// it. Each step begins here, but for the first one, which begins with the canary.
func (p *pass) startStep(step int32) bool {
	if p.gatedBefore(step) {
		return true
	}
	p.checks = p.freshChecks()
	if step >= p.wholeStep() {
		p.event(EventStepStarted, fmt.Sprintf("all requests to revision %s", p.rec.Canary))
	} else {
		p.event(EventStepStarted, fmt.Sprintf("step %d/%d of revision %s", step, len(p.steps()), p.rec.Canary))
		p.warnOfWrites(step, p.rec.Canary)
	}
	return p.write(func(r *v1alpha1.Record) { p.enter(r, step) })
}

// enter writes that a step begins. What was said of another one, or of this one before
// it was edited, does not count.
func (p *pass) enter(r *v1alpha1.Record, step int32) {
	if r.Step != step {
		r.TestSince = nil
	}
	r.Step, r.StepSince, r.WeightSince, r.AckedAt = step, metav1.NewMicroTime(p.now), metav1.MicroTime{}, nil
	r.Approvals, r.Hooks = nil, stepHooks(r.Hooks, step)
	r.Promoting, r.Admitted = p.promotion(step), p.wanted().hash()
}

// pausedNow says who has paused, if somebody has.
func (p *pass) pausedNow() bool {
	if !p.paused() {
		return false
	}
	p.stayPaused("the rollout goes on")
	return true
}

// pauseOver says that the step was held long enough, or that somebody has ended that;
// and that somebody has promoted where that is needed.
func (p *pass) pauseOver() bool {
	if over := p.heldUntil(); len(p.rec.Approvals) == 0 && !p.past(over) {
		p.wait(v1alpha1.ReasonProgressing, p.holding("until "+clock(over)))
		p.words.waits = "pause until " + over.UTC().Format("2006-01-02 15:04:05Z")
		return false
	}
	return !p.step().ByPerson || p.promoteAsked()
}

// heldUntil is when the hold of a confirmed step is over. A test goes on counting
// when its pods were lost and are back: two days are not begun anew for that.
func (p *pass) heldUntil() time.Time {
	s := p.step()
	if s.Test && p.rec.TestSince != nil {
		return p.rec.TestSince.Add(s.heldFor())
	}
	return p.rec.AckedAt.Add(s.heldFor())
}

// testOver ends an A/B test that returns to stable. That needs no verdict, no ack
// and nobody's word; but somebody who has promoted the canary meant it.
func (p *pass) testOver() bool {
	s := p.step()
	if s == nil || !s.Returns || p.rec.TestSince == nil || len(p.rec.Approvals) > 0 || p.rec.Full || !p.past(p.heldUntil()) {
		return false
	}
	return p.rollBack(EventABTestEnded, fmt.Sprintf("the A/B test lasted %s", s.heldFor()))
}

// promoteAsked says that somebody ended the present step's hold, naming revision and
// step (a word for another one counts nothing); until then it says what is waited for.
func (p *pass) promoteAsked() bool {
	if int32(len(p.rec.Approvals)) >= p.approvalsWanted() {
		return true
	}
	if p.approvals() != nil {
		p.pause(p.holding(fmt.Sprintf("until %d people have promoted it (%s), each with %s",
			p.approvalsWanted(), p.approvedSoFar(), p.command("promote"))))
		p.words.waits = fmt.Sprintf("approvals %d/%d", len(p.rec.Approvals), p.approvalsWanted())
		return false
	}
	word := fmt.Sprintf("%s/%d", p.rec.Canary, p.rec.Step)
	if p.Rollout.Annotations[v1alpha1.AnnotationPromote] == word {
		return true
	}
	p.pause(p.holding("until somebody promotes: " + p.command("promote")))
	p.words.waits = "promote"
	return false
}

// clock writes a time as people read it; it does not change from pass to pass.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }
