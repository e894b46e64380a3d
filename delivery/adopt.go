package delivery

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// adoption takes a Deployment into Crossfade's hands, from a settled state only:
// a Deployment in the midst of its own rolling update has two revisions that
// could both be called stable.
func (p *pass) adoption() bool {
	return p.first(
		(*pass).letRolloutGo,
		(*pass).refusedAdoption,
		(*pass).releaseStaleCopy,
		(*pass).addFinalizer,
		(*pass).adopt,
	)
}

// letRolloutGo removes the finalizer of a Rollout that has adopted nothing.
func (p *pass) letRolloutGo() bool {
	if !p.deleting() {
		return false
	}
	return p.letServicesGo("nothing was adopted")
}

// refusedAdoption shows the first reason against an adoption.
func (p *pass) refusedAdoption() bool {
	for _, against := range []func(*Observation) *Refusal{
		refusedByShell, deploymentMissing, recreates, keepsNoHistory, serviceMissing, serviceSelectsOthers, servicesUnpinnable, policiesUnknown,
	} {
		if r := against(&p.Observation); r != nil {
			p.refuse(r.Reason, r.Message)
			return true
		}
	}
	return false
}

func refusedByShell(o *Observation) *Refusal { return o.Refused }

func deploymentMissing(o *Observation) *Refusal {
	name := o.Rollout.Spec.WorkloadRef.Name
	switch {
	case o.Deployment == nil:
		return &Refusal{v1alpha1.ReasonDeploymentNotFound, fmt.Sprintf("there is no Deployment %s: create it, or correct workloadRef.name", name)}
	case o.Deployment.Deleting:
		return &Refusal{v1alpha1.ReasonDeploymentNotFound, fmt.Sprintf("Deployment %s is being deleted", name)}
	}
	return nil
}

// recreates refuses the strategy Recreate: its user says that two revisions must
// never run at once, which is what a canary is. Somebody has to say that they may,
// in the Rollout, where it is read together with the steps.
func recreates(o *Observation) *Refusal {
	if !o.Deployment.Recreate || o.Rollout.Spec.AllowRecreateStrategy {
		return nil
	}
	return &Refusal{v1alpha1.ReasonRecreateStrategy, "the Deployment's strategy is Recreate, but both revisions run side by side during a rollout: set its spec.strategy.type to RollingUpdate, or accept that with spec.allowRecreateStrategy: true in the Rollout"}
}

// keepsNoHistory refuses revisionHistoryLimit 0: a paused Deployment at 0 replicas
// then deletes its stable ReplicaSet (handover.md 2c).
func keepsNoHistory(o *Observation) *Refusal {
	if o.Deployment.HistoryLimit >= 1 {
		return nil
	}
	return &Refusal{v1alpha1.ReasonHistoryLimitZero, "the Deployment's revisionHistoryLimit is 0, so nothing would be left to go back to: set it to 1 at least"}
}

func serviceMissing(o *Observation) *Refusal {
	if o.Service != nil {
		return nil
	}
	return &Refusal{v1alpha1.ReasonServiceNotFound, fmt.Sprintf("there is no Service %s: create it, or correct serviceRef.name", o.Rollout.Spec.ServiceRef.Name)}
}

func serviceSelectsOthers(o *Observation) *Refusal {
	if o.Service.Selects {
		return nil
	}
	return &Refusal{v1alpha1.ReasonSelectorMismatch, fmt.Sprintf("Service %s does not select the pods of Deployment %s: make its selector match the labels of the pod template", o.Service.Name, o.Deployment.Name)}
}

