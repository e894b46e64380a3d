package delivery

import (
	"fmt"
	"strings"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// preparing brings everything into the state in which a first canary pod may
// exist: held, history parked, Services pinned, the canary's ReplicaSet there.
func (p *pass) preparing() bool {
	return p.first(
		(*pass).detachNow,
		(*pass).movedOn,
		(*pass).stableLost,
		(*pass).backBeforeCanary,
		(*pass).newerTemplate,
		(*pass).hookFailed,
		(*pass).upkeep,
		(*pass).sweepOthers,
		(*pass).standStill,
		(*pass).altered,
		(*pass).noReplicas,
		(*pass).begin,
		(*pass).createCanary,
	)
}

// backBeforeCanary ends a delivery that has not shifted anything yet.
func (p *pass) backBeforeCanary() bool {
	if !p.back() {
		return false
	}
	p.event(EventSuperseded, "the template is the stable one again")
	return p.become(v1alpha1.StageRestoring, func(r *v1alpha1.Record) {
		clearDelivery(r)
		r.Then, r.Reason, r.Message = v1alpha1.ThenRestore, EventSuperseded, "the template is the stable one again"
	})
}

// newerTemplate goes on with the newest template: an older one has no pods yet.
func (p *pass) newerTemplate() bool {
	if p.rec.CanaryTemplate == p.Deployment.Template {
		return false
	}
	return p.startOver(1)
}

// sweepOthers removes what earlier canaries have left. History stays parked.
func (p *pass) sweepOthers() bool {
	return p.sweep(func(r *ReplicaSet) bool {
		return r.Revision == p.rec.Stable || r.Template == p.Deployment.Template || r.Revision == p.Deployment.CanaryHash
	})
}

// sweep brings ReplicaSets of the holder to 0 and deletes those that were never a
// revision of the Deployment: given back they would look like history to go back
// to. It says whether there is something left to sweep.
func (p *pass) sweep(spared func(*ReplicaSet) bool) bool {
	left := false
	for _, r := range p.parked() {
		switch {
		case spared(r):
		case r.Replicas > 0:
			left = true
			if p.unrouted(r.Revision, p.rec.Since.Time) {
				p.act(Action{Kind: Scale, Object: r.Name, Replicas: 0, Why: "nothing is routed to it"})
			}
		case !r.gone():
			left = true
		case r.RevisionNumber == 0:
			left = true
			p.act(Action{Kind: DeleteReplicaSet, Object: r.Name, Why: "it never was a revision of the Deployment"})
		}
	}
	if left {
		p.wait(v1alpha1.ReasonProgressing, "waiting for pods of an earlier canary to go")
	}
	return left
}

// altered fails a canary whose ReplicaSet was stored with another template than
// the Deployment's (by a webhook, or a client older than the cluster): after the
// handover the Deployment would not recognise it and restart every pod
// (handover.md 3c).
func (p *pass) altered() bool {
	r := p.find(p.Deployment.CanaryHash)
	if r == nil || r.Template == p.Deployment.Template || p.sameTemplate() != nil {
		return false
	}
	p.rec.Canary = r.Revision
	return p.retreat(v1alpha1.ThenRolledBack, EventCanaryAltered,
		fmt.Sprintf("ReplicaSet %s was stored with another template than the Deployment's: a webhook changes ReplicaSets, which makes a handover without restarts impossible", r.Name))
}

// noReplicas waits while the Deployment is scaled to 0: there is nothing to shift
// and nothing to measure. The hold stays, so scaling up starts the stable revision
// (I10).
func (p *pass) noReplicas() bool {
	if p.Deployment.Replicas > 0 {
		return false
	}
	p.pause("the Deployment has 0 replicas: the canary starts when it is scaled up")
	return true
}

// sameTemplate is the ReplicaSet that already has the Deployment's template, the
// oldest where there are several: that is the one the Deployment controller would
// take, too (handover.md 1d).
func (p *pass) sameTemplate() *ReplicaSet {
	var oldest *ReplicaSet
	for _, r := range p.parked() {
		if r.Template != p.Deployment.Template {
			continue
		}
		if oldest == nil || r.Created.Before(oldest.Created) || (r.Created.Equal(oldest.Created) && strings.Compare(r.Name, oldest.Name) < 0) {
			oldest = r
		}
	}
	return oldest
}

// begin starts the first step once the canary's ReplicaSet is there.
func (p *pass) begin() bool {
	canary := p.sameTemplate()
	if canary == nil {
		return false
	}
	if p.paused() {
		p.stayPaused("the canary starts")
		p.unaskHooks()
		return true
	}
	if p.gated(beforeStart, 0) || p.gatedBefore(1) {
		return true
	}
	p.checks = p.freshChecks()
	p.event(EventStepStarted, fmt.Sprintf("step 1/%d of revision %s", len(p.steps()), canary.Revision))
	p.warnOfWrites(1, canary.Revision)
	return p.become(v1alpha1.StageStepping, func(r *v1alpha1.Record) {
		r.Canary = canary.Revision
		r.Weight, r.Total, r.Capacity = 0, p.specTotal(), 0
		r.Replicas, r.ScaledAt = canary.Replicas, nil
		p.enter(r, 1)
	})
}

// createCanary makes the canary's ReplicaSet. Its name follows from the template,
// so making it twice makes one.
func (p *pass) createCanary() bool {
	p.wait(v1alpha1.ReasonProgressing, "making the canary's ReplicaSet")
	p.act(Action{Kind: CreateCanary, Object: p.Deployment.Name + "-" + p.Deployment.CanaryHash, Revision: p.Deployment.CanaryHash, Why: "no ReplicaSet has the held template"})
	return true
}
