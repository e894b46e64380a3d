package delivery

import (
	"fmt"
	"slices"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// healthy keeps an adopted Deployment as it is until its template changes.
func (p *pass) healthy() bool {
	return p.first(
		(*pass).detachNow,
		(*pass).addFinalizer,
		(*pass).movedOn,
		(*pass).holdMissed,
		(*pass).stableLost,
		(*pass).label,
		(*pass).standStill,
		(*pass).prepare,
		(*pass).leftovers,
		(*pass).keepHeld,
		(*pass).releaseStable,
		(*pass).idle,
	)
}

// detachNow puts everything back, without a retreat: no requests are shifted.
func (p *pass) detachNow() bool {
	if !p.leaving() {
		return false
	}
	return p.become(v1alpha1.StageRestoring, func(r *v1alpha1.Record) {
		r.Then, r.Reason, r.Message, r.Canary, r.CanaryTemplate = v1alpha1.ThenDetach, v1alpha1.ReasonInitializing, "letting the Deployment go", "", ""
	})
}

// label puts the label on the Deployment and its Services: from then on the
// policies act on them.
func (p *pass) label() bool {
	did := false
	if p.Deployment.Rollout != p.Rollout.Name {
		p.act(Action{Kind: LabelDeployment, Object: p.Deployment.Name, Why: "the policies act on what is labelled"})
		did = true
	}
	if p.labelServices() {
		did = true
	}
	if did {
		p.wait(v1alpha1.ReasonInitializing, "adopting: labels are written")
	}
	return did
}

func (p *pass) labelServices() bool {
	did := false
	for _, s := range p.services() {
		if s.Rollout != p.Rollout.Name && s.Unpinnable == "" {
			p.act(Action{Kind: LabelService, Object: s.Name, Why: "the policies act on what is labelled"})
			did = true
		}
	}
	return did
}

// movedOn accepts what a plain rolling update has already finished, while no
// policy held it or the glass was broken: stable is asked for no pods and has none
// that is ready (some may still be terminating), and a ReplicaSet of the
// Deployment's own runs its template in full. There is nothing to go back to.
func (p *pass) movedOn() bool {
	if p.stable != nil && (p.Deployment.Replicas == 0 || p.stable.Replicas > 0 || p.stable.Ready > 0) {
		return false
	}
	for _, r := range p.owned() {
		if r.Template != p.Deployment.Template || r.Available < p.Deployment.Replicas {
			continue
		}
		p.warn(EventSuperseded, fmt.Sprintf("the Deployment rolled out revision %s by itself; it is the stable one now", r.Revision))
		return p.become(v1alpha1.StageRestoring, func(rec *v1alpha1.Record) {
			clearDelivery(rec)
			rec.Stable = r.Revision
		})
	}
	return false
}

// holdMissed pauses a Deployment whose template changed without a hold: the policy
// was missing, or came too late. What its rolling update has started by then is
// parked like a canary.
func (p *pass) holdMissed() bool {
	if p.held() || p.stable == nil || p.back() {
		return false
	}
	p.wait(v1alpha1.ReasonProgressing, "holding a template that no policy has held")
	p.act(Action{Kind: Hold, Object: p.Deployment.Name, Why: "the template changed and nothing holds it"})
	return true
}

// stableLost deals with a stable ReplicaSet that somebody deleted. A running
// Deployment makes it again. A held one never would: nothing is left to go back
// to, so it is let go and starts its template by itself, and movedOn takes up what
// comes of it; until then the canary, if there is one, serves on (handover.md 2c).
func (p *pass) stableLost() bool {
	if p.stable != nil {
		return false
	}
	for _, r := range p.owned() {
		if p.rec.Stage == v1alpha1.StageHealthy && r.Template == p.Deployment.Template {
			revision := r.Revision
			return p.write(func(rec *v1alpha1.Record) { rec.Stable = revision })
		}
	}
	p.refuse(v1alpha1.ReasonNotSettled, "the stable ReplicaSet was deleted: waiting until the Deployment has started its template by itself")
	if p.held() {
		p.act(Action{
			Kind: LetGo, Object: p.Deployment.Name, Why: "the stable ReplicaSet is gone, there is nothing to go back to",
			Tells: warning(EventStableLost, "the stable ReplicaSet was deleted: the held Deployment is let go and starts its template by itself"),
		})
	}
	return true
}

// standStill moves nothing while a user's mistake or a missing Service makes it
// unclear what is meant. A changed template stays held meanwhile.
func (p *pass) standStill() bool {
	r := p.against()
	if r == nil {
		return false
	}
	p.refuse(r.Reason, r.Message)
	p.unaskHooks()
	return true
}

// against is the first reason not to go on to the canary, nil when there is none.
func (p *pass) against() *Refusal {
	for _, reason := range []func(*Observation) *Refusal{
		refusedByShell, recreates, keepsNoHistory, serviceMissing, serviceSelectsOthers, servicesUnpinnable,
	} {
		if r := reason(&p.Observation); r != nil {
			return r
		}
	}
	return nil
}

// prepare begins a delivery.
func (p *pass) prepare() bool {
	if p.back() {
		return false
	}
	return p.startOver(1)
}

// startOver goes to the preparation of the Deployment's template.
func (p *pass) startOver(attempt int32) bool {
	p.event(EventRevisionDetected, fmt.Sprintf("a changed template is held: revision %s", p.revisionOfTemplate()))
	if len(p.Budgets) > 0 {
		p.warn(EventWeakBudget, p.weakBudgets())
	}
	return p.become(v1alpha1.StagePreparing, func(r *v1alpha1.Record) {
		clearDelivery(r)
		r.CanaryTemplate, r.Attempt = p.Deployment.Template, attempt
	})
}

// revisionOfTemplate names the Deployment's template: by the ReplicaSet that has it
// already, else by the one that will be made.
func (p *pass) revisionOfTemplate() string {
	for i := range p.ReplicaSets {
		if p.ReplicaSets[i].Template == p.Deployment.Template {
			return p.ReplicaSets[i].Revision
		}
	}
	return p.Deployment.CanaryHash
}

// clearDelivery drops everything of a delivery from the record; what is known of
// the last failure goes, too.
func clearDelivery(r *v1alpha1.Record) {
	*r = v1alpha1.Record{
		Stage: r.Stage, Since: r.Since, Workload: r.Workload, WorkloadUID: r.WorkloadUID, Service: r.Service, Stable: r.Stable,
		Taken: r.Taken, Hooks: hooksAfter(r.Hooks),
	}
}

// leftovers cleans up what no Healthy Rollout has: after a policy or a person
// wrote what only a delivery needs (I12).
func (p *pass) leftovers() bool {
	pinned := false
	for _, s := range p.services() {
		pinned = pinned || s.Pin != "" || s.Key != ""
	}
	if p.Holder == nil && !pinned {
		return false
	}
	return p.become(v1alpha1.StageRestoring, clearDelivery)
}

// keepHeld keeps the Deployment paused where no policy would hold a changed
// template: without it the first pods of it would start before anybody looked. A
// rolling update back to stable that the pause would freeze half-way goes first.
func (p *pass) keepHeld() bool {
	if !p.fallback() {
		return false
	}
	rolling := slices.ContainsFunc(p.owned(), func(r *ReplicaSet) bool { return r.Revision != p.rec.Stable && r.Replicas > 0 })
	switch {
	case rolling && p.held():
		p.wait(v1alpha1.ReasonNotSettled, "letting the Deployment finish its rolling update back to the stable revision")
		p.act(Action{Kind: Release, Object: p.Deployment.Name, Why: "the template is the stable one, and pods of another one are left"})
	case rolling:
		p.wait(v1alpha1.ReasonNotSettled, "waiting for the Deployment's rolling update back to the stable revision")
	case p.held() && p.Deployment.Paused:
		return p.idle()
	default:
		p.wait(v1alpha1.ReasonHealthy, "pausing the Deployment, for no policy would hold a changed template")
		p.act(Action{Kind: Hold, Object: p.Deployment.Name, Why: "no policy would hold a changed template"})
	}
	return true
}

// fallback says that the controller holds in the policies' place.
func (p *pass) fallback() bool { return p.Policies.Known && !p.Policies.Hold }

// releaseStable ends a hold that is not needed: the template is stable's.
func (p *pass) releaseStable() bool {
	if !p.held() || !p.Policies.Known {
		return false
	}
	p.wait(v1alpha1.ReasonHealthy, "ending a hold: the template is the stable one")
	p.act(Action{Kind: Release, Object: p.Deployment.Name, Why: "the template is the stable one"})
	return true
}

// idle is what Healthy means: nothing is left to do.
func (p *pass) idle() bool {
	p.words.idle = true
	return true
}
