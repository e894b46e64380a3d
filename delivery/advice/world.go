package advice

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// World is what is judged. Every list may be empty, and what is not in it is not
// known, unless Whole says so.
type World struct {
	Rollouts    []*v1alpha1.Rollout
	Policies    []*v1alpha1.MeshPolicy
	Freezes     []*v1alpha1.Freeze
	Deployments []*appsv1.Deployment
	// Workloads are other things with pods, of kinds that are not delivered.
	Workloads  []Ref
	Services   []*corev1.Service
	Namespaces []*corev1.Namespace
	// Immutable are ConfigMaps and Secrets whose content can never change.
	Immutable   []Ref
	Quotas      []*corev1.ResourceQuota
	Autoscalers []*autoscalingv2.HorizontalPodAutoscaler
	Budgets     []*policyv1.PodDisruptionBudget
	Routes      []*gatewayv1.HTTPRoute
	Gateways    []*gatewayv1.Gateway
	Grants      []*gatewayv1.ReferenceGrant

	// Strange is what files hold and no object can, Invalid what the API server would
	// refuse of them, Refused why Rollouts' checks cannot be measured; whoever reads the
	// World finds all three.
	Strange, Invalid, Refused []Strange
	// Whole are the kinds of which everything is known.
	Whole []Whole
	// Sources are the files that objects came from.
	Sources map[Ref]string
	// ScrapeInterval is the time between two scrapes of the proxies; 0 when it is not
	// known.
	ScrapeInterval time.Duration
}

// Whole says that all objects of a kind are in the World: those of one namespace,
// or of all when Namespace is empty. (A Namespace is in the namespace of its name.)
type Whole struct{ Kind, Namespace string }

// Knows says whether an object of this kind that is not here does not exist.
func (w *World) Knows(kind, namespace string) bool {
	return slices.ContainsFunc(w.Whole, func(o Whole) bool {
		return o.Kind == kind && (o.Namespace == "" || o.Namespace == namespace)
	})
}

// scene is a World with what the rules look up in it, and what they have found.
type scene struct {
	World
	deliveries []delivered
	rule       *Rule
	findings   []Finding
}

// delivered is a Rollout with what it refers to; each may be unknown.
type delivered struct {
	rollout    *v1alpha1.Rollout
	deployment *appsv1.Deployment
	service    *corev1.Service
}

func newScene(w World) *scene {
	s := &scene{World: w}
	for _, ro := range w.Rollouts {
		d := delivered{rollout: ro, service: s.service(ro.Namespace, ro.Spec.ServiceRef.Name)}
		for _, o := range w.Deployments {
			if o.Namespace == ro.Namespace && o.Name == ro.Spec.WorkloadRef.Name {
				d.deployment = o
			}
		}
		s.deliveries = append(s.deliveries, d)
	}
	return s
}

func (s *scene) whole(kind, namespace string) bool { return s.Knows(kind, namespace) }

func (s *scene) service(namespace, name string) *corev1.Service {
	for _, o := range s.Services {
		if o.Namespace == namespace && o.Name == name {
			return o
		}
	}
	return nil
}

// deliveryOf is the Rollout that shifts the requests of a Service.
func (s *scene) deliveryOf(service *corev1.Service) *delivered {
	for i := range s.deliveries {
		if d := &s.deliveries[i]; d.service == service && service != nil {
			return d
		}
	}
	return nil
}

// meshed says whether pods of a namespace get a sidecar, and whether that is known.
func (s *scene) meshed(namespace string) (meshed, known bool) {
	for _, ns := range s.Namespaces {
		if ns.Name == namespace {
			return ns.Labels[v1alpha1.LabelInjection] == v1alpha1.InjectionEnabled ||
				ns.Labels[v1alpha1.LabelIstioInjection] == v1alpha1.InjectionEnabled, true
		}
	}
	return false, false
}

// sidecar says whether the pods of a Deployment get one, and whether that is known.
func (s *scene) sidecar(d *appsv1.Deployment) (has, known bool) {
	switch d.Spec.Template.Labels[v1alpha1.LabelInject] {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	if d.Spec.Template.Spec.HostNetwork {
		return false, true
	}
	return s.meshed(d.Namespace)
}

// routesTo are the routes with a backend that is this Service.
func (s *scene) routesTo(service *corev1.Service) []*gatewayv1.HTTPRoute {
	var out []*gatewayv1.HTTPRoute
	for _, route := range s.Routes {
		leads := slices.ContainsFunc(backendsOf(route), func(b backend) bool {
			return b.isService && b.namespace == service.Namespace && b.name == service.Name
		})
		if leads {
			out = append(out, route)
		}
	}
	return out
}

// behind are the Deployments whose pods a Service selects.
func (s *scene) behind(service *corev1.Service) []*appsv1.Deployment {
	var out []*appsv1.Deployment
	for _, d := range s.Deployments {
		if d.Namespace == service.Namespace && selects(service, d.Spec.Template.Labels) {
			out = append(out, d)
		}
	}
	return out
}

// selects says whether a Service selects pods with these labels, whatever it is
// pinned to.
func selects(service *corev1.Service, pod map[string]string) bool {
	own := ownSelector(service)
	return len(own) > 0 && service.Spec.Type != corev1.ServiceTypeExternalName && labels.SelectorFromSet(own).Matches(labels.Set(pod))
}

// ownSelector is a Service's selector without the key of a pin.
func ownSelector(service *corev1.Service) map[string]string {
	own := map[string]string{}
	for key, value := range service.Spec.Selector {
		if key != appsv1.DefaultDeploymentUniqueLabelKey {
			own[key] = value
		}
	}
	return own
}

// replicas is how many pods a Deployment asks for.
func replicas(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}
