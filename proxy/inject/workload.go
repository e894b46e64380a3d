package inject

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// cronDigits is how many digits, at least, a CronJob's controller appends to the names
// of its Jobs: minutes since 1970.
const cronDigits = 8

// workloadOf is what metrics and spans call the pod: the Deployment, StatefulSet,
// DaemonSet or CronJob that it comes from. A webhook must not ask the API server for
// it, so it is told by the name of the pod's controller. Every name is one more value
// of a label, so what differs from pod to pod, or from run to run, is left out.
func workloadOf(pod *corev1.Pod) string {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return pod.Name
	}
	switch owner.Kind {
	case "ReplicaSet":
		return strings.TrimSuffix(owner.Name, "-"+revisionOf(pod))
	case "Job":
		i := strings.LastIndexByte(owner.Name, '-')
		if i > 0 && len(owner.Name)-i-1 >= cronDigits && strings.Trim(owner.Name[i+1:], "0123456789") == "" {
			return owner.Name[:i]
		}
	}
	return owner.Name
}

// revisionOf is which template the pod was made from, by the name that Rollouts have
// for it.
func revisionOf(pod *corev1.Pod) string { return pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey] }
