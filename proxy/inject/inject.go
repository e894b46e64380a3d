package inject

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/intercept"
	"github.com/crossfade-dev/crossfade/proxy/probe"
)

// Options are the administrator's choices. All are required but IstioInstalled.
type Options struct {
	// Image is the proxy's, with the programs crossfade and envoy in it.
	Image string
	// XDS and Certificates are where the controller serves proxies, HOST:PORT.
	XDS, Certificates string
	// SystemNamespace is the controller's, whose pods never get a sidecar.
	SystemNamespace string
	// IstioInstalled says that Istio's own injector reads Istio's label.
	IstioInstalled bool
}

// Injected is the value of the annotation crossfade.dev/injected.
type Injected struct {
	Image string `json:"image"`
	// Version is Version's.
	Version string `json:"version"`
}

// Version stands for all that a sidecar consists of, but for what a pod's own
// annotations change: a pod with another one was injected by another controller,
// or by this one with other options, and gets the present sidecar when it is made
// anew.
func Version(o Options) (string, error) {
	s, err := readSettings(&corev1.Pod{})
	if err != nil {
		return "", err
	}
	proxy, err := proxyContainer(o, s, nil)
	if err != nil {
		return "", err
	}
	raw, err := json.Marshal([]any{initContainer(o, s), proxy, volumes()})
	if err != nil {
		return "", fmt.Errorf("encode sidecar: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:4]), nil
}

// Names of what is added to a pod.
const (
	InitContainer  = "crossfade-init"
	ProxyContainer = "crossfade-proxy"
)

// Inject returns the pod with a sidecar, or the pod itself, and why. The pod
// needs its namespace; the labels are that namespace's. The argument is never
// changed. An error is a mistake of whoever wrote the pod, in words for him.
func Inject(pod *corev1.Pod, namespace map[string]string, o Options) (*corev1.Pod, Decision, error) {
	decision, err := decide(pod, namespace, o)
	if err != nil || !decision.Injected {
		return pod, decision, err
	}
	out := pod.DeepCopy()
	if injected, err := isInjected(pod); err != nil {
		return pod, Decision{}, err
	} else if injected {
		return again(out)
	}
	s, err := readSettings(pod)
	if err != nil {
		return pod, Decision{}, err
	}
	if err := checkConflicts(pod); err != nil {
		return pod, Decision{}, err
	}
	table := rewriteProbes(out, probe.Table{})
	proxy, err := proxyContainer(o, s, table)
	if err != nil {
		return pod, Decision{}, err
	}
	out.Spec.InitContainers = append([]corev1.Container{initContainer(o, s), proxy}, out.Spec.InitContainers...)
	out.Spec.Volumes = append(out.Spec.Volumes, volumes()...)
	if err := annotate(out, o); err != nil {
		return pod, Decision{}, err
	}
	return out, decision, nil
}

// isInjected says whether both of our containers are there. One alone is
// somebody else's container under our name, or half of a pod that was copied.
func isInjected(pod *corev1.Pod) (bool, error) {
	first, second := has(pod.Spec.InitContainers, InitContainer), has(pod.Spec.InitContainers, ProxyContainer)
	if first != second || has(pod.Spec.Containers, InitContainer) || has(pod.Spec.Containers, ProxyContainer) {
		return false, fmt.Errorf("the container names %s and %s are for the sidecar: use others, or take both out to get a sidecar of this version",
			InitContainer, ProxyContainer)
	}
	return first, nil
}

// again treats what another webhook, or a copy of a pod, has brought since the
// pod was injected. Our containers stay as they are: others may have had good
// reason to change them, such as the registry of all images.
func again(pod *corev1.Pod) (*corev1.Pod, Decision, error) {
	init, proxy := &pod.Spec.InitContainers[find(pod.Spec.InitContainers, InitContainer)], &pod.Spec.InitContainers[find(pod.Spec.InitContainers, ProxyContainer)]
	text := ""
	for _, e := range proxy.Env {
		if e.Name == probe.Variable {
			text = e.Value
		}
	}
	table, err := probe.Decode(text)
	if err != nil {
		return pod, Decision{}, fmt.Errorf("variable %s of container %s: %w", probe.Variable, ProxyContainer, err)
	}
	if err := setProbes(proxy, rewriteProbes(pod, table)); err != nil {
		return pod, Decision{}, err
	}
	ordered := []corev1.Container{*init, *proxy}
	for _, c := range pod.Spec.InitContainers {
		if c.Name != InitContainer && c.Name != ProxyContainer {
			ordered = append(ordered, c)
		}
	}
	pod.Spec.InitContainers = ordered
	// kubectl debug --copy-to leaves out labels.
	setLabel(pod)
	return pod, Decision{Injected: true, Reason: ReasonAlreadyInjected}, nil
}

func setLabel(pod *corev1.Pod) {
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[v1alpha1.LabelProxy] = v1alpha1.ProxySidecar
}

// annotate adds the label and the annotations.
func annotate(pod *corev1.Pod, o Options) error {
	setLabel(pod)
	version, err := Version(o)
	if err != nil {
		return err
	}
	value, err := json.Marshal(Injected{Image: o.Image, Version: version})
	if err != nil {
		return fmt.Errorf("encode annotation %s: %w", v1alpha1.AnnotationInjected, err)
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[v1alpha1.AnnotationInjected] = string(value)
	scrape := map[string]string{
		"prometheus.io/scrape": "true", "prometheus.io/port": fmt.Sprint(intercept.StatsPort), "prometheus.io/path": "/stats/prometheus",
	}
	for key := range scrape {
		// Who has his own metrics scraped by these annotations goes on having them.
		if _, own := pod.Annotations[key]; own {
			return nil
		}
	}
	for key, value := range scrape {
		pod.Annotations[key] = value
	}
	return nil
}

// checkConflicts refuses a pod whose own parts would work against the sidecar.
func checkConflicts(pod *corev1.Pod) error {
	var wrong []error
	for _, v := range pod.Spec.Volumes {
		if ours(v.Name) {
			wrong = append(wrong, fmt.Errorf("the volume name %s is the sidecar's: use another", v.Name))
		}
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			wrong = append(wrong, checkContainer(pod, &list[i]))
		}
	}
	return errors.Join(wrong...)
}

// proxyPorts are what the sidecar listens on in the pod's network namespace.
var proxyPorts = map[int32]bool{
	intercept.OutboundPort: true, intercept.InboundPort: true, intercept.ReadyPort: true, intercept.StatsPort: true,
}

func checkContainer(pod *corev1.Pod, c *corev1.Container) error {
	for _, p := range c.Ports {
		if proxyPorts[p.ContainerPort] && (p.Protocol == corev1.ProtocolTCP || p.Protocol == "") {
			return fmt.Errorf("container %s: port %d is the sidecar's: use another", c.Name, p.ContainerPort)
		}
	}
	user, group := pod.Spec.SecurityContext.DeepCopy(), c.SecurityContext
	if user == nil {
		user = &corev1.PodSecurityContext{}
	}
	if group != nil && group.RunAsUser != nil {
		user.RunAsUser = group.RunAsUser
	}
	if group != nil && group.RunAsGroup != nil {
		user.RunAsGroup = group.RunAsGroup
	}
	if is(user.RunAsUser, intercept.UID) || is(user.RunAsGroup, intercept.UID) {
		return fmt.Errorf("container %s runs as user or group %d, which is the sidecar's: its connections would bypass the mesh; use another", c.Name, intercept.UID)
	}
	return nil
}

func is(have *int64, want int64) bool { return have != nil && *have == want }
