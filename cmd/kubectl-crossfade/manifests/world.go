package manifests

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	kjson "sigs.k8s.io/json"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/delivery/advice"
	"github.com/crossfade-dev/crossfade/delivery/checks"
)

// World puts objects into a World; kinds that nobody judges are left out.
func World(objects []Object) (advice.World, error) {
	w := advice.World{Sources: map[advice.Ref]string{}}
	for _, o := range objects {
		if err := add(&w, o); err != nil {
			return w, err
		}
	}
	return w, nil
}

// Resolve fills in what the checks of all Rollouts take from templates. Where that
// is not possible the World says why.
func Resolve(w *advice.World, objects []Object, whole func(kind, namespace string) bool) {
	for i, ro := range w.Rollouts {
		if ro.Spec.Analysis == nil {
			continue
		}
		unknown := false
		resolved, refused := checks.Resolve(ro.Spec.Analysis.Checks, func(ref v1alpha1.TemplateRef) *v1alpha1.AnalysisTemplateSpec {
			spec := template(objects, ro.Namespace, ref)
			unknown = unknown || spec == nil && !whole(kindOf(ref), ro.Namespace)
			return spec
		})
		if refused == nil {
			refused = unreadable(resolved)
		}
		switch {
		case refused != nil && !unknown:
			w.Refused = append(w.Refused, advice.Strange{At: advice.RefTo("Rollout", ro), Message: refused.Message})
		case refused == nil:
			w.Rollouts[i] = ro.DeepCopy()
			w.Rollouts[i].Spec.Analysis.Checks = resolved
		}
	}
}

func kindOf(ref v1alpha1.TemplateRef) string {
	if ref.Kind == "" {
		return v1alpha1.KindAnalysisTemplate
	}
	return ref.Kind
}

// template finds one among the objects; nil when it is not there.
func template(objects []Object, namespace string, ref v1alpha1.TemplateRef) *v1alpha1.AnalysisTemplateSpec {
	for _, o := range objects {
		same := o.GetKind() == kindOf(ref) && o.GetName() == ref.Name && (o.GetNamespace() == namespace || o.GetKind() == v1alpha1.KindClusterAnalysisTemplate)
		if !same {
			continue
		}
		t := &v1alpha1.AnalysisTemplate{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, t); err == nil {
			return &t.Spec
		}
	}
	return nil
}

// unreadable says which check has no valid query.
func unreadable(list []v1alpha1.Check) *delivery.Refusal {
	for i := range list {
		if c := &list[i]; checks.Measurable(c) {
			if _, err := checks.Parse(c); err != nil {
				return &delivery.Refusal{Reason: v1alpha1.ReasonInvalidQuery, Message: "check " + c.Name + ": " + err.Error()}
			}
		}
	}
	return nil
}

// groups are those of the kinds that are judged: others may have a Service, too.
var groups = map[string]string{
	"Rollout": "crossfade.dev", "Freeze": "crossfade.dev", "MeshPolicy": "crossfade.dev",
	"Deployment": "apps", "StatefulSet": "apps", "DaemonSet": "apps",
	"Service": "", "ConfigMap": "", "ResourceQuota": "", "Namespace": "",
	"HorizontalPodAutoscaler": "autoscaling", "PodDisruptionBudget": "policy",
	"HTTPRoute": "gateway.networking.k8s.io", "Gateway": "gateway.networking.k8s.io", "ReferenceGrant": "gateway.networking.k8s.io",
}

func add(w *advice.World, o Object) error {
	at := o.Ref()
	if o.Source != "" {
		w.Sources[at] = o.Source
	}
	group, judged := groups[o.GetKind()]
	if !judged || group != o.GroupVersionKind().Group {
		return nil
	}
	switch o.GetKind() {
	case "Rollout":
		return put(w, o, at, &w.Rollouts)
	case "Freeze":
		return put(w, o, at, &w.Freezes)
	case "MeshPolicy":
		return put(w, o, at, &w.Policies)
	case "Deployment":
		return put(w, o, at, &w.Deployments)
	case "Service":
		return put(w, o, at, &w.Services)
	case "ResourceQuota":
		return put(w, o, at, &w.Quotas)
	case "HorizontalPodAutoscaler":
		return put(w, o, at, &w.Autoscalers)
	case "PodDisruptionBudget":
		return put(w, o, at, &w.Budgets)
	case "HTTPRoute":
		return put(w, o, at, &w.Routes)
	case "Gateway":
		return put(w, o, at, &w.Gateways)
	case "ReferenceGrant":
		return put(w, o, at, &w.Grants)
	case "Namespace":
		return put(w, o, at, &w.Namespaces)
	case "ConfigMap":
		if immutable, _ := o.Object["immutable"].(bool); immutable {
			w.Immutable = append(w.Immutable, at)
		}
	default:
		w.Workloads = append(w.Workloads, at)
	}
	return nil
}

// judged are the types of the kinds that are judged.
type judged interface {
	v1alpha1.Rollout | v1alpha1.Freeze | v1alpha1.MeshPolicy | appsv1.Deployment | corev1.Service | corev1.ResourceQuota | corev1.Namespace |
		autoscalingv2.HorizontalPodAutoscaler | policyv1.PodDisruptionBudget | gatewayv1.HTTPRoute | gatewayv1.Gateway | gatewayv1.ReferenceGrant
}

// put reads an object into its type. Fields that the type does not have are noted in
// those of files: the API server would drop them without a word, or refuse them.
func put[T judged](w *advice.World, o Object, at advice.Ref, list *[]*T) error {
	raw, err := json.Marshal(o.Object)
	if err != nil {
		return fmt.Errorf("read %s: %w", at, err)
	}
	into := new(T)
	strange, err := kjson.UnmarshalStrict(raw, into)
	if err != nil {
		return fmt.Errorf("read %s%s: %w", at, of(o), err)
	}
	for _, s := range strange {
		if o.Source != "" {
			w.Strange = append(w.Strange, advice.Strange{At: at, Message: s.Error()})
		}
	}
	*list = append(*list, into)
	return nil
}

func of(o Object) string {
	if o.Source == "" {
		return ""
	}
	return " of " + o.Source
}

// Resource is where the API server has an object's kind, if it is one that is
// judged.
func Resource(o Object) (schema.GroupVersionResource, bool) {
	for _, k := range kinds {
		if k.name == o.GetKind() && k.resource.Group == o.GroupVersionKind().Group {
			return k.resource, true
		}
	}
	return schema.GroupVersionResource{}, false
}
