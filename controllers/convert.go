package controllers

import (
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// annotationRevision numbers the revisions of a Deployment; kubectl rollout
// history reads it.
const annotationRevision = "deployment.kubernetes.io/revision"

// defaultHistoryLimit is what the API server sets where a Deployment has no
// revisionHistoryLimit.
const defaultHistoryLimit = 10

var (
	deploymentKind         = appsv1.SchemeGroupVersion.WithKind("Deployment")
	replicaSetKind         = appsv1.SchemeGroupVersion.WithKind("ReplicaSet")
	controllerRevisionKind = appsv1.SchemeGroupVersion.WithKind("ControllerRevision")
)

// holderName is the ControllerRevision that controls what a Deployment must not
// own for a while.
func holderName(deployment string) string { return deployment + "-crossfade" }

// deploymentFrom judges a Deployment.
func deploymentFrom(w *workload) *delivery.Deployment {
	return &delivery.Deployment{
		Name: w.Name, UID: string(w.UID), ResourceVersion: w.ResourceVersion,
		Generation: w.Generation, ObservedGeneration: w.observedGeneration,
		Deleting:   w.DeletionTimestamp != nil,
		Rollout:    w.rollout,
		Hold:       w.hold,
		BreakGlass: w.breakGlass,
		Paused:     w.paused,
		Template:   w.template, CanaryHash: w.canary,
		Replicas:        w.replicas,
		MinReadySeconds: w.minReadySeconds,
		Recreate:        w.recreate,
		HistoryLimit:    w.historyLimit,
		UpdatedReplicas: w.updated,
		RevisionNumber:  w.revisionNumber,
	}
}

// replicaSetFrom judges a ReplicaSet; its pods are counted by the caller.
func replicaSetFrom(w *workload, owner delivery.Owner) delivery.ReplicaSet {
	return delivery.ReplicaSet{
		Name: w.Name, UID: string(w.UID), ResourceVersion: w.ResourceVersion,
		Revision: w.revision,
		Template: w.template,
		Owner:    owner,
		Replicas: w.replicas, MinReadySeconds: w.minReadySeconds,
		StatusReplicas: w.statusReplicas, Available: w.available,
		Observed:       w.observedGeneration >= w.Generation,
		RevisionNumber: w.revisionNumber,
		Created:        w.CreationTimestamp.Time,
		Trouble:        w.failure,
	}
}

// serviceFrom reads a Service, as seen from a pod template's labels.
func serviceFrom(s *corev1.Service, template labels.Set) delivery.Service {
	_, broken := s.Annotations[v1alpha1.AnnotationBreakGlass]
	return delivery.Service{
		Name: s.Name, UID: string(s.UID), ResourceVersion: s.ResourceVersion,
		Rollout: s.Labels[v1alpha1.LabelRollout],
		Pin:     s.Annotations[v1alpha1.AnnotationPin], Key: s.Spec.Selector[appsv1.DefaultDeploymentUniqueLabelKey],
		Selects:    selects(s, template),
		BreakGlass: broken,
	}
}

// selects says whether a Service selects pods with these labels, whatever it is
// pinned to. Every pass asks this of every Service in its namespace, so it makes
// nothing anew.
func selects(s *corev1.Service, pod labels.Set) bool {
	own := false
	for key, value := range s.Spec.Selector {
		if key == appsv1.DefaultDeploymentUniqueLabelKey {
			continue
		}
		if has, ok := pod[key]; !ok || has != value {
			return false
		}
		own = true
	}
	return own && s.Spec.Type != corev1.ServiceTypeExternalName
}

// userSelector is a Service's selector without the pin's key.
func userSelector(s *corev1.Service) labels.Set {
	own := make(labels.Set, len(s.Spec.Selector))
	for key, value := range s.Spec.Selector {
		if key != appsv1.DefaultDeploymentUniqueLabelKey {
			own[key] = value
		}
	}
	return own
}

// deploymentOfPod names the Deployment whose revision a pod is, by the name of
// the ReplicaSet that controls it: <deployment>-<pod-template-hash>. The name is
// taken because the ReplicaSet itself may be gone before its last pod.
func deploymentOfPod(pod *corev1.Pod) (string, bool) {
	owner := metav1.GetControllerOf(pod)
	hash := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	if owner == nil || owner.Kind != replicaSetKind.Kind || hash == "" {
		return "", false
	}
	return strings.CutSuffix(owner.Name, "-"+hash)
}

// deploymentOfReplicaSet names the Deployment that a ReplicaSet belongs to, also
// while the holder controls it.
func deploymentOfReplicaSet(o metav1.Object) (string, bool) {
	owner := metav1.GetControllerOf(o)
	switch {
	case owner == nil:
		return "", false
	case owner.Kind == deploymentKind.Kind:
		return owner.Name, true
	case owner.Kind == controllerRevisionKind.Kind:
		return strings.CutSuffix(owner.Name, holderName(""))
	default:
		return "", false
	}
}

func podReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// podTrouble is why a pod does not come: it cannot be placed, or a container
// cannot start.
func podTrouble(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason + ": " + c.Message
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			return "container " + c.Name + ": " + w.Reason
		}
	}
	return ""
}

// replicaFailure is the message of a ReplicaSet's condition ReplicaFailure.
func replicaFailure(u *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		member, _ := c.(map[string]any)
		if member["type"] == string(appsv1.ReplicaSetReplicaFailure) && member["status"] == "True" {
			message, _ := member["message"].(string)
			return message
		}
	}
	return ""
}

func revisionNumber(annotations map[string]string) int64 {
	n, err := strconv.ParseInt(annotations[annotationRevision], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func number(u *unstructured.Unstructured, absent int64, path ...string) int64 {
	n, found, err := unstructured.NestedInt64(u.Object, path...)
	if !found || err != nil {
		return absent
	}
	return n
}

func truth(u *unstructured.Unstructured, path ...string) bool {
	b, _, _ := unstructured.NestedBool(u.Object, path...)
	return b
}

// controlledBy says whether the object's controller is the owner of this UID.
func controlledBy(o metav1.Object, uid types.UID) bool {
	owner := metav1.GetControllerOf(o)
	return owner != nil && uid != "" && owner.UID == uid
}
