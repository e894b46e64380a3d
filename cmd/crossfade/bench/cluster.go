package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// ask sends a request to a port of a pod, through the API server, and returns
// the answer. What the pod itself says against it is the error's text.
type ask func(ctx context.Context, method, namespace, pod string, port int, path string) ([]byte, error)

// cluster is the user's, with the user's rights.
type cluster struct {
	api kubernetes.Interface
	ask ask
	// patience is how long pods may take to be ready, poll how often they are looked at.
	patience, poll time.Duration
}

// connect finds the cluster as kubectl does, and the namespace of the context.
func connect(kubeconfig, context string) (*cluster, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	loading := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context})
	config, err := loading.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("find the cluster: %w", err)
	}
	namespace, _, err := loading.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("find the cluster: %w", err)
	}
	config.QPS, config.Burst = -1, -1 // Fairness is the server's.
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, "", fmt.Errorf("connect to the cluster: %w", err)
	}
	return &cluster{api: api, ask: throughAPI(api), patience: 3 * time.Minute, poll: 500 * time.Millisecond}, namespace, nil
}

func throughAPI(api kubernetes.Interface) ask {
	return func(ctx context.Context, method, namespace, pod string, port int, path string) ([]byte, error) {
		path, query, _ := strings.Cut(path, "?")
		request := api.CoreV1().RESTClient().Verb(method).Namespace(namespace).Resource("pods").
			SubResource("proxy").Name(pod + ":" + strconv.Itoa(port)).Suffix(path)
		for pair := range strings.SplitSeq(query, "&") {
			if key, value, ok := strings.Cut(pair, "="); ok {
				request = request.Param(key, value)
			}
		}
		body, err := request.Do(ctx).Raw()
		if text := words(err); text != "" {
			return nil, errors.New(text)
		}
		return body, err
	}
}

// words are the pod's own in an answer that the API server handed on.
func words(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return ""
	}
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeUnexpectedServerResponse {
			return strings.TrimSpace(cause.Message)
		}
	}
	return ""
}

// service returns the Service, and its ready pods by name.
func (c *cluster) service(ctx context.Context, t target) (*corev1.Service, []corev1.Pod, error) {
	s, err := c.api.CoreV1().Services(t.namespace).Get(ctx, t.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil, fmt.Errorf("there is no Service %s in namespace %s: kubectl -n %s get services lists them; --service NAME.NAMESPACE names another namespace", t.name, t.namespace, t.namespace)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("get Service: %w", err)
	}
	if len(s.Spec.Selector) == 0 {
		return s, nil, nil
	}
	list, err := c.api.CoreV1().Pods(t.namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(s.Spec.Selector).String()})
	if err != nil {
		return nil, nil, fmt.Errorf("list the Service's pods: %w", err)
	}
	ready := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		ok, _, err := state(&p)
		return !ok || err != nil
	})
	if len(ready) == 0 {
		return nil, nil, fmt.Errorf("service %s/%s has no ready pod: nobody would answer", t.namespace, t.name)
	}
	slices.SortFunc(ready, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return s, ready, nil
}

// endpoints are where the Service's requests go at this time.
func (c *cluster) endpoints(ctx context.Context, t target, port corev1.ServicePort) ([]string, error) {
	list, err := c.api.DiscoveryV1().EndpointSlices(t.namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + t.name})
	if err != nil {
		return nil, fmt.Errorf("list the Service's endpoints: %w", err)
	}
	var out []string
	for _, slice := range list.Items {
		for _, p := range slice.Ports {
			if p.Port == nil || p.Name == nil || *p.Name != port.Name {
				continue
			}
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready == nil || *e.Conditions.Ready {
					out = append(out, net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(*p.Port))))
				}
			}
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		return nil, fmt.Errorf("service %s/%s has no ready endpoint", t.namespace, t.name)
	}
	return slices.Compact(out), nil
}

// injected asks what a pod would become, and makes none. A pod that would get no
// sidecar is an error: there would be nothing to compare.
func (c *cluster) injected(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	out, err := c.api.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no namespace %s for the clients: --namespace names another one", pod.Namespace)
	case err != nil && strings.Contains(err.Error(), "violates PodSecurity"):
		return nil, fmt.Errorf("namespace %s does not admit pods with a sidecar: one that enforces the Pod Security level privileged does, --namespace names it: %w", pod.Namespace, err)
	case err != nil:
		return nil, fmt.Errorf("ask for a pod with a sidecar: %w", err)
	case !meshed(out):
		return nil, fmt.Errorf("a pod in namespace %s gets no sidecar although it asks for one: is Crossfade installed, and injecting "+
			"(kubectl get mutatingwebhookconfigurations), and is this a namespace that can have sidecars (kube-system and crossfade-system cannot)? "+
			"--namespace names another one", pod.Namespace)
	}
	return out, nil
}

// start makes a pod and waits until it is ready.
func (c *cluster) start(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	pods := c.api.CoreV1().Pods(pod.Namespace)
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("create pod %s: %w", pod.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	ticker := time.NewTicker(c.poll)
	defer ticker.Stop()
	waits := "nothing is known of it yet"
	for {
		got, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil {
			ready, why, wrong := state(got)
			if wrong != nil || ready {
				return got, wrong
			}
			waits = why
		} else if ctx.Err() == nil {
			return nil, fmt.Errorf("look at pod %s: %w", pod.Name, err)
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, fmt.Errorf("pod %s is not ready after %v: %s", pod.Name, c.patience, waits)
			}
			return nil, ctx.Err()
		case <-ticker.C:
		}
	}
}

// remove deletes pods, whether they are there or not.
func (c *cluster) remove(ctx context.Context, namespace string, names []string) error {
	var wrong []error
	for _, name := range names {
		err := c.api.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			wrong = append(wrong, fmt.Errorf("delete pod %s/%s, please do it: %w", namespace, name, err))
		}
	}
	return errors.Join(wrong...)
}
