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

// deploymentFrom reads a stripped Deployment.
func deploymentFrom(u *unstructured.Unstructured) *delivery.Deployment {
	annotations := u.GetAnnotations()
	_, broken := annotations[v1alpha1.AnnotationBreakGlass]
	strategy, _, _ := unstructured.NestedString(u.Object, "spec", "strategy", "type")
	return &delivery.Deployment{
		Name: u.GetName(), UID: string(u.GetUID()), ResourceVersion: u.GetResourceVersion(),
		Generation: u.GetGeneration(), ObservedGeneration: number(u, 0, "status", "observedGeneration"),
		Deleting:   u.GetDeletionTimestamp() != nil,
		Rollout:    u.GetLabels()[v1alpha1.LabelRollout],
		Hold:       annotations[v1alpha1.AnnotationHold],
		BreakGlass: broken,
		Paused:     truth(u, "spec", "paused"),
		Template:   annotations[stripTemplateHash], CanaryHash: annotations[stripCanaryHash],
		Replicas:        int32(number(u, 1, "spec", "replicas")),
		MinReadySeconds: int32(number(u, 0, "spec", "minReadySeconds")),
		Recreate:        strategy == string(appsv1.RecreateDeploymentStrategyType),
		HistoryLimit:    int32(number(u, defaultHistoryLimit, "spec", "revisionHistoryLimit")),
		UpdatedReplicas: int32(number(u, 0, "status", "updatedReplicas")),
		RevisionNumber:  revisionNumber(u),
	}
}

// replicaSetFrom reads a stripped ReplicaSet; its pods are counted by the caller.
func replicaSetFrom(u *unstructured.Unstructured, owner delivery.Owner) delivery.ReplicaSet {
	return delivery.ReplicaSet{
		Name: u.GetName(), UID: string(u.GetUID()), ResourceVersion: u.GetResourceVersion(),
		Revision: u.GetLabels()[appsv1.DefaultDeploymentUniqueLabelKey],
		Template: u.GetAnnotations()[stripTemplateHash],
		Owner:    owner,
		Replicas: int32(number(u, 1, "spec", "replicas")), MinReadySeconds: int32(number(u, 0, "spec", "minReadySeconds")),
		StatusReplicas: int32(number(u, 0, "status", "replicas")), Available: int32(number(u, 0, "status", "availableReplicas")),
		Observed:       number(u, 0, "status", "observedGeneration") >= u.GetGeneration(),
		RevisionNumber: revisionNumber(u),
		Created:        u.GetCreationTimestamp().Time,
		Trouble:        replicaFailure(u),
	}
}

// serviceFrom reads a Service, as seen from a pod template's labels.
func serviceFrom(s *corev1.Service, template labels.Set) delivery.Service {
	_, broken := s.Annotations[v1alpha1.AnnotationBreakGlass]
	own := userSelector(s)
	return delivery.Service{
		Name: s.Name, UID: string(s.UID), ResourceVersion: s.ResourceVersion,
		Rollout: s.Labels[v1alpha1.LabelRollout],
		Pin:     s.Annotations[v1alpha1.AnnotationPin], Key: s.Spec.Selector[appsv1.DefaultDeploymentUniqueLabelKey],
		Selects:    len(own) > 0 && s.Spec.Type != corev1.ServiceTypeExternalName && labels.SelectorFromSet(own).Matches(template),
		BreakGlass: broken,
	}
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

// templateLabels are the labels of a stripped workload's pods.
func templateLabels(u *unstructured.Unstructured) labels.Set {
	set, _, _ := unstructured.NestedStringMap(u.Object, "spec", "template", "metadata", "labels")
	return set
}

// podSelector is a stripped Deployment's selector; one that cannot be read
// selects nothing.
func podSelector(u *unstructured.Unstructured) labels.Selector {
	raw, _, _ := unstructured.NestedMap(u.Object, "spec", "selector")
	match, _, _ := unstructured.NestedStringMap(raw, "matchLabels")
	selector := &metav1.LabelSelector{MatchLabels: match}
	expressions, _, _ := unstructured.NestedSlice(raw, "matchExpressions")
	for _, e := range expressions {
		member, ok := e.(map[string]any)
		if !ok {
			return labels.Nothing()
		}
		key, _, _ := unstructured.NestedString(member, "key")
		operator, _, _ := unstructured.NestedString(member, "operator")
		values, _, _ := unstructured.NestedStringSlice(member, "values")
		selector.MatchExpressions = append(selector.MatchExpressions,
			metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOperator(operator), Values: values})
	}
	out, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return labels.Nothing()
	}
	return out
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

func revisionNumber(u *unstructured.Unstructured) int64 {
	n, err := strconv.ParseInt(u.GetAnnotations()[annotationRevision], 10, 64)
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
