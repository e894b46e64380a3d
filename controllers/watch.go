package controllers

import (
	"context"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// mapper says which Rollouts an event of another object concerns. Every object of the
// cluster comes by here when the controller starts, and every ack of a proxy later, so
// nothing is copied that is only looked at.
type mapper struct {
	cache client.Reader
}

// byWorkload are the Rollouts of a Deployment.
func (m mapper) byWorkload(ctx context.Context, namespace, deployment string) []reconcile.Request {
	return m.byIndex(ctx, namespace, indexWorkload, deployment)
}

func (m mapper) byIndex(ctx context.Context, namespace, index, value string) []reconcile.Request {
	list := &v1alpha1.RolloutList{}
	if err := m.cache.List(ctx, list, client.InNamespace(namespace), client.MatchingFields{index: value}, client.UnsafeDisableDeepCopy); err != nil {
		return nil // Only an index that does not exist can fail, and setup made it.
	}
	out := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, requestFor(&list.Items[i]))
	}
	return out
}

func requestFor(o metav1.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}}
}

// deployment maps a Deployment to its Rollouts.
func (m mapper) deployment(ctx context.Context, o client.Object) []reconcile.Request {
	return m.byWorkload(ctx, o.GetNamespace(), o.GetName())
}

// replicaSet maps a ReplicaSet or a holder to the Rollouts of its Deployment.
func (m mapper) replicaSet(ctx context.Context, o client.Object) []reconcile.Request {
	name, ok := deploymentOfReplicaSet(o)
	if !ok {
		return nil
	}
	return m.byWorkload(ctx, o.GetNamespace(), name)
}

func (m mapper) holder(ctx context.Context, o client.Object) []reconcile.Request {
	for _, owner := range o.GetOwnerReferences() {
		if owner.Kind == deploymentKind.Kind {
			return m.byWorkload(ctx, o.GetNamespace(), owner.Name)
		}
	}
	return nil
}

// pod maps a pod to the Rollouts of its Deployment.
func (m mapper) pod(ctx context.Context, o client.Object) []reconcile.Request {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return nil
	}
	name, ok := deploymentOfPod(pod)
	if !ok {
		return nil
	}
	return m.byWorkload(ctx, pod.Namespace, name)
}

// rollout maps a Rollout to those that want the same Deployment or Service: when
// the older one goes, the other may start.
func (m mapper) rollout(ctx context.Context, o client.Object) []reconcile.Request {
	ro, ok := o.(*v1alpha1.Rollout)
	if !ok {
		return nil
	}
	// Also what it still has after its references have changed: the other one waits
	// until that is let go.
	var out []reconcile.Request
	for _, name := range []string{ro.Spec.WorkloadRef.Name, workloadName(ro)} {
		out = append(out, m.byWorkload(ctx, ro.Namespace, name)...)
	}
	for _, name := range []string{ro.Spec.ServiceRef.Name, serviceName(ro)} {
		out = append(out, m.byIndex(ctx, ro.Namespace, indexService, name)...)
	}
	return slices.DeleteFunc(out, func(r reconcile.Request) bool { return r.Name == ro.Name })
}

// service maps a Service to the Rollouts that name it, that it is labelled with,
// or whose pods it selects.
func (m mapper) service(ctx context.Context, o client.Object) []reconcile.Request {
	s, ok := o.(*corev1.Service)
	if !ok {
		return nil
	}
	out := m.byIndex(ctx, s.Namespace, indexService, s.Name)
	if name := s.Labels[v1alpha1.LabelRollout]; name != "" {
		out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: s.Namespace, Name: name}})
	}
	own := userSelector(s)
	if len(own) == 0 {
		return out
	}
	return append(out, m.bySelector(ctx, s.Namespace, labels.SelectorFromSet(own))...)
}

// bySelector are the Rollouts whose pods are selected.
func (m mapper) bySelector(ctx context.Context, namespace string, selector labels.Selector) []reconcile.Request {
	list := &v1alpha1.RolloutList{}
	if err := m.cache.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	var out []reconcile.Request
	w := newWorkload(deploymentKind)
	for i := range list.Items {
		key := types.NamespacedName{Namespace: namespace, Name: workloadName(&list.Items[i])}
		if err := m.cache.Get(ctx, key, w, client.UnsafeDisableDeepCopy); err == nil && selector.Matches(w.podLabels) {
			out = append(out, requestFor(&list.Items[i]))
		}
	}
	return out
}

// template maps an AnalysisTemplate to the Rollouts of its namespace whose checks name
// it.
func (m mapper) template(ctx context.Context, o client.Object) []reconcile.Request {
	return m.byIndex(ctx, o.GetNamespace(), indexTemplate, v1alpha1.KindAnalysisTemplate+"/"+o.GetName())
}

// clusterTemplate maps a ClusterAnalysisTemplate to the Rollouts of all namespaces.
func (m mapper) clusterTemplate(ctx context.Context, o client.Object) []reconcile.Request {
	return m.byIndex(ctx, "", indexTemplate, v1alpha1.KindClusterAnalysisTemplate+"/"+o.GetName())
}

// slice maps an EndpointSlice to the Rollout that its Service is pinned by.
func (m mapper) slice(ctx context.Context, o client.Object) []reconcile.Request {
	s := &corev1.Service{}
	key := types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetLabels()[discoveryv1.LabelServiceName]}
	if err := m.cache.Get(ctx, key, s); err != nil || s.Annotations[v1alpha1.AnnotationPin] == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[v1alpha1.LabelRollout]}}}
}

// job maps a Job that was made for a hook or a check to its Rollout.
func (m mapper) job(_ context.Context, o client.Object) []reconcile.Request {
	owner := metav1.GetControllerOf(o)
	if owner == nil || owner.Kind != "Rollout" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: owner.Name}}}
}

// autoscaler maps an HPA to the Rollouts of what it scales.
func (m mapper) autoscaler(ctx context.Context, o client.Object) []reconcile.Request {
	hpa, ok := o.(*autoscalingv2.HorizontalPodAutoscaler)
	if !ok || hpa.Spec.ScaleTargetRef.Kind != deploymentKind.Kind {
		return nil
	}
	return m.byWorkload(ctx, hpa.Namespace, hpa.Spec.ScaleTargetRef.Name)
}

// active are the Rollouts that wait for proxies, in one namespace or, without a name,
// in all: those that have a canary or an old revision.
func (m mapper) active(ctx context.Context, namespace string) []reconcile.Request {
	list := &v1alpha1.RolloutList{}
	if err := m.cache.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	var out []reconcile.Request
	for i := range list.Items {
		if rec := list.Items[i].Status.Record; rec != nil && rec.Stage != v1alpha1.StageHealthy {
			out = append(out, requestFor(&list.Items[i]))
		}
	}
	return out
}

// all maps a change of a policy to every Rollout.
func (m mapper) all(ctx context.Context, _ client.Object) []reconcile.Request {
	list := &v1alpha1.RolloutList{}
	if err := m.cache.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	out := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, requestFor(&list.Items[i]))
	}
	return out
}

// proxyPod maps a gateway's pod to the Rollouts that wait for proxies.
func (m mapper) proxyPod(ctx context.Context, o client.Object) []reconcile.Request {
	if o.GetLabels()[v1alpha1.LabelProxy] == "" {
		return nil
	}
	return m.active(ctx, "")
}

// pods maps a pod both as a revision's and as a proxy's.
func (m mapper) pods(ctx context.Context, o client.Object) []reconcile.Request {
	return append(m.pod(ctx, o), m.proxyPod(ctx, o)...)
}

func on(f func(context.Context, client.Object) []reconcile.Request) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(f)
}