// servicesUnpinnable refuses a Deployment whose pods are in a Service that cannot
// be pinned: canary pods would be in it at once (handover.md 10a).
func servicesUnpinnable(o *Observation) *Refusal {
	p := pass{Observation: *o}
	var bad []string
	for _, s := range p.services() {
		if s.Unpinnable != "" {
			bad = append(bad, fmt.Sprintf("%s (%s)", s.Name, s.Unpinnable))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return &Refusal{v1alpha1.ReasonUnpinnedServices, fmt.Sprintf("Services that cannot be pinned to the stable revision select the Deployment's pods: %s", join(bad))}
}

func policiesUnknown(o *Observation) *Refusal {
	if o.Policies.Known {
		return nil
	}
	return &Refusal{v1alpha1.ReasonInitializing, "waiting for the probe that proves the admission policies"}
}

// releaseStaleCopy starts a Deployment that was created from the export of a held
// one: it is paused, owns nothing, and would have no pods for ever (handover.md
// 7f; the policy "fresh" prevents it where it works).
func (p *pass) releaseStaleCopy() bool {
	if !p.held() || len(p.owned()) > 0 {
		return false
	}
	p.refuse(v1alpha1.ReasonNotSettled, "the Deployment carries the hold of another one; it is let go, to start its pods")
	p.act(Action{Kind: LetGo, Object: p.Deployment.Name, Why: "a hold without any ReplicaSet is a stale copy"})
	return true
}

// addFinalizer comes before the record: from the record on there is something to
// put back.
func (p *pass) addFinalizer() bool {
	if p.hasFinalizer() {
		return false
	}
	p.wait(v1alpha1.ReasonInitializing, "adopting the Deployment")
	p.act(Action{Kind: AddFinalizer, Object: p.Rollout.Name, Why: "from the adoption on there is something to put back"})
	return true
}

// adopt writes the first record. The labels follow from it, so a crash between
// leaves a Deployment that nobody touched.
func (p *pass) adopt() bool {
	stable, unsettled := settled(&p.Observation)
	if stable == nil {
		p.refuse(v1alpha1.ReasonNotSettled, unsettled)
		return true
	}
	p.rec = &v1alpha1.Record{
		Stage:       v1alpha1.StageHealthy,
		Since:       metav1.NewMicroTime(p.now),
		Workload:    p.Deployment.Name,
		WorkloadUID: types.UID(p.Deployment.UID),
		Service:     p.Service.Name,
		Stable:      stable.Revision,
	}
	p.stable, p.changed = stable, true
	p.event(EventAdopted, fmt.Sprintf("adopted Deployment %s, stable revision %s", p.Deployment.Name, stable.Revision))
	return true
}

// settled finds the revision that serves everybody, or says why there is none. A
// Deployment at 0 replicas is settled, too.
func settled(o *Observation) (*ReplicaSet, string) {
	d := o.Deployment
	if d.ObservedGeneration < d.Generation {
		return nil, "waiting for the Deployment controller to act on the Deployment's newest spec"
	}
	p := pass{Observation: *o}
	if p.held() {
		return heldWithoutRecord(&p)
	}
	var stable *ReplicaSet
	for _, r := range p.owned() {
		switch {
		case r.Template == d.Template && stable == nil:
			stable = r
		case r.Template == d.Template:
			return nil, fmt.Sprintf("ReplicaSets %s and %s have the same template", stable.Name, r.Name)
		case r.Replicas > 0 || r.StatusReplicas > 0:
			return nil, fmt.Sprintf("waiting for the Deployment's rolling update: ReplicaSet %s still has pods", r.Name)
		}
	}
	if stable == nil {
		return nil, "waiting for the Deployment's ReplicaSet"
	}
	if stable.Replicas != d.Replicas {
		return nil, fmt.Sprintf("waiting for the Deployment's rolling update: %d of %d pods are asked for", stable.Replicas, d.Replicas)
	}
	return stable, ""
}

// heldWithoutRecord adopts a Deployment that is still held because its Rollout was
// taken away by force: the one ReplicaSet with pods that the Deployment owns is
// what serves, whatever the held template says.
func heldWithoutRecord(p *pass) (*ReplicaSet, string) {
	owned := p.owned()
	running := slices.DeleteFunc(slices.Clone(owned), func(r *ReplicaSet) bool { return r.Replicas == 0 && r.StatusReplicas == 0 })
	switch {
	case len(running) == 1:
		return running[0], ""
	case len(running) > 1:
		return nil, "the Deployment is held while several of its ReplicaSets have pods"
	}
	return slices.MaxFunc(owned, func(a, b *ReplicaSet) int { return int(a.RevisionNumber - b.RevisionNumber) }), ""
}
