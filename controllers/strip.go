package controllers

import (
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
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

// stripWorkload makes a workload of a Deployment or ReplicaSet.
func stripWorkload(obj any) (any, error) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return obj, nil
	}
	return workloadFrom(u)
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
	out.Spec.Containers, out.Spec.InitContainers = namedPorts(pod.Spec.Containers), namedPorts(pod.Spec.InitContainers)
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady || c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			c.LastProbeTime, c.LastTransitionTime = metav1.Time{}, metav1.Time{}
			out.Status.Conditions = append(out.Status.Conditions, c)
		}
	}
	// What containers say is asked of proxies, and of pods that do not come.
	if pod.Labels[v1alpha1.LabelProxy] == "" && podReady(pod) {
		return out, nil
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

// namedPorts reduces containers to the ports that a Service can ask for by name: one
// that asks for a number needs no container, and most have no others.
func namedPorts(containers []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for _, c := range containers {
		ports := slices.DeleteFunc(slices.Clone(c.Ports), func(p corev1.ContainerPort) bool { return p.Name == "" })
		if len(ports) > 0 {
			out = append(out, corev1.Container{Name: c.Name, Ports: ports, RestartPolicy: c.RestartPolicy})
		}
	}
	return slices.Clip(out)
}

// stripSlice reduces an EndpointSlice to its ready addresses' pods.
func stripSlice(obj any) (any, error) {
	slice, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return obj, nil
	}
	slice.ManagedFields, slice.Annotations, slice.OwnerReferences, slice.Ports = nil, nil, nil, nil
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: slice.Labels[discoveryv1.LabelServiceName]}
	for i := range slice.Endpoints {
		e := &slice.Endpoints[i]
		*e = discoveryv1.Endpoint{Addresses: e.Addresses, TargetRef: e.TargetRef, Conditions: discoveryv1.EndpointConditions{Ready: e.Conditions.Ready}}
		if e.TargetRef != nil {
			e.TargetRef = &corev1.ObjectReference{Name: e.TargetRef.Name}
		}
	}
	return slice, nil
}

// stripJob reduces a Job to whose it is and how it ended.
func stripJob(obj any) (any, error) {
	job, ok := obj.(*batchv1.Job)
	if !ok {
		return obj, nil
	}
	job.ManagedFields, job.Annotations, job.Spec = nil, nil, batchv1.JobSpec{}
	return job, nil
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
