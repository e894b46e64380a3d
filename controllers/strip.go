package controllers

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/inject"
)

// Informers hold only what decisions use. The functions here are the caches'
// transforms; objects that are read live go through the same ones, so that there
// is one way to look at each kind.

// Annotations that strip writes into the cached copy of a workload in place of
// its template. They exist in memory only.
const (
	stripTemplateHash = "strip.crossfade.dev/template"
	stripCanaryHash   = "strip.crossfade.dev/canary"
)

// stripWorkload reduces a Deployment or ReplicaSet to its metadata, the few spec
// fields that are judged, the labels of its template and the template's hashes.
func stripWorkload(obj any) (any, error) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return obj, nil
	}
	spec, _, err := unstructured.NestedMap(u.Object, "spec")
	if err != nil {
		return nil, fmt.Errorf("read spec of %s: %w", u.GetName(), err)
	}
	template, _ := spec["template"].(map[string]any)
	// Only a stripped template has no spec, so that nobody can pass off an
	// annotation of his own as the hash.
	if _, done := u.GetAnnotations()[stripTemplateHash]; done && template["spec"] == nil {
		return u, nil
	}
	hash, err := templateHash(template)
	if err != nil {
		return nil, err
	}
	canary, err := canaryHash(template)
	if err != nil {
		return nil, err
	}
	labels, _, _ := unstructured.NestedMap(template, "metadata", "labels")
	kept := map[string]any{"template": map[string]any{"metadata": map[string]any{"labels": labels}}}
	keep(kept, spec, "replicas", "paused", "selector", "minReadySeconds", "revisionHistoryLimit")
	if strategy, _, _ := unstructured.NestedString(spec, "strategy", "type"); strategy != "" {
		kept["strategy"] = map[string]any{"type": strategy}
	}
	u.Object["spec"] = kept
	if status, _ := u.Object["status"].(map[string]any); status != nil {
		u.Object["status"] = stripStatus(status)
	}
	u.SetManagedFields(nil)
	annotations := map[string]string{stripTemplateHash: hash, stripCanaryHash: canary}
	for key, value := range u.GetAnnotations() {
		if key == annotationRevision || strings.HasPrefix(key, v1alpha1.GroupVersion.Group+"/") {
			annotations[key] = value
		}
	}
	u.SetAnnotations(annotations)
	return u, nil
}

// stripStatus keeps the counts that are judged, and why pods could not be made.
func stripStatus(status map[string]any) map[string]any {
	kept := map[string]any{}
	keep(kept, status, "observedGeneration", "replicas", "updatedReplicas", "availableReplicas")
	conditions, _, _ := unstructured.NestedSlice(status, "conditions")
	for _, c := range conditions {
		if member, ok := c.(map[string]any); ok && member["type"] == string(appsv1.ReplicaSetReplicaFailure) {
			kept["conditions"] = []any{member}
		}
	}
	return kept
}

func keep(into, from map[string]any, fields ...string) {
	for _, field := range fields {
		if value, has := from[field]; has {
			into[field] = value
		}
	}
}

// stripPod reduces a pod to its address, labels, ServiceAccount, ports, readiness
// and deletion.
func stripPod(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	out := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			Labels: pod.Labels, DeletionTimestamp: pod.DeletionTimestamp, OwnerReferences: pod.OwnerReferences,
			CreationTimestamp: pod.CreationTimestamp,
		},
		Status: corev1.PodStatus{Phase: pod.Status.Phase, PodIP: pod.Status.PodIP, PodIPs: pod.Status.PodIPs},
	}
	if excluded, has := pod.Annotations[v1alpha1.AnnotationExcludeInboundPorts]; has {
		out.Annotations = map[string]string{v1alpha1.AnnotationExcludeInboundPorts: excluded}
	}
	out.Spec.ServiceAccountName = pod.Spec.ServiceAccountName
	for _, c := range pod.Spec.Containers {
		if len(c.Ports) > 0 {
			out.Spec.Containers = append(out.Spec.Containers, corev1.Container{Name: c.Name, Ports: c.Ports})
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady || c.Type == corev1.PodScheduled {
			c.LastProbeTime, c.LastTransitionTime = metav1.Time{}, metav1.Time{}
			out.Status.Conditions = append(out.Status.Conditions, c)
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		kept := corev1.ContainerStatus{Name: c.Name, Started: c.Started, Ready: c.Ready}
		if c.State.Waiting != nil {
			kept.State.Waiting = &corev1.ContainerStateWaiting{Reason: c.State.Waiting.Reason}
		}
		out.Status.ContainerStatuses = append(out.Status.ContainerStatuses, kept)
	}
	for _, c := range pod.Status.InitContainerStatuses {
		if c.Name == inject.ProxyContainer {
			out.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: c.Name, Started: c.Started}}
		}
	}
	return out, nil
}

// stripSlice reduces an EndpointSlice to its ready addresses' pods.
func stripSlice(obj any) (any, error) {
	slice, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return obj, nil
	}
	slice.ManagedFields, slice.Annotations, slice.Ports = nil, nil, nil
	for i := range slice.Endpoints {
		e := &slice.Endpoints[i]
		*e = discoveryv1.Endpoint{Addresses: e.Addresses, TargetRef: e.TargetRef, Conditions: e.Conditions}
	}
	return slice, nil
}

// stripAutoscaler reduces an HPA to what it scales.
func stripAutoscaler(obj any) (any, error) {
	hpa, ok := obj.(*autoscalingv2.HorizontalPodAutoscaler)
	if !ok {
		return obj, nil
	}
	hpa.ManagedFields, hpa.Annotations = nil, nil
	hpa.Spec = autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: hpa.Spec.ScaleTargetRef}
	hpa.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	return hpa, nil
}

// stripManaged drops who wrote what, and the copy that kubectl apply leaves.
func stripManaged(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		o.SetManagedFields(nil)
		if _, has := o.GetAnnotations()[corev1.LastAppliedConfigAnnotation]; has {
			kept := map[string]string{}
			for key, value := range o.GetAnnotations() {
				if key != corev1.LastAppliedConfigAnnotation {
					kept[key] = value
				}
			}
			o.SetAnnotations(kept)
		}
	}
	return obj, nil
}
