package inject

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Operation is one of a JSON patch (RFC 6902).
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Patch returns what turns the pod that Inject got into the one that it
// returned. It touches nothing else: a difference of the two as JSON would take
// out of the pod every field that this program's version of the API does not
// know.
func Patch(before, after *corev1.Pod) []Operation {
	var out []Operation
	out = append(out, patchMap("/metadata/labels", before.Labels, after.Labels)...)
	out = append(out, patchMap("/metadata/annotations", before.Annotations, after.Annotations)...)
	for i := range before.Spec.Containers {
		out = append(out, patchContainer("/spec/containers/"+strconv.Itoa(i), &before.Spec.Containers[i], &after.Spec.Containers[i])...)
	}
	out = append(out, patchInitContainers(before.Spec.InitContainers, after.Spec.InitContainers)...)
	if added := after.Spec.Volumes[len(before.Spec.Volumes):]; len(added) > 0 {
		out = append(out, patchVolumes(len(before.Spec.Volumes) == 0, added)...)
	}
	return out
}

func patchMap(path string, before, after map[string]string) []Operation {
	if len(before) == 0 && len(after) > 0 {
		return []Operation{{Op: "add", Path: path, Value: after}}
	}
	var out []Operation
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if value, has := before[key]; !has || value != after[key] {
			out = append(out, Operation{Op: "add", Path: path + "/" + escape.Replace(key), Value: after[key]})
		}
	}
	return out
}

func patchVolumes(first bool, added []corev1.Volume) []Operation {
	if first {
		return []Operation{{Op: "add", Path: "/spec/volumes", Value: added}}
	}
	var out []Operation
	for _, v := range added {
		out = append(out, Operation{Op: "add", Path: "/spec/volumes/-", Value: v})
	}
	return out
}

// patchInitContainers changes the probes of the pod's own ones first, while
// their places are those of before, and then puts ours in front. Ours that
// another webhook has moved are the rare case: all are written anew then.
func patchInitContainers(before, after []corev1.Container) []Operation {
	front := len(after) - len(before)
	if front == 0 && len(before) > 0 && (before[0].Name != after[0].Name || before[1].Name != after[1].Name) {
		return []Operation{{Op: "replace", Path: "/spec/initContainers", Value: after}}
	}
	if len(before) == 0 && front > 0 {
		return []Operation{{Op: "add", Path: "/spec/initContainers", Value: after}}
	}
	var out []Operation
	for i := range before {
		out = append(out, patchContainer("/spec/initContainers/"+strconv.Itoa(i), &before[i], &after[front+i])...)
	}
	for i := front - 1; i >= 0; i-- {
		out = append(out, Operation{Op: "add", Path: "/spec/initContainers/0", Value: after[i]})
	}
	return out
}

func patchContainer(path string, before, after *corev1.Container) []Operation {
	var out []Operation
	out = append(out, patchProbe(path+"/livenessProbe", before.LivenessProbe, after.LivenessProbe)...)
	out = append(out, patchProbe(path+"/readinessProbe", before.ReadinessProbe, after.ReadinessProbe)...)
	out = append(out, patchProbe(path+"/startupProbe", before.StartupProbe, after.StartupProbe)...)
	if before.Lifecycle != nil {
		out = append(out, patchHook(path+"/lifecycle/postStart", before.Lifecycle.PostStart, after.Lifecycle.PostStart)...)
		out = append(out, patchHook(path+"/lifecycle/preStop", before.Lifecycle.PreStop, after.Lifecycle.PreStop)...)
	}
	if !reflect.DeepEqual(before.Env, after.Env) {
		out = append(out, Operation{Op: "add", Path: path + "/env", Value: after.Env})
	}
	return out
}

func patchProbe(path string, before, after *corev1.Probe) []Operation {
	if before == nil || reflect.DeepEqual(before.ProbeHandler, after.ProbeHandler) {
		return nil
	}
	var out []Operation
	if before.TCPSocket != nil {
		out = append(out, Operation{Op: "remove", Path: path + "/tcpSocket"})
	}
	if before.GRPC != nil {
		out = append(out, Operation{Op: "remove", Path: path + "/grpc"})
	}
	return append(out, Operation{Op: "add", Path: path + "/httpGet", Value: after.HTTPGet})
}

func patchHook(path string, before, after *corev1.LifecycleHandler) []Operation {
	if before == nil || reflect.DeepEqual(before.HTTPGet, after.HTTPGet) {
		return nil
	}
	return []Operation{{Op: "add", Path: path + "/httpGet", Value: after.HTTPGet}}
}
