package delivery

import (
	"fmt"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// restoring gives everything back, and ends the hold last: an undo in between
// must find its history (handover.md 1k).
func (p *pass) restoring() bool {
	return p.first(
		(*pass).detachInstead,
		(*pass).movedOnAgain,
		(*pass).changedAgain,
		(*pass).pinsFollow,
		(*pass).sweepBack,
		(*pass).giveBack,
		(*pass).unpin,
		(*pass).holderGoes,
		(*pass).letGo,
		(*pass).release,
		(*pass).restored,
	)
}

// detachInstead makes a restoring Rollout that is deleted by now let go, too.
func (p *pass) detachInstead() bool {
	if p.rec.Then == v1alpha1.ThenDetach || !p.leaving() {
		return false
	}
	return p.write(func(r *v1alpha1.Record) { r.Then, r.Message = v1alpha1.ThenDetach, "letting the Deployment go" })
}

func (p *pass) movedOnAgain() bool {
	return p.rec.Then != v1alpha1.ThenDetach && p.movedOn()
}

// changedAgain starts over when another template came while everything was given
// back: the hold has kept it from starting.
func (p *pass) changedAgain() bool {
	if p.rec.Then == v1alpha1.ThenDetach || p.stable == nil || p.back() {
		return false
	}
	if !p.held() {
		return p.holdOn()
	}
	return p.startOver(1)
}

// pinsFollow moves pins that still stand to the stable revision, which may be
// another one than they were written for (movedOn), and off it when it has no
// ready pod (I11).
func (p *pass) pinsFollow() bool {
	want, _ := p.pinWanted()
	did := false
	for _, s := range p.services() {
		if (s.Pin == "" && s.Key == "") || (s.Pin == want && s.Key == want) {
			continue
		}
		if want == "" {
			return p.unpinAll("the stable revision has no ready pod, another one has")
		}
		p.act(Action{Kind: Pin, Object: s.Name, Revision: want, Direct: !p.Policies.Pin || s.Pin == want, Why: "it was pinned to a revision that is not stable any more"})
		did = true
	}
	return did
}

// sweepBack empties what the holder still has; history that has no pods is spared.
func (p *pass) sweepBack() bool {
	return p.sweep(func(r *ReplicaSet) bool { return r.Revision == p.rec.Stable })
}

// giveBack returns history to the Deployment. Only what has no pods: the
// Deployment scales down whatever joins it (handover.md 1j).
func (p *pass) giveBack() bool {
	did := false
	for _, r := range p.parked() {
		if r.Revision == p.rec.Stable || r.gone() {
			p.act(Action{Kind: GiveBack, Object: r.Name, Why: "it is history of the Deployment"})
			did = true
		}
	}
	return did
}

func (p *pass) unpin() bool { return p.unpinAll("no other revision has pods") }

// holderGoes deletes the holder once it owns nothing: the garbage collector would
// take along whatever it still owned.
func (p *pass) holderGoes() bool {
	if p.Holder == nil {
		return false
	}
	p.act(Action{Kind: DeleteHolder, Object: p.Holder.Name, Why: "it owns nothing any more"})
	return true
}

// letGo takes everything of ours from the Deployment, the Services and the
// Rollout, in this order. When the template is not the stable one, the Deployment
// goes on with a rolling update of its own.
func (p *pass) letGo() bool {
	if p.rec.Then != v1alpha1.ThenDetach {
		return false
	}
	d := p.Deployment
	p.wait(v1alpha1.ReasonInitializing, "letting the Deployment go")
	if d.Rollout != "" || p.held() {
		a := Action{Kind: LetGo, Object: d.Name, Why: "the Rollout lets go of it"}
		if !p.back() {
			a.Tells = warning(EventDetached, fmt.Sprintf("Deployment %s goes on with a rolling update of its own", d.Name))
		}
		p.act(a)
		return true
	}
	if p.deleting() {
		return p.letServicesGo("the Rollout is being deleted")
	}
	did := false
	for _, s := range p.services() {
		if s.Rollout != "" {
			p.act(Action{Kind: UnlabelService, Object: s.Name, Direct: !p.Policies.Pin, Why: "the Rollout lets go of it"})
			did = true
		}
	}
	if did || p.unanswered() {
		return true
	}
	p.event(EventDetached, fmt.Sprintf("let go of Deployment %s", d.Name))
	return p.forget()
}

// release ends the hold. Where no policy would hold the next template, the
// controller keeps holding.
func (p *pass) release() bool {
	if !p.held() || p.fallback() || !p.back() {
		return false
	}
	p.act(Action{Kind: Release, Object: p.Deployment.Name, Why: "the template is the stable one, and all is given back"})
	return true
}

func (p *pass) restored() bool {
	if p.stable == nil {
		return p.stableLost()
	}
	p.checks = nil
	return p.become(v1alpha1.StageHealthy, clearDelivery)
}
