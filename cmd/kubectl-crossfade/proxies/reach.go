package proxies

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

const (
	// debugPort is where the controller's debug page is, on its pod's loopback.
	debugPort = 15014
	// askTime bounds each question to a pod.
	askTime = 20 * time.Second
	// maxPage bounds an answer.
	maxPage = 256 << 20
)

// leader is the name of the controller's pod that serves the proxies.
func leader(ctx context.Context, client dynamic.Interface) (string, error) {
	for _, selector := range []string{v1alpha1.LabelLeader + "=true", "app.kubernetes.io/name=crossfade-controller"} {
		pods, err := client.Resource(session.Pods).Namespace(session.SystemNamespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return "", fmt.Errorf("look for the controller's pod: %w", err)
		}
		for i := range pods.Items {
			if pods.Items[i].GetDeletionTimestamp() == nil {
				return pods.Items[i].GetName(), nil
			}
		}
	}
	return "", fmt.Errorf("no pod of crossfade-controller runs in namespace %s: kubectl -n %s get pods says why", session.SystemNamespace, session.SystemNamespace)
}

// askController reads the debug page through a port-forward.
func askController(ctx context.Context, config *rest.Config, pod, service string) (p page, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	address, stop, err := forward(ctx, config, session.SystemNamespace, pod, debugPort)
	if err != nil {
		return page{}, fmt.Errorf("forward a port to pod %s: %w", pod, err)
	}
	defer stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/debug/proxies?service="+url.QueryEscape(service), nil)
	if err != nil {
		return page{}, fmt.Errorf("make the request: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return page{}, fmt.Errorf("ask the controller: %w; is --debug-address empty? It has to listen on port %d", err, debugPort)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return page{}, fmt.Errorf("ask the controller: it answers %s", response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxPage)).Decode(&p); err != nil {
		return page{}, fmt.Errorf("read the controller's answer: %w", err)
	}
	return p, nil
}

// forward opens a local port that leads to one of a pod.
func forward(ctx context.Context, config *rest.Config, namespace, pod string, port int) (address string, stop func(), err error) {
	target, err := podURL(config, namespace, pod, "portforward")
	if err != nil {
		return "", nil, err
	}
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return "", nil, err
	}
	// As kubectl does: by WebSocket, and by SPDY through what does not know that.
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	if tunnel, err := portforward.NewSPDYOverWebsocketDialer(target, config); err == nil {
		dialer = portforward.NewFallbackDialer(tunnel, dialer, func(err error) bool {
			return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
		})
	}
	done, ready := make(chan struct{}), make(chan struct{})
	f, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, done, ready, io.Discard, io.Discard)
	if err != nil {
		return "", nil, err
	}
	failed := make(chan error, 1)
	go func() { failed <- f.ForwardPorts() }()
	select {
	case <-ctx.Done():
		close(done)
		return "", nil, ctx.Err()
	case err := <-failed:
		return "", nil, err
	case <-ready:
	}
	ports, err := f.GetPorts()
	if err != nil {
		close(done)
		return "", nil, err
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0].Local), func() { close(done) }, nil
}

func podURL(config *rest.Config, namespace, pod, subresource string) (*url.URL, error) {
	client, err := coreClient(config)
	if err != nil {
		return nil, err
	}
	return client.Post().Resource("pods").Namespace(namespace).Name(pod).SubResource(subresource).URL(), nil
}

func coreClient(config *rest.Config) (*rest.RESTClient, error) {
	core := rest.CopyConfig(config)
	core.APIPath, core.GroupVersion = "/api", &corev1.SchemeGroupVersion
	core.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	return rest.RESTClientFor(core)
}

// program is where a proxy's image has it; there is no shell that would look for it.
const program = "/usr/local/bin/crossfade"

// askEnvoy runs a program of ours in the proxy's container that reads from Envoy's
// admin socket: there is no port of it, or each container of the pod could stop Envoy.
func askEnvoy(ctx context.Context, config *rest.Config, namespace, pod, container string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	client, err := coreClient(config)
	if err != nil {
		return nil, err
	}
	target := client.Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: []string{program, "dump"}, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	executor, err := executorFor(config, target)
	if err != nil {
		return nil, err
	}
	var out, errOut bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut}); err != nil {
		if text := firstLine(errOut.String()); text != "" {
			return nil, fmt.Errorf("exec in container %s: %w: %s", container, err, text)
		}
		return nil, fmt.Errorf("exec in container %s: %w", container, err)
	}
	return out.Bytes(), nil
}

func executorFor(config *rest.Config, target *url.URL) (remotecommand.Executor, error) {
	old, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, target)
	if err != nil {
		return nil, err
	}
	websocket, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, target.String())
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(websocket, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
}

func firstLine(text string) string {
	line, _, _ := bytes.Cut([]byte(text), []byte("\n"))
	return string(line)
}
