package proxy

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/policy"
)

// appliedPolicies finds what the MeshPolicies say of Services and pods.
type appliedPolicies struct {
	policies policy.Policies
	// services are those with pods, by key.
	services map[ir.ServiceKey]*corev1.Service
	// targets are the Services that policies name, by namespace.
	targets map[string][]*corev1.Service
	// overlaps are those of the pods that were asked for.
	overlaps []policy.Conflict
}

func applyPolicies(in Input) *appliedPolicies {
	a := &appliedPolicies{
		policies: policy.New(in.MeshPolicies),
		services: make(map[ir.ServiceKey]*corev1.Service, len(in.Services)),
		targets:  map[string][]*corev1.Service{},
	}
	for _, service := range in.Services {
		if selectsPods(service) {
			a.services[ir.ServiceKey{Namespace: service.Namespace, Name: service.Name}] = service
		}
	}
	for _, p := range in.MeshPolicies {
		if _, done := a.targets[p.Namespace]; done {
			continue
		}
		var services []*corev1.Service
		for _, name := range a.policies.Targets(p.Namespace) {
			if service := a.services[ir.ServiceKey{Namespace: p.Namespace, Name: name}]; service != nil {
				services = append(services, service)
			}
		}
		a.targets[p.Namespace] = services
	}
	return a
}

// sidecar is what the sidecar of a pod does.
func (a *appliedPolicies) sidecar(pod *corev1.Pod) ir.Sidecar {
	var services []string
	for _, service := range a.targets[pod.Namespace] {
		if isBehind(pod, service) {
			services = append(services, service.Name)
		}
	}
	found := a.policies.Pod(pod.Namespace, services)
	a.overlaps = append(a.overlaps, found.Overlaps...)
	return ir.Sidecar{Namespace: pod.Namespace, Shape: found.Shape, Inbound: found.Inbound, Egress: found.Egress, Telemetry: found.Telemetry}
}

// isBehind says whether a pod belongs to a Service. The revision that the Service is
// pinned to does not matter: rules of who may call payments hold for its canary.
func isBehind(pod *corev1.Pod, service *corev1.Service) bool {
	for key, value := range service.Spec.Selector {
		if has, ok := pod.Labels[key]; key != revisionLabel && (!ok || has != value) {
			return false
		}
	}
	return true
}

// ask puts what policies say of Services into what was rendered of them. Nothing is
// taken out of the choice for its errors while it is on its way: the last pods of a
// canary would be, and what is judged then is not what users get.
func (a *appliedPolicies) ask(services []ir.Service, stable map[ir.ServiceKey]string) {
	for i := range services {
		s := &services[i]
		s.Policy = a.policies.Service(s.ServiceKey)
		if s.Policy.Outlier == nil || !s.PerRevision {
			continue
		}
		for _, port := range s.Ports {
			for k := range port.Revisions {
				port.Revisions[k].NoEjection = port.Revisions[k].Name != stable[s.ServiceKey]
			}
		}
	}
}

// conditions are what the policies' owners are told.
func (a *appliedPolicies) conditions() map[types.NamespacedName][]metav1.Condition {
	exists := func(key ir.ServiceKey) bool { return a.services[key] != nil }
	return a.policies.Conditions(exists, a.overlaps)
}

// stableRevisions are those that Rollouts have delivered, by Service.
func stableRevisions(in Input) map[ir.ServiceKey]string {
	out := map[ir.ServiceKey]string{}
	for key, rollout := range rolloutsByService(in.Rollouts) {
		out[ir.ServiceKey{Namespace: key.Namespace, Name: key.Name}] = rollout.Status.Record.Stable
	}
	return out
}
