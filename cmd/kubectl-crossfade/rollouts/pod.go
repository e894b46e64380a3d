package rollouts

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func readPod(pod *unstructured.Unstructured) Pod {
	p := Pod{
		Name: pod.GetName(), Revision: pod.GetLabels()[labelRevision],
		Created: pod.GetCreationTimestamp().Time,
	}
	p.Node, _, _ = unstructured.NestedString(pod.Object, "spec", "nodeName")
	p.IP, _, _ = unstructured.NestedString(pod.Object, "status", "podIP")
	p.State, _, _ = unstructured.NestedString(pod.Object, "status", "phase")
	if reason, _, _ := unstructured.NestedString(pod.Object, "status", "reason"); reason != "" {
		p.State = reason
	}
	lasting := lastingContainers(pod)
	p.Containers = len(lasting)
	for _, member := range []string{"initContainerStatuses", "containerStatuses"} {
		statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", member)
		for _, s := range statuses {
			status, _ := s.(map[string]any)
			if name, _ := status["name"].(string); slices.Contains(lasting, name) {
				p.count(status)
			}
		}
	}
	if pod.GetDeletionTimestamp() != nil {
		p.State = "Terminating"
	}
	return p
}

// count adds the status of a container.
func (p *Pod) count(status map[string]any) {
	if ready, _ := status["ready"].(bool); ready {
		p.Ready++
	}
	restarts, _, _ := unstructured.NestedInt64(status, "restartCount")
	p.Restarts += restarts
	for _, state := range []string{"waiting", "terminated"} {
		if reason, _, _ := unstructured.NestedString(status, "state", state, "reason"); reason != "" {
			p.State = reason
		}
	}
}

// lastingContainers are those that are to run as long as the pod: its containers and
// its native sidecars. kubectl counts them in the same way.
func lastingContainers(pod *unstructured.Unstructured) []string {
	var names []string
	for _, member := range []string{"initContainers", "containers"} {
		containers, _, _ := unstructured.NestedSlice(pod.Object, "spec", member)
		for _, c := range containers {
			container, _ := c.(map[string]any)
			name, _ := container["name"].(string)
			if member == "containers" || container["restartPolicy"] == "Always" {
				names = append(names, name)
			}
		}
	}
	return names
}
