package proxy

import (
	"cmp"
	"net/netip"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// revisionLabel tells pods of one template from those of another.
const revisionLabel = appsv1.DefaultDeploymentUniqueLabelKey

// label is one key and value that a selector asks for.
type label struct{ key, value string }

// podIndex finds the ready pods of a selector without looking at all pods: with
// thousands of Services over thousands of pods the product would be too much. It
// holds a list of pods for each label that some selector asks for.
type podIndex map[string]map[label][]*corev1.Pod

// newPodIndex indexes the pods that are wanted by the labels of the selectors; find
// answers for no others.
func newPodIndex(pods []*corev1.Pod, selectors []podSelector, wanted func(*corev1.Pod) bool) podIndex {
	index := podIndex{}
	for _, s := range selectors {
		byLabel := index[s.namespace]
		if byLabel == nil {
			byLabel = map[label][]*corev1.Pod{}
			index[s.namespace] = byLabel
		}
		for _, l := range s.searched() {
			byLabel[l] = nil
		}
	}
	for _, pod := range pods {
		byLabel := index[pod.Namespace]
		if byLabel == nil || !wanted(pod) {
			continue
		}
		for key, value := range pod.Labels {
			l := label{key, value}
			if list, asked := byLabel[l]; asked {
				byLabel[l] = append(list, pod)
			}
		}
	}
	return index
}

// podSelector selects pods of one namespace by labels, all of which they must
// have. One without labels selects nothing.
type podSelector struct {
	namespace string
	labels    map[string]string
	// revision, when it is set, is one more label.
	revision string
}

// searched are the labels that the index is asked for. A revision is the most
// telling label there is, so that the others need no list.
func (s podSelector) searched() []label {
	if s.revision != "" {
		return []label{{revisionLabel, s.revision}}
	}
	labels := make([]label, 0, len(s.labels))
	for key, value := range s.labels {
		labels = append(labels, label{key, value})
	}
	return labels
}

func (s podSelector) matches(pod *corev1.Pod) bool {
	for key, value := range s.labels {
		if got, ok := pod.Labels[key]; !ok || got != value {
			return false
		}
	}
	return s.revision == "" || pod.Labels[revisionLabel] == s.revision
}

// find returns the ready pods of the selector, in no particular order.
func (i podIndex) find(s podSelector) []*corev1.Pod {
	if len(s.labels) == 0 {
		return nil
	}
	var shortest []*corev1.Pod
	for n, l := range s.searched() {
		if list := i[s.namespace][l]; n == 0 || len(list) < len(shortest) {
			shortest = list
		}
	}
	var found []*corev1.Pod
	for _, pod := range shortest {
		if s.matches(pod) {
			found = append(found, pod)
		}
	}
	return found
}

// serves says whether a pod can take requests. A terminating one cannot, even
// while it is still ready: an endpoint is withdrawn before its pod stops.
func serves(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || pod.Status.PodIP == "" {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// hasAddress says whether a pod runs at an address, ready or not.
func hasAddress(pod *corev1.Pod) bool { return pod.Status.PodIP != "" && !isOver(pod) }

// isOver says whether a pod has run to its end, as that of a Job does; another one
// may have its address by now.
func isOver(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// endpointsOf are the addresses of the pods for one port of a Service. A pod that
// lacks a named port is no endpoint of it.
func endpointsOf(pods []*corev1.Pod, service *corev1.Service, port corev1.ServicePort) []ir.Endpoint {
	var endpoints []ir.Endpoint
	for _, pod := range pods {
		ip := addressOf(pod, service.Spec.IPFamilies)
		number := targetPort(pod, port)
		if ip != "" && number != 0 {
			endpoints = append(endpoints, ir.Endpoint{IP: ip, Port: number, Meshed: isMeshed(pod, number)})
		}
	}
	slices.SortFunc(endpoints, func(a, b ir.Endpoint) int {
		return cmp.Or(cmp.Compare(a.IP, b.IP), cmp.Compare(a.Port, b.Port))
	})
	// Pods on the host's network may share an address.
	return slices.Compact(endpoints)
}

// addressOf is the pod's IP of the Service's first family, as clients of its first
// cluster IP reach it. A Service that names no family takes the pod's first IP.
func addressOf(pod *corev1.Pod, families []corev1.IPFamily) string {
	if len(families) == 0 {
		return pod.Status.PodIP
	}
	for _, candidate := range pod.Status.PodIPs {
		if isFamily(candidate.IP, families[0]) {
			return candidate.IP
		}
	}
	if isFamily(pod.Status.PodIP, families[0]) {
		return pod.Status.PodIP
	}
	return ""
}

func isFamily(ip string, family corev1.IPFamily) bool {
	address, err := netip.ParseAddr(ip)
	return err == nil && address.Is4() == (family == corev1.IPv4Protocol)
}

// targetPort is where a pod listens for a port of the Service; 0 when nowhere.
func targetPort(pod *corev1.Pod, port corev1.ServicePort) uint32 {
	if port.TargetPort.Type == intstr.String {
		return namedPort(pod, port.TargetPort.StrVal)
	}
	if number := port.TargetPort.IntVal; number > 0 {
		return uint32(number)
	}
	return uint32(max(port.Port, 0))
}

func namedPort(pod *corev1.Pod, name string) uint32 {
	for _, c := range pod.Spec.Containers {
		if number := portOf(c, name); number != 0 {
			return number
		}
	}
	for _, c := range pod.Spec.InitContainers {
		// An init container that is restarted always is a sidecar and goes on running.
		if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			continue
		}
		if number := portOf(c, name); number != 0 {
			return number
		}
	}
	return 0
}

func portOf(c corev1.Container, name string) uint32 {
	for _, p := range c.Ports {
		if p.Name == name && isTCP(p.Protocol) && p.ContainerPort > 0 {
			return uint32(p.ContainerPort)
		}
	}
	return 0
}

// isTCP says whether a port is TCP, which is also what an unset protocol means.
func isTCP(p corev1.Protocol) bool { return p == corev1.ProtocolTCP || p == "" }
