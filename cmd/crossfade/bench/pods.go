package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/crossfade/load"
	"github.com/crossfade-dev/crossfade/proxy/inject"
)

const (
	// labelBench on a client's pod names the run that it is of.
	labelBench = "crossfade.dev/bench"
	// controlPort is where a client is asked for rounds. It is not intercepted: the
	// API server, which asks, has no sidecar and may not have to have one.
	controlPort = 15180
	container   = "client"
	// spare is how long a client's pod may live beyond its rounds: what starts it
	// may be killed without a chance to delete it.
	spare = 10 * time.Minute
)

// clientSpec is what a client's pod is made of.
type clientSpec struct {
	run, namespace string
	options        load.Options
	// whole is how long all rounds of all clients take.
	whole time.Duration
}

// podName is a client's, known before it is made, so that one whose creation
// was not answered can be deleted too.
func podName(run string, v Variant) string { return fmt.Sprintf("crossfade-bench-%s-%s", run, v) }

// clientPod is the pod of a client. All of a run are alike but for their names,
// and for what stands in their way.
func clientPod(s clientSpec, v Variant, image string) *corev1.Pod {
	lifetime := int64((s.whole + spare).Seconds())
	grace, no, yes, user := int64(2), false, true, int64(65532)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: podName(s.run, v), Namespace: s.namespace,
			Labels: map[string]string{
				"app.kubernetes.io/name": "crossfade-bench", labelBench: s.run,
				v1alpha1.LabelInject: fmt.Sprint(v == With),
			},
			Annotations: map[string]string{v1alpha1.AnnotationExcludeInboundPorts: fmt.Sprint(controlPort)},
		},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, ActiveDeadlineSeconds: &lifetime,
			TerminationGracePeriodSeconds: &grace, AutomountServiceAccountToken: &no, EnableServiceLinks: &no,
			SecurityContext: &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			// On one node, whichever: it matches itself, so the first is free to choose.
			Affinity: &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
					LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{labelBench: s.run}}, TopologyKey: corev1.LabelHostname,
				}},
			}},
			Containers: []corev1.Container{{
				Name: container, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
				Args: []string{
					"load", "--url=" + s.options.URL, fmt.Sprintf("--rate=%g", s.options.Rate), fmt.Sprintf("--duration=%s", s.options.Duration),
					fmt.Sprintf("--connections=%d", s.options.Connections), fmt.Sprintf("--http2=%t", s.options.HTTP2), fmt.Sprintf("--listen=:%d", controlPort),
				},
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, TimeoutSeconds: 5, ProbeHandler: corev1.ProbeHandler{
					HTTPGet: &corev1.HTTPGetAction{Path: load.PathReady, Port: intstr.FromInt32(controlPort)},
				}},
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
				},
				SecurityContext: &corev1.SecurityContext{
					RunAsUser: &user, RunAsGroup: &user, RunAsNonRoot: &yes, AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

// find returns the container of that name among those that start first.
func find(pod *corev1.Pod, name string) (corev1.Container, bool) {
	i := slices.IndexFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == name })
	if i < 0 {
		return corev1.Container{}, false
	}
	return *pod.Spec.InitContainers[i].DeepCopy(), true
}

// meshed says that a pod has a sidecar of ours.
func meshed(pod *corev1.Pod) bool {
	_, there := find(pod, inject.ProxyContainer)
	return there
}

// plainPod puts a plain Envoy where an injected pod has its sidecar: the same
// image, user, resources and threads, and the same rules lead the client's
// connections to it. Only the agent is missing, and what it tells Envoy. There
// is no probe: its one port is closed to the kubelet, as a sidecar's is.
func plainPod(pod, injected *corev1.Pod, config string) (*corev1.Pod, error) {
	rules, one := find(injected, inject.InitContainer)
	proxy, two := find(injected, inject.ProxyContainer)
	if !one || !two {
		return nil, fmt.Errorf("pod %s has no sidecar to take the place of", injected.Name)
	}
	threads := "2"
	for _, argument := range proxy.Args {
		if n, found := strings.CutPrefix(argument, "--concurrency="); found {
			threads = n
		}
	}
	always := corev1.ContainerRestartPolicyAlways
	rules.VolumeMounts = nil
	plain := corev1.Container{
		Name: "plain-envoy", Image: proxy.Image, ImagePullPolicy: proxy.ImagePullPolicy, RestartPolicy: &always,
		Command: []string{"/usr/local/bin/envoy"}, Args: []string{"--config-yaml", config, "--concurrency", threads, "--disable-hot-restart", "--log-level", "warning"},
		Resources: proxy.Resources, SecurityContext: proxy.SecurityContext,
	}
	out := pod.DeepCopy()
	out.Spec.InitContainers = []corev1.Container{rules, plain}
	return out, nil
}

// state says that a client's pod is ready, or what keeps it from that. A trouble
// that will not pass is an error.
func state(pod *corev1.Pod) (ready bool, waits string, err error) {
	if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		return false, "", fmt.Errorf("pod %s ended before it was asked: %s %s", pod.Name, pod.Status.Reason, pod.Status.Message)
	}
	for _, c := range pod.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue:
			return true, "", nil
		case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse:
			waits = "no node for it: " + c.Message
		}
	}
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if ended := s.State.Terminated; ended != nil && ended.ExitCode != 0 {
			waits = fmt.Sprintf("container %s ended with %d: kubectl -n %s logs %s -c %s", s.Name, ended.ExitCode, pod.Namespace, pod.Name, s.Name)
		}
		w := s.State.Waiting
		if w == nil || w.Reason == "PodInitializing" || w.Reason == "ContainerCreating" {
			continue
		}
		switch w.Reason {
		case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName":
			return false, "", fmt.Errorf("the image %s cannot be had on node %s (%s): name one that the cluster can reach with --image", s.Image, pod.Spec.NodeName, w.Reason)
		}
		waits = fmt.Sprintf("container %s: %s %s", s.Name, w.Reason, w.Message)
	}
	return false, waits, nil
}
