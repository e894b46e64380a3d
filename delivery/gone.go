package delivery

import (
	"fmt"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// namespaceGoes lets a terminating namespace go at once: nothing in it is worth
// being put back, and a finalizer would keep it for ever (handover.md 10c).
func (p *pass) namespaceGoes() bool {
	if !p.NamespaceTerminating {
		return false
	}
	p.wait(v1alpha1.ReasonInitializing, "the namespace is being deleted")
	if p.hasFinalizer() {
		p.act(Action{Kind: RemoveFinalizer, Object: p.Rollout.Name, Why: "the namespace is being deleted"})
	}
	return true
}

// workloadGone deals with an adopted Deployment that is deleted, or was deleted
// and made again under its name. The garbage collector takes the pods; what is
// left to do is to free the Services, which the user may keep.
func (p *pass) workloadGone() bool {
	d := p.Deployment
	if p.rec == nil || (d != nil && !d.Deleting && d.UID == string(p.rec.WorkloadUID)) {
		return false
	}
	if p.deleting() {
		return p.letServicesGo("the Deployment is gone")
	}
	if d != nil && d.UID == string(p.rec.WorkloadUID) {
		p.refuse(v1alpha1.ReasonDeploymentNotFound, fmt.Sprintf("Deployment %s is being deleted", p.rec.Workload))
		return true
	}
	p.refuse(v1alpha1.ReasonDeploymentNotFound, fmt.Sprintf("Deployment %s is gone: create it, or delete this Rollout", p.rec.Workload))
	if p.unpinAll("the Deployment is gone: a pinned Service would find no pod of another one") || p.unanswered() {
		return true
	}
	p.warn(EventDeploymentGone, fmt.Sprintf("Deployment %s was deleted; it is adopted anew when it is back", p.rec.Workload))
	return p.forget()
}

// letServicesGo takes everything of ours from the Services, and then the
// finalizer: it goes last, so that a crash before it repeats the rest. A Service of
// an adopted Deployment is written even when it seems to be clean: a cache that
// does not show our label yet is found out by the resourceVersion. A Service that
// carries another Rollout's label is not ours.
func (p *pass) letServicesGo(why string) bool {
	for _, s := range p.services() {
		if s.Rollout == p.Rollout.Name || (s.Rollout == "" && p.rec != nil) {
			p.act(Action{Kind: UnlabelService, Object: s.Name, Direct: !p.Policies.Pin, Why: why})
		}
	}
	if p.hasFinalizer() {
		p.act(Action{Kind: RemoveFinalizer, Object: p.Rollout.Name, Why: why})
	}
	p.wait(v1alpha1.ReasonInitializing, "letting go: "+why)
	return true
}

// unpinAll removes every pin; it says whether there was one.
func (p *pass) unpinAll(why string) bool {
	did := false
	for _, s := range p.services() {
		if s.Pin != "" || s.Key != "" {
			p.act(Action{Kind: Unpin, Object: s.Name, Direct: !p.Policies.Pin || s.Pin == "", Why: why})
			did = true
		}
	}
	return did
}

// glassBroken stands down while a person has taken the Deployment or a Service
// out of Crossfade's hands. A Rollout that is deleted meanwhile goes at once: what
// it would put back is that person's now.
func (p *pass) glassBroken() bool {
	object := ""
	if p.Deployment != nil && p.Deployment.BreakGlass {
		object = "Deployment " + p.Deployment.Name
	}
	for _, s := range p.services() {
		if s.BreakGlass {
			object = "Service " + s.Name
		}
	}
	if object == "" {
		return false
	}
	p.refuse(v1alpha1.ReasonBreakGlass, fmt.Sprintf("%s carries %s: nothing is written to it until the annotation is removed", object, v1alpha1.AnnotationBreakGlass))
	if p.wasReason(v1alpha1.ConditionReady) != v1alpha1.ReasonBreakGlass {
		p.warn(EventBreakGlass, fmt.Sprintf("%s carries %s: Crossfade stands down", object, v1alpha1.AnnotationBreakGlass))
	}
	if p.deleting() && p.hasFinalizer() {
		p.act(Action{Kind: RemoveFinalizer, Object: p.Rollout.Name, Why: "the glass is broken: a person puts things back"})
	}
	return true
}
