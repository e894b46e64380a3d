package delivery

import (
	"fmt"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// superseded goes back when what is delivered is not what is asked for any more:
// the Rollout goes, the template is the stable one again or a third one, the
// Deployment was scaled to 0, or a plain rolling update has overtaken us.
func (p *pass) superseded() bool {
	if p.leaving() {
		return p.retreat(v1alpha1.ThenDetach, EventDetached, "the Rollout lets go of the Deployment")
	}
	if p.movedOn() || p.stableLost() {
		return true
	}
	switch {
	case p.back():
		return p.retreat(v1alpha1.ThenRestore, EventSuperseded, "the template is the stable one again")
	case p.Deployment.Template != p.rec.CanaryTemplate:
		return p.retreat(v1alpha1.ThenPrepare, EventSuperseded, fmt.Sprintf("another template came while %s was on its way", p.rec.Canary))
	case p.Deployment.Replicas == 0:
		return p.retreat(v1alpha1.ThenPrepare, EventScaledToZero, "the Deployment was scaled to 0")
	}
	return false
}

// failing goes back to stable when the delivery cannot go on: each reason has its
// own clock, so that nothing waits for ever (I9).
func (p *pass) failing() bool {
	return p.first((*pass).rejected, (*pass).proxySilent, (*pass).noProxies, (*pass).serviceAway, (*pass).notAvailable, (*pass).noVerdict)
}

func (p *pass) rollBack(reason, message string) bool {
	return p.retreat(v1alpha1.ThenRolledBack, reason, message)
}

// rejected: a proxy refused what was published, so more of it must not follow.
func (p *pass) rejected() bool {
	x := &p.Proxies
	if !x.Current || x.Rejected == 0 {
		return false
	}
	return p.rollBack(EventProxyRejected, fmt.Sprintf("proxy %s rejected its configuration: %s", x.RejectedBy, x.Error))
}

// proxySilent: a proxy did not confirm within acks.timeout. Where the user chose
// to go on, it is only taken back when no proxy at all confirms. Without a single
// stream and without weight nobody is silent yet; that is noProxies' matter.
func (p *pass) proxySilent() bool {
	x := &p.Proxies
	if (x.Connected == 0 && !p.reached()) || !p.silent() || p.forgiven() {
		return false
	}
	message := fmt.Sprintf("no confirmation within %s by %s", p.ackTimeout(), join(x.Silent))
	p.warn(EventProxySilent, message)
	return p.rollBack(EventProxySilent, message)
}

// noProxies: there is nobody to shift requests for, so nobody could observe the
// canary.
func (p *pass) noProxies() bool {
	if p.Proxies.Connected > 0 || p.paused() || !p.wanted().reaches() || p.rec.AckedAt != nil || p.Service == nil {
		return false
	}
	if !p.past(p.waitingSince().Add(p.deadline())) {
		return false
	}
	return p.rollBack(v1alpha1.ReasonNoProxies, fmt.Sprintf("no proxy that routes to Service %s was connected within %s", p.rec.Service, p.deadline()))
}

// serviceAway: the Service was deleted and does not come back.
func (p *pass) serviceAway() bool {
	if p.Service != nil || p.rec.AckedAt != nil || !p.past(p.waitingSince().Add(p.deadline())) {
		return false
	}
	return p.rollBack(v1alpha1.ReasonServiceNotFound, fmt.Sprintf("Service %s did not come back within %s", p.rec.Service, p.deadline()))
}

// notAvailable: canary pods that were asked for did not come, or those that
// carried the weight were lost, for progressDeadlineSeconds.
func (p *pass) notAvailable() bool {
	if p.canary == nil {
		return false
	}
	short := p.canary.Available < p.rec.Replicas
	reduced := p.rec.AckedAt == nil && p.weighed() && p.Proxies.Current && p.Proxies.Effective < p.rec.Weight
	if (!short && !reduced) || (short && p.rec.AckedAt != nil && p.rec.Capacity >= p.rec.Replicas) {
		return false
	}
	if !p.past(p.waitingSince().Add(p.deadline())) {
		return false
	}
	message := fmt.Sprintf("%d of %d canary pods were available within %s", p.canary.Available, p.rec.Replicas, p.deadline())
	if p.canary.Trouble != "" {
		message += ": " + p.canary.Trouble
	}
	return p.rollBack(EventCanaryNotAvailable, message)
}

// noVerdict: no check could be judged for progressDeadlineSeconds. That is not a
// failure (D7): the rollout stays where it is, unless the user wants it back.
func (p *pass) noVerdict() bool {
	overdue := p.verdictsOverdue()
	if len(overdue) == 0 {
		return false
	}
	message := fmt.Sprintf("no verdict within %s by %s", p.deadline(), join(overdue))
	if a := p.Rollout.Spec.Analysis; a != nil && a.OnDeadline == v1alpha1.DeadlineRollback {
		return p.rollBack(v1alpha1.ReasonNoVerdict, message)
	}
	if p.wasReason(v1alpha1.ConditionStalled) != v1alpha1.ReasonNoVerdict {
		p.warn(EventNoVerdict, message)
	}
	p.words.overdue = message
	return false
}
