package delivery

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Decide says what to do next, from what was observed and from nothing else: equal
// observations give equal plans. It never panics on an observation, however odd.
func Decide(o Observation) Plan {
	p := newPass(o)
	if p.rec != nil {
		p.hear()
	}
	switch {
	case p.first((*pass).namespaceGoes, (*pass).workloadGone, (*pass).glassBroken):
		p.turnAway(p.words.message)
	case p.rec == nil:
		p.adoption()
		p.turnAway("the Rollout has not adopted the Deployment yet")
	case p.told():
	default:
		p.stage()
		p.askAfter()
	}
	p.expire()
	return p.finish()
}

// NeedsLive says whether the next observation must be read from the API server
// itself, because what a cache does not show yet would do harm: before the first
// canary pod (is every Service pinned?), where ReplicaSets change owners, and where
// the last traces are removed. It follows from the record alone, so that a
// controller that has just started knows it, too.
func NeedsLive(r *v1alpha1.Record) bool {
	if r == nil {
		return false
	}
	switch r.Stage {
	case v1alpha1.StagePreparing, v1alpha1.StagePinning, v1alpha1.StageHandingOver, v1alpha1.StageRestoring:
		return true
	case v1alpha1.StageHealthy, v1alpha1.StageStepping, v1alpha1.StageWarm, v1alpha1.StageRetreating, v1alpha1.StageRolledBack:
	}
	return false
}

// stage asks the rules of the record's stage.
func (p *pass) stage() {
	switch p.rec.Stage {
	case v1alpha1.StageHealthy:
		p.healthy()
	case v1alpha1.StagePreparing:
		p.preparing()
	case v1alpha1.StageStepping:
		p.stepping()
	case v1alpha1.StagePinning:
		p.pinning()
	case v1alpha1.StageHandingOver:
		p.handingOver()
	case v1alpha1.StageWarm:
		p.warm()
	case v1alpha1.StageRetreating:
		p.retreating()
	case v1alpha1.StageRolledBack:
		p.rolledBack()
	case v1alpha1.StageRestoring:
		p.restoring()
	}
}

// pass is one decision in the making: what was observed, what follows from it at
// once, and the plan as far as it is made. It lives for one call of Decide.
type pass struct {
	Observation
	// now is Observation.Now as the record can hold it, in whole microseconds: a
	// finer time would compare unequal to itself once it was written and read.
	now time.Time
	// rec is the next record, at first equal to the observed one.
	rec *v1alpha1.Record
	// stable, canary and old are the record's revisions; nil when they do not exist.
	stable, canary, old *ReplicaSet
	// way are the strategy's steps, once somebody has asked for them.
	way []Step
	// checks are the next verdicts.
	checks []v1alpha1.CheckStatus
	// history are the next ends of deliveries.
	history []v1alpha1.HistoryEntry
	// last are the writes that come after all others.
	last []Action
	// changed says that rec is not the observed record any more.
	changed bool
	// noted says that only what hooks have answered differs: actions wait for that to
	// be written, too, but what was said about the stage still holds.
	noted bool
	// asking says which hook of the present step is waited for.
	asking string
	words  words
	plan   Plan
}

// rule is one reason to decide something; it says whether it has. Rules are asked
// in order, and the first that decides ends the pass: what stands earlier matters
// more.
type rule func(*pass) bool

func (p *pass) first(rules ...rule) bool {
	for _, r := range rules {
		if r(p) {
			return true
		}
	}
	return false
}

func newPass(o Observation) *pass {
	p := &pass{Observation: o, now: o.Now.UTC().Truncate(time.Microsecond), history: o.Rollout.Status.History}
	if o.Rollout.Status.Record != nil {
		p.rec = o.Rollout.Status.Record.DeepCopy()
		p.stable = p.find(p.rec.Stable)
		p.canary = p.find(p.rec.Canary)
		p.old = p.find(p.rec.Old)
		p.checks = p.keepChecks()
	}
	return p
}

func (p *pass) find(revision string) *ReplicaSet {
	i := slices.IndexFunc(p.ReplicaSets, func(r ReplicaSet) bool { return r.Revision == revision })
	if i < 0 {
		return nil
	}
	return &p.ReplicaSets[i]
}

