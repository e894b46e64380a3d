package delivery

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// retreat sends the requests back to stable. Weight and traffic go at once, unless
// stable has no ready pod while the canary has: then going back would break
// everybody, and the weight waits until stable can take it.
func (p *pass) retreat(then v1alpha1.AfterRetreat, reason, message string) bool {
	if then == v1alpha1.ThenRolledBack {
		p.history = ended(p.history, p.wentBack(reason, message))
	}
	if then == v1alpha1.ThenRolledBack && reason != EventABTestEnded {
		p.warn(EventRolledBack, fmt.Sprintf("revision %s goes back to %s: %s", p.rec.Canary, p.rec.Stable, message))
	} else {
		p.event(reason, fmt.Sprintf("revision %s goes back to %s: %s", p.rec.Canary, p.rec.Stable, message))
	}
	cannot := p.stableCannotTake()
	return p.become(v1alpha1.StageRetreating, func(r *v1alpha1.Record) {
		r.Then, r.Reason, r.Message = then, reason, message
		r.AckedAt, r.ScaledAt = nil, nil
		if !cannot {
			p.weigh(r, portion{})
		}
	})
}

// stableCannotTake says that the canary is all that serves. A Deployment scaled to
// 0 is meant to serve nothing.
func (p *pass) stableCannotTake() bool {
	return p.stable.ready() == 0 && p.canary.ready() > 0 && p.Deployment.Replicas > 0
}

// retreating waits until no proxy routes to the canary, and only then takes its
// pods.
func (p *pass) retreating() bool {
	return p.first(
		(*pass).movedOn,
		(*pass).stableLost,
		(*pass).waitForStable,
		(*pass).weightToZero,
		(*pass).upkeep,
		(*pass).emptyCanary,
		(*pass).tellRollback,
		(*pass).retreated,
	)
}

func (p *pass) waitForStable() bool {
	if !p.stableCannotTake() {
		return false
	}
	p.wait(v1alpha1.ReasonRollingBack, p.rec.Message+"; the canary serves on, for stable has no ready pod")
	p.upkeep()
	return true
}

func (p *pass) weightToZero() bool {
	if p.rec.Weight == 0 && p.rec.Traffic == nil {
		return false
	}
	return p.write(func(r *v1alpha1.Record) { p.weigh(r, portion{}) })
}

// emptyCanary takes the canary's pods once nothing routes to them (I4), then its
// ReplicaSet. One that is history of the Deployment stays, parked.
func (p *pass) emptyCanary() bool {
	c := p.canary
	switch {
	case c == nil:
		return false
	case c.Replicas > 0 && !p.unrouted(c.Revision, p.rec.WeightSince.Time):
		p.wait(v1alpha1.ReasonRollingBack, p.rec.Message+"; waiting until no proxy routes to the canary any more")
	case c.Replicas > 0:
		p.act(Action{Kind: Scale, Object: c.Name, Replicas: 0, Why: "no proxy routes to the canary any more"})
	case !c.gone():
		p.wait(v1alpha1.ReasonRollingBack, p.rec.Message+"; waiting for the canary's pods to go")
	case c.RevisionNumber == 0:
		p.act(Action{Kind: DeleteReplicaSet, Object: c.Name, Why: "it never was a revision of the Deployment"})
	default:
		return false
	}
	return true
}

// retreated goes on with what is asked for by now, which may be something else
// than what the retreat was for.
func (p *pass) retreated() bool {
	switch {
	case p.leaving():
		return p.detachNow()
	case p.back():
		return p.become(v1alpha1.StageRestoring, func(r *v1alpha1.Record) {
			reason, message := r.Reason, r.Message
			clearDelivery(r)
			r.Then, r.Reason, r.Message = v1alpha1.ThenRestore, reason, message
		})
	case p.rec.Then != v1alpha1.ThenRolledBack || p.Deployment.Template != p.rec.CanaryTemplate:
		return p.startOver(1)
	}
	return p.become(v1alpha1.StageRolledBack, func(r *v1alpha1.Record) {
		was := *r
		clearDelivery(r)
		r.Then, r.Reason, r.Message = was.Then, was.Reason, was.Message
		r.Failed, r.FailedTemplate, r.Attempt = was.Canary, was.CanaryTemplate, max(1, was.Attempt)
	})
}

// rolledBack waits for another template, or for somebody to ask for another
// attempt; the failed one is not tried again by itself.
func (p *pass) rolledBack() bool {
	return p.first(
		(*pass).detachNow,
		(*pass).movedOn,
		(*pass).stableLost,
		(*pass).backBeforeCanary,
		(*pass).anotherTemplate,
		(*pass).retry,
		(*pass).holdOn,
		(*pass).holderThere,
		(*pass).parkStrays,
		(*pass).labelsAndNoPins,
		(*pass).sweepAll,
	)
}

func (p *pass) anotherTemplate() bool {
	if p.Deployment.Template == p.rec.FailedTemplate {
		return false
	}
	return p.startOver(1)
}

// retry begins another attempt when somebody asked for exactly that one.
func (p *pass) retry() bool {
	word := p.retryWord()
	if p.Rollout.Annotations[v1alpha1.AnnotationRetry] != word {
		return false
	}
	p.event(EventRetry, "another attempt was asked for: "+word)
	return p.startOver(p.rec.Attempt + 1)
}

func (p *pass) retryWord() string { return fmt.Sprintf("%s/%d", p.rec.Failed, p.rec.Attempt+1) }

func (p *pass) labelsAndNoPins() bool {
	return p.labelServices() || p.unpinAll("only stable has pods")
}

func (p *pass) sweepAll() bool {
	return p.sweep(func(r *ReplicaSet) bool { return r.Revision == p.rec.Stable })
}

// microNow is the time of the pass as the record holds it.
func (p *pass) microNow() *metav1.MicroTime {
	t := metav1.NewMicroTime(p.now)
	return &t
}
