package proxy

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// renderSidecars groups the pods that have a sidecar by what it does for them, and
// says which group each pod is in. A pod counts from its creation: its proxy asks for
// its configuration long before it is ready.
func renderSidecars(in Input, policies *appliedPolicies) ([]ir.Sidecar, map[types.NamespacedName]string) {
	if in.Options.TrustDomain == "" {
		return nil, nil
	}
	type key struct{ namespace, shape string }
	known := map[key]bool{}
	shapes := map[types.NamespacedName]string{}
	var sidecars []ir.Sidecar
	for _, pod := range in.Pods {
		if !hasSidecar(pod) || isOver(pod) {
			continue
		}
		sidecar := policies.sidecar(pod)
		shapes[keyOf(pod)] = sidecar.Shape
		if k := (key{pod.Namespace, sidecar.Shape}); !known[k] {
			known[k] = true
			sidecars = append(sidecars, sidecar)
		}
	}
	slices.SortFunc(sidecars, func(a, b ir.Sidecar) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Shape, b.Shape))
	})
	return sidecars, shapes
}

func hasSidecar(pod *corev1.Pod) bool {
	return pod.Labels[v1alpha1.LabelProxy] == v1alpha1.ProxySidecar
}

// isMeshed says whether the pod's sidecar takes the connections to a port.
func isMeshed(pod *corev1.Pod, port uint32) bool {
	if !hasSidecar(pod) {
		return false
	}
	for excluded := range strings.SplitSeq(pod.Annotations[v1alpha1.AnnotationExcludeInboundPorts], ",") {
		if number, err := strconv.ParseUint(strings.TrimSpace(excluded), 10, 16); err == nil && uint32(number) == port {
			return false
		}
	}
	return true
}