// write changes the record. The pass then has no actions: they follow from the
// observation that has the new record in it, so that a crash in between loses
// nothing (D6).
func (p *pass) write(change func(*v1alpha1.Record)) bool {
	change(p.rec)
	p.changed = true
	return true
}

// become writes a new stage.
func (p *pass) become(s v1alpha1.Stage, change func(*v1alpha1.Record)) bool {
	return p.write(func(r *v1alpha1.Record) {
		r.Stage, r.Since = s, metav1.NewMicroTime(p.now)
		change(r)
	})
}

// forget drops the record: the Rollout adopts anew.
func (p *pass) forget() bool {
	p.rec, p.checks, p.changed = nil, nil, true
	return true
}

func (p *pass) act(a Action) { p.plan.Actions = append(p.plan.Actions, a) }

func (p *pass) event(reason, message string) {
	p.plan.Events = append(p.plan.Events, Event{Reason: reason, Message: message})
}

func (p *pass) warn(reason, message string) {
	p.plan.Events = append(p.plan.Events, *warning(reason, message))
}

func warning(reason, message string) *Event {
	return &Event{Warning: true, Reason: reason, Message: message}
}

// past says whether a time has come, and if not, asks to be woken then. Every
// clock of this package is read through it, so no deadline can be forgotten in
// RequeueAt.
func (p *pass) past(t time.Time) bool {
	if !p.now.Before(t) {
		return true
	}
	if p.plan.RequeueAt.IsZero() || t.Before(p.plan.RequeueAt) {
		p.plan.RequeueAt = t
	}
	return false
}

// finish makes the plan out of what was decided.
func (p *pass) finish() Plan {
	if p.changed {
		p.words = words{}
	}
	if p.changed || p.noted {
		p.plan.Actions, p.plan.Measure, p.plan.Hooks, p.plan.RequeueAt = nil, nil, nil, time.Time{}
	} else {
		p.plan.Actions = append(p.plan.Actions, p.last...)
	}
	p.tellClosed()
	p.plan.Status = p.status()
	return p.plan
}

// deleting says that the Rollout is to go; leaving, that it is to let go of the
// Deployment that it has: because it goes, or because it names another one now.
func (p *pass) deleting() bool { return !p.Rollout.DeletionTimestamp.IsZero() }

func (p *pass) leaving() bool {
	return p.deleting() || p.rec.Workload != p.Rollout.Spec.WorkloadRef.Name || p.rec.Service != p.Rollout.Spec.ServiceRef.Name
}

func (p *pass) hasFinalizer() bool {
	return slices.Contains(p.Rollout.Finalizers, v1alpha1.Finalizer)
}

// back says that the Deployment's template is the stable revision's.
func (p *pass) back() bool { return p.stable != nil && p.Deployment.Template == p.stable.Template }

func (p *pass) held() bool { return p.Deployment.Hold != "" }

// owned are the ReplicaSets that the Deployment controls, parked those of the
// holder.
func (p *pass) owned() []*ReplicaSet { return p.ownedBy(OwnerDeployment) }

func (p *pass) parked() []*ReplicaSet { return p.ownedBy(OwnerHolder) }

func (p *pass) ownedBy(o Owner) []*ReplicaSet {
	var all []*ReplicaSet
	for i := range p.ReplicaSets {
		if p.ReplicaSets[i].Owner == o {
			all = append(all, &p.ReplicaSets[i])
		}
	}
	return all
}

// services are the Service that is delivered and the others over the same pods:
// they are labelled, pinned and let go together.
func (p *pass) services() []*Service {
	var all []*Service
	if p.Service != nil {
		all = append(all, p.Service)
	}
	for i := range p.OtherServices {
		all = append(all, &p.OtherServices[i])
	}
	return all
}

// gone says that a ReplicaSet has no pods and will get none: asked for none, seen
// to have none, and none that is still terminating. Given back to the Deployment
// any earlier it is scaled at once (handover.md 1j).
func (r *ReplicaSet) gone() bool {
	return r.Replicas == 0 && r.StatusReplicas == 0 && r.Observed && r.Pods == 0
}

// ready is how many endpoints a revision has; a revision without ReplicaSet none.
func (r *ReplicaSet) ready() int32 {
	if r == nil {
		return 0
	}
	return r.Ready
}

// latest is the last of some times.
func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }
