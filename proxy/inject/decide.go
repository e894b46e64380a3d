package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Reasons of a Decision. They are values of a metric's label: a closed set.
const (
	ReasonNamespace       = "Namespace"       // the namespace asks for it
	ReasonIstioNamespace  = "IstioNamespace"  // the namespace asks Istio for it, which is not there
	ReasonPod             = "Pod"             // the pod asks for it
	ReasonSystem          = "System"          // kube-system and our own namespace never get one
	ReasonHostNetwork     = "HostNetwork"     // interception would lead the node's traffic to the pod's proxy
	ReasonMirror          = "Mirror"          // a static pod runs whatever the API server says
	ReasonWindows         = "Windows"         // the proxy is a Linux program
	ReasonOwnProxy        = "OwnProxy"        // it is a proxy of ours itself
	ReasonIstioProxy      = "IstioProxy"      // it has Istio's: two would fight about its connections
	ReasonOptedOut        = "OptedOut"        // the pod asks for none
	ReasonNobodyAsks      = "NobodyAsks"      // no label
	ReasonIstioPresent    = "IstioPresent"    // only Istio's label, and Istio is there to read it
	ReasonAlreadyInjected = "AlreadyInjected" // it has it
)

// annotationMirror marks the API server's image of a static pod.
const annotationMirror = "kubernetes.io/config.mirror"

// Decision is whether a pod has a sidecar after Inject.
type Decision struct {
	// Injected says that it was put in now, or that it was there.
	Injected bool
	// Reason is one of the Reason constants.
	Reason string
}

// NamespaceMeshed says whether the labels of a namespace give its pods a
// sidecar. Our label wins over Istio's, which counts only where Istio's own
// injector is not installed.
func NamespaceMeshed(labels map[string]string, istioInstalled bool) bool {
	return fromNamespace(labels, istioInstalled).Injected
}

// PodMeshed says whether a pod asks for a sidecar by itself.
func PodMeshed(labels map[string]string) bool { return labels[v1alpha1.LabelInject] == "true" }

func fromNamespace(labels map[string]string, istioInstalled bool) Decision {
	if value, has := labels[v1alpha1.LabelInjection]; has {
		if value == v1alpha1.InjectionEnabled {
			return Decision{Injected: true, Reason: ReasonNamespace}
		}
		return Decision{Reason: ReasonNobodyAsks}
	}
	if labels[v1alpha1.LabelIstioInjection] != v1alpha1.InjectionEnabled {
		return Decision{Reason: ReasonNobodyAsks}
	}
	if istioInstalled {
		return Decision{Reason: ReasonIstioPresent}
	}
	return Decision{Injected: true, Reason: ReasonIstioNamespace}
}

// decide asks first what a pod is, which no label can change, then its own
// label, then its namespace's.
func decide(pod *corev1.Pod, namespace map[string]string, o Options) (Decision, error) {
	if reason := untouchable(pod, o.SystemNamespace); reason != "" {
		return Decision{Reason: reason}, nil
	}
	switch value, has := pod.Labels[v1alpha1.LabelInject]; {
	case !has:
		return fromNamespace(namespace, o.IstioInstalled), nil
	case value == "true":
		return Decision{Injected: true, Reason: ReasonPod}, nil
	case value == "false":
		return Decision{Reason: ReasonOptedOut}, nil
	default:
		return Decision{}, fmt.Errorf("label %s: %q: write \"true\" or \"false\"", v1alpha1.LabelInject, value)
	}
}

// untouchable returns why a pod cannot have a sidecar, empty if it can.
func untouchable(pod *corev1.Pod, system string) string {
	_, mirror := pod.Annotations[annotationMirror]
	proxy := pod.Labels[v1alpha1.LabelProxy]
	switch {
	case pod.Namespace == system || pod.Namespace == "kube-system":
		return ReasonSystem
	case pod.Spec.HostNetwork:
		return ReasonHostNetwork
	case mirror:
		return ReasonMirror
	case pod.Spec.OS != nil && pod.Spec.OS.Name == corev1.Windows:
		return ReasonWindows
	case proxy != "" && proxy != v1alpha1.ProxySidecar:
		return ReasonOwnProxy
	case has(pod.Spec.Containers, "istio-proxy") || has(pod.Spec.InitContainers, "istio-proxy"):
		return ReasonIstioProxy
	}
	return ""
}

func has(containers []corev1.Container, name string) bool { return find(containers, name) >= 0 }

func find(containers []corev1.Container, name string) int {
	return slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == name })
}
