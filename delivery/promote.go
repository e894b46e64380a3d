package delivery

import (
	"fmt"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// promote begins the promotion: every proxy has confirmed that the canary gets all
// requests, and the canary has all the pods.
func (p *pass) promote() bool {
	if why := p.notReadyToHandOver(); why != "" {
		p.wait(v1alpha1.ReasonPromoting, why)
		return true
	}
	return p.become(v1alpha1.StagePinning, func(*v1alpha1.Record) {})
}

// notReadyToHandOver is what a handover still waits for, empty when there is
// nothing (I5). Everything is asked again right before the ReplicaSets change
// owners: the one moment in which a mistake would cost pods.
func (p *pass) notReadyToHandOver() string {
	d, c, n := p.Deployment, p.canary, p.Deployment.Replicas
	switch {
	case p.rec.Weight < p.rec.Total || !p.shifted():
		return p.waitingForAcks()
	case c.Replicas != n || c.Available < n:
		return fmt.Sprintf("waiting for canary pods: %d of %d available", c.Available, n)
	case c.Template != d.Template:
		return "waiting: the canary's template is not the Deployment's"
	case d.ObservedGeneration < d.Generation:
		return "waiting for the Deployment controller to act on the Deployment's newest spec"
	}
	return ""
}

// pinning moves the pins to the canary: from here on clients outside the mesh
// reach it, too.
func (p *pass) pinning() bool {
	return p.first(
		(*pass).superseded,
		(*pass).measured,
		(*pass).failing,
		(*pass).upkeep,
		(*pass).canaryThere,
		(*pass).startClockAgain,
		(*pass).standStill,
		(*pass).measure,
		(*pass).resize,
		(*pass).confirmAgain,
		(*pass).pausedNow,
		(*pass).endpointsMoved,
		(*pass).handoverLate,
	)
}

// confirmAgain notes a confirmation that was lost on the way and is back.
func (p *pass) confirmAgain() bool {
	if p.rec.AckedAt != nil {
		return false
	}
	if !p.shifted() {
		p.wait(v1alpha1.ReasonPromoting, p.waitingForAcks())
		return true
	}
	return p.write(func(r *v1alpha1.Record) { r.AckedAt = p.microNow() })
}

// endpointsMoved goes on when what kube-proxy sees is the canary only: the
// ReplicaSets change owners after that.
func (p *pass) endpointsMoved() bool {
	for _, s := range p.services() {
		if len(s.Endpoints) == 0 {
			p.wait(v1alpha1.ReasonPromoting, fmt.Sprintf("waiting for ready endpoints of Service %s", s.Name))
			return false
		}
		for _, revision := range s.Endpoints {
			if revision != p.rec.Canary {
				p.wait(v1alpha1.ReasonPromoting, fmt.Sprintf("waiting for the endpoints of Service %s to be the canary's only", s.Name))
				return false
			}
		}
	}
	if why := p.notReadyToHandOver(); why != "" {
		p.wait(v1alpha1.ReasonPromoting, why)
		return false
	}
	return p.become(v1alpha1.StageHandingOver, func(*v1alpha1.Record) {})
}

// handoverLate goes back when the handover could not begin within
// progressDeadlineSeconds of its stage (I9): endpoints that never are the canary's
// only, say, because somebody keeps addresses of his own in the Service.
func (p *pass) handoverLate() bool {
	if !p.past(p.rec.Since.Add(p.deadline())) {
		return true
	}
	return p.rollBack(EventHandoverLate, fmt.Sprintf("the handover could not begin within %s: %s", p.deadline(), p.words.message))
}

// handingOver gives the canary to the Deployment. Who owns what is all that
// counts here: it tells where a crash has left off.
func (p *pass) handingOver() bool {
	switch {
	case p.movedOn():
		return true
	case p.canary != nil && p.canary.Owner == OwnerDeployment:
		return p.joined()
	case p.stable == nil || p.stable.Owner != OwnerDeployment:
		return p.joinNow()
	}
	return p.swap()
}

// swap begins the handover, or goes back as long as it has not begun.
func (p *pass) swap() bool {
	if (!p.deleting() || p.Deployment.Replicas == 0) && p.superseded() {
		return true
	}
	if p.first((*pass).measured, (*pass).failing, (*pass).upkeep, (*pass).canaryThere, (*pass).startClockAgain, (*pass).resize, (*pass).confirmAgain) {
		return true
	}
	if !p.deleting() && p.standStill() {
		return true
	}
	p.measure()
	if !p.deleting() && p.pausedNow() {
		return true
	}
	if why := p.notReadyToHandOver(); why != "" {
		p.wait(v1alpha1.ReasonPromoting, why)
		return p.handoverLate()
	}
	p.act(Action{
		Kind: Swap, Object: p.stable.Name, Joins: p.canary.Name, RevisionNumber: p.nextRevision(),
		Why: "all requests are on the canary: it becomes the Deployment's own",
	})
	return true
}

// nextRevision is the number that makes the canary the Deployment's newest
// revision.
func (p *pass) nextRevision() int64 {
	var highest int64
	for i := range p.ReplicaSets {
		if r := &p.ReplicaSets[i]; r.Revision != p.rec.Canary {
			highest = max(highest, r.RevisionNumber)
		}
	}
	return max(highest+1, p.canary.RevisionNumber)
}

// joinNow is the second half of a handover that a crash cut in two. Nothing is
// asked any more, whatever came meanwhile: the Deployment owns no pods now.
func (p *pass) joinNow() bool {
	if p.canary == nil {
		// Somebody deleted it in the gap: stable, if it is there, goes back.
		if p.stable != nil {
			p.act(Action{Kind: GiveBack, Object: p.stable.Name, Why: "the canary was deleted in the midst of its handover"})
			return true
		}
		return p.stableLost()
	}
	p.act(Action{Kind: Join, Object: p.canary.Name, RevisionNumber: p.nextRevision(), Why: "the Deployment owns nothing: a handover was cut in two"})
	return true
}

// joined waits until the Deployment has understood that the canary is its newest
// revision: released earlier, it could start another one (handover.md 1l). With a
// third template it never will, and needs not: the hold stays.
func (p *pass) joined() bool {
	d := p.Deployment
	settled := d.ObservedGeneration >= d.Generation && d.UpdatedReplicas == d.Replicas && d.RevisionNumber == p.canary.RevisionNumber
	if d.Template == p.canary.Template && !settled {
		p.wait(v1alpha1.ReasonPromoting, "waiting for the Deployment to count the canary's pods as its own")
		return true
	}
	p.event(EventPromoted, fmt.Sprintf("revision %s is stable now", p.rec.Canary))
	p.history = ended(p.history, p.promotedEntry())
	replicas := int32(0)
	if p.stable != nil {
		replicas = p.stable.Replicas
	}
	return p.become(v1alpha1.StageWarm, func(r *v1alpha1.Record) {
		was := *r
		clearDelivery(r)
		r.Stable, r.Old, r.Total = was.Canary, was.Stable, was.Total
		r.Replicas = replicas
		p.tellHooks(r, v1alpha1.AfterPromotion, was.Canary)
	})
}

// warm keeps the former stable revision for a while, then takes it down in steps.
func (p *pass) warm() bool {
	return p.first(
		(*pass).movedOn,
		(*pass).stableLost,
		(*pass).oldAgain,
		(*pass).upkeepWarm,
		(*pass).oldGone,
		(*pass).stayWarm,
		(*pass).oldDown,
	)
}

// oldAgain turns round at once when somebody wants the former stable revision
// back: it still has its pods. That is going back, whatever it is called, so neither
// schedule nor Freeze hold it.
func (p *pass) oldAgain() bool {
	if p.old == nil || p.leaving() || p.Deployment.Template != p.old.Template {
		return false
	}
	revision := p.old.Revision
	p.startOver(1)
	return p.write(func(r *v1alpha1.Record) {
		r.Override = &v1alpha1.Override{Revision: revision, By: "crossfade", Reason: "it goes back to the revision that was stable just before", At: *p.microNow()}
	})
}

// upkeepWarm is upkeep without the holder, which may be gone for good reasons only
// after this stage.
func (p *pass) upkeepWarm() bool {
	if p.back() && !p.held() {
		// Somebody ended the hold early; nothing can start, the template is stable's.
		return p.pins()
	}
	return p.upkeep()
}

func (p *pass) oldGone() bool {
	if p.old != nil && !p.old.gone() {
		return false
	}
	return p.become(v1alpha1.StageRestoring, func(r *v1alpha1.Record) {
		clearDelivery(r)
		if p.leaving() {
			r.Then, r.Message = v1alpha1.ThenDetach, "letting the Deployment go"
		}
	})
}

// stayWarm keeps the old pods for clients that have not heard of the move yet, and
// as long as a proxy may route to them (I4).
func (p *pass) stayWarm() bool {
	until := p.rec.Since.Add(p.scaleDownDelay())
	if !p.leaving() && !p.past(until) {
		p.wait(v1alpha1.ReasonPromoted, fmt.Sprintf("revision %s is promoted; the pods of %s stay warm until %s", p.rec.Stable, p.rec.Old, clock(until)))
		return true
	}
	if !p.unrouted(p.rec.Old, p.rec.Since.Time) {
		p.wait(v1alpha1.ReasonPromoted, fmt.Sprintf("waiting until no proxy routes to revision %s any more", p.rec.Old))
		return true
	}
	return false
}

// autoscalerSight is the time that an HPA gets to see the load move between two
// steps down: its controller looks every 15 s, at figures up to 15 s old.
const autoscalerSight = 30 * time.Second

// oldDown makes the old ReplicaSet smaller, by a quarter of the Deployment's
// replicas at a time: an HPA has counted its idle pods and must see the load of
// those that are left (handover.md 6a). Each step needs stable at its full size,
// or progressDeadlineSeconds of waiting for it.
func (p *pass) oldDown() bool {
	p.wait(v1alpha1.ReasonPromoted, p.oldGoes())
	if p.old.Replicas > p.rec.Replicas {
		p.act(Action{Kind: Scale, Object: p.old.Name, Replicas: p.rec.Replicas, Why: "it is not stable any more"})
		return true
	}
	if p.old.Replicas == 0 || p.old.StatusReplicas > p.old.Replicas || !p.old.Observed {
		return true
	}
	last := p.rec.Since.Time
	if p.rec.ScaledAt != nil {
		last = p.rec.ScaledAt.Time
		if p.Autoscaled && !p.past(last.Add(autoscalerSight)) {
			return true
		}
	}
	if p.stable.Available < p.Deployment.Replicas && !p.past(last.Add(p.deadline())) {
		p.wait(v1alpha1.ReasonPromoted, fmt.Sprintf("waiting for all pods of revision %s, to let those of %s go", p.rec.Stable, p.rec.Old))
		return true
	}
	quarter := max(1, share(int64(p.Deployment.Replicas), 1, 4))
	return p.write(func(r *v1alpha1.Record) {
		r.Replicas, r.ScaledAt = max(0, p.old.Replicas-quarter), p.microNow()
	})
}

// oldGoes is said from the first step down to the last, so that a watch does not see
// the message flip with each.
func (p *pass) oldGoes() string {
	return fmt.Sprintf("revision %s is promoted; the pods of %s go", p.rec.Stable, p.rec.Old)
}
