package delivery

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// upkeep restores, in every stage with a canary, what the delivery rests on: the
// hold (I10), the holder with all but the stable ReplicaSet (I5), the pins (I8,
// I11), the canary's minReadySeconds. It says whether something had to be done;
// nothing else is done in that pass.
func (p *pass) upkeep() bool {
	return p.first((*pass).holdOn, (*pass).holderThere, (*pass).parkStrays, (*pass).pins, (*pass).minReady)
}

// holdOn pauses the Deployment again when somebody ended the hold.
func (p *pass) holdOn() bool {
	if p.held() && p.Deployment.Paused {
		return false
	}
	p.act(Action{Kind: Hold, Object: p.Deployment.Name, Why: "a delivery is on its way and nothing holds the template"})
	return true
}

// holderThere makes the owner of the canary and of the parked history.
func (p *pass) holderThere() bool {
	if p.Holder != nil && p.Holder.Deployment == p.Deployment.UID {
		return false
	}
	p.act(Action{Kind: CreateHolder, Object: p.Deployment.Name + "-crossfade", Why: "it owns the canary, so that neither the Rollout nor the Deployment takes running pods along"})
	return true
}

// parkStrays gives every ReplicaSet but stable's to the holder: what the
// Deployment owns it scales, in the gap of the handover and whenever stable has
// no pods (handover.md 1b, 2b). One with pods is what a rolling update began
// before the hold; the paused Deployment brings stable back to its size as soon
// as it owns nothing else.
func (p *pass) parkStrays() bool {
	did := false
	for _, r := range p.owned() {
		if r.Revision == p.rec.Stable {
			continue
		}
		p.act(Action{Kind: Park, Object: r.Name, Why: "the held Deployment owns only stable"})
		did = true
	}
	return did
}

// pins keeps every Service on the revision that clients outside the mesh are to
// reach.
func (p *pass) pins() bool {
	if p.labelServices() {
		return true
	}
	want, moved := p.pinWanted()
	did := false
	for _, s := range p.services() {
		if s.Unpinnable != "" || (s.Pin == want && s.Key == want) {
			continue
		}
		did = true
		// A pin that stands without its key was not kept by any policy.
		a := Action{
			Kind: Pin, Object: s.Name, Revision: want, Direct: !p.Policies.Pin || s.Pin == want,
			Why: "clients outside the mesh reach this revision only",
		}
		if want == "" {
			a.Kind, a.Direct = Unpin, !p.Policies.Pin
		}
		if moved {
			a.Why = "the pinned revision has no ready endpoint: an empty Service is worse than a canary"
		}
		if moved && s.Pin != want {
			a.Tells = warning(EventPinMoved, fmt.Sprintf("the pin of Service %s moves from %q to %q: the revision it belongs on has no ready pod", s.Name, s.Pin, want))
		}
		p.act(a)
	}
	return did
}

// pinWanted is the revision that the Services are to select, and whether the pin
// guard says so: it goes to a revision that has ready endpoints when the one that
// it belongs on has none, and comes back when that has some again (I11). Empty
// stands for no pin.
func (p *pass) pinWanted() (revision string, moved bool) {
	belongs, other := p.stable, p.canary
	name := p.rec.Stable
	if p.rec.Stage == v1alpha1.StagePinning || p.rec.Stage == v1alpha1.StageHandingOver {
		belongs, other, name = p.canary, p.stable, p.rec.Canary
	}
	if p.rec.Stage == v1alpha1.StageWarm {
		other = p.old
	}
	switch {
	case belongs.ready() > 0:
		return name, false
	case other.ready() > 0:
		return other.Revision, true
	}
	if slices.ContainsFunc(p.ReplicaSets, func(r ReplicaSet) bool { return r.Ready > 0 }) {
		return "", true
	}
	return name, false
}

// minReady keeps the canary's minReadySeconds the Deployment's: a difference is
// levelled by the Deployment controller at the join, and makes all pods
// unavailable for so long (handover.md 2e).
func (p *pass) minReady() bool {
	if p.canary == nil || p.canary.MinReadySeconds == p.Deployment.MinReadySeconds {
		return false
	}
	p.act(Action{Kind: SetMinReady, Object: p.canary.Name, Seconds: p.Deployment.MinReadySeconds, Why: "it must equal the Deployment's at the handover"})
	return true
}

// acked says that every proxy has confirmed what was rendered from this very
// record, or that the user said to go on without the silent ones.
func (p *pass) acked() bool {
	x := &p.Proxies
	return x.Current && (x.Acked >= x.Expected || p.forgiven())
}

// forgiven says that silent proxies are not waited for: the user chose Continue,
// the time is over, and one proxy at least has shown what the others would get.
func (p *pass) forgiven() bool {
	return p.Rollout.Spec.Acks.OnTimeout == v1alpha1.AckTimeoutContinue && p.Proxies.Acked > 0 && p.silent()
}

// silent says that a proxy has been silent past acks.timeout. The silence counts
// from the last thing there was to confirm, and from when this controller began to
// listen, whichever is later.
func (p *pass) silent() bool {
	x := &p.Proxies
	if x.PendingSince.IsZero() {
		return false
	}
	return p.past(latest(x.PendingSince, p.rec.StepSince.Time, p.rec.WeightSince.Time).Add(p.ackTimeout()))
}

// unrouted says that no proxy sends requests to a revision any more, so that its
// pods may go (I4). A proxy that does not say so is waited for until acks.timeout,
// counted from the weight that ended the routing (since) and from when this
// controller began to listen. When no proxy is silent, what is published still
// routes there (stable has only just become ready again), and no time makes that
// safe; unless the Deployment is at 0, where the routes have nothing else to name
// and nothing is meant to serve: then it is safe at once.
func (p *pass) unrouted(revision string, since time.Time) bool {
	x := &p.Proxies
	if !x.Current {
		return false
	}
	if !slices.Contains(x.MayRoute, revision) {
		return true
	}
	if x.PendingSince.IsZero() {
		return p.Deployment.Replicas == 0
	}
	return p.past(latest(x.PendingSince, since).Add(p.ackTimeout()))
}

func join(list []string) string { return strings.Join(list, ", ") }
