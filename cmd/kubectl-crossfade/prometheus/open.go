// Package prometheus finds the Prometheus that the controller measures by, and leads
// questions to it through the API server.
package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
	"github.com/crossfade-dev/crossfade/metrics"
)

// Source answers queries.
type Source struct {
	*metrics.Source
	// Where says in words who answers.
	Where string

	server *http.Server
}

// Close ends it.
func (s *Source) Close() {
	if s.server != nil {
		_ = s.server.Close() // Nobody asks any more.
	}
}

// Open opens the Prometheus of that address; without one, that of the controller.
func Open(ctx context.Context, s *session.Session, address string) (*Source, error) {
	if address != "" {
		source, err := metrics.New(metrics.Options{URL: address})
		if err != nil {
			return nil, err
		}
		return &Source{Source: source, Where: address}, nil
	}
	target, err := ofController(ctx, s)
	if err != nil {
		return nil, err
	}
	return through(ctx, s, target)
}

// flag is the controller's.
const flag = "--prometheus-url="

// ofController is the address that the controller was started with.
func ofController(ctx context.Context, s *session.Session) (*url.URL, error) {
	client, err := s.Client()
	if err != nil {
		return nil, err
	}
	deployment, err := client.Resource(session.Deployments).Namespace(session.SystemNamespace).Get(ctx, "crossfade-controller", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read which Prometheus the controller asks: %w; say it with --prometheus-url", err)
	}
	containers, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		container, _ := c.(map[string]any)
		args, _, _ := unstructured.NestedStringSlice(container, "args")
		for _, arg := range args {
			if text, is := strings.CutPrefix(arg, flag); is && text != "" {
				return url.Parse(text)
			}
		}
	}
	return nil, errors.New("the controller asks no Prometheus: say one with --prometheus-url")
}

// through leads queries through the API server to a Service of the cluster, with the
// rights of whoever runs the plugin (services/proxy). The address is no use outside
// of the cluster otherwise.
func through(ctx context.Context, s *session.Session, target *url.URL) (*Source, error) {
	service, namespace, ok := serviceOf(target.Hostname())
	if !ok {
		source, err := metrics.New(metrics.Options{URL: target.String()})
		if err != nil {
			return nil, err
		}
		return &Source{Source: source, Where: target.String()}, nil
	}
	config, err := s.Config()
	if err != nil {
		return nil, err
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	api, err := url.Parse(strings.TrimSuffix(config.Host, "/"))
	if err != nil || api.Host == "" {
		api = &url.URL{Scheme: "https", Host: config.Host}
	}
	port := target.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[target.Scheme]
	}
	prefix := fmt.Sprintf("/api/v1/namespaces/%s/services/%s:%s:%s/proxy%s", namespace, target.Scheme, service, port, strings.TrimSuffix(target.Path, "/"))
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = api.Scheme, api.Host, api.Host
		r.Out.URL.Path = strings.TrimSuffix(api.Path, "/") + prefix + r.In.URL.Path
	}}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for queries: %w", err)
	}
	server := &http.Server{Handler: queriesOnly(proxy), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // Close ends it.
	source, err := metrics.New(metrics.Options{URL: "http://" + listener.Addr().String()})
	if err != nil {
		_ = server.Close()
		return nil, err
	}
	return &Source{Source: source, server: server, Where: fmt.Sprintf("Service %s/%s, through the API server", namespace, service)}, nil
}

// queriesOnly keeps others on this machine from using the rights of whoever runs the
// plugin: of all paths, the one by which queries are asked goes through.
func queriesOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/query" {
			http.Error(w, "only queries are led through", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// serviceOf takes a Service's name in DNS apart: NAME.NAMESPACE[.svc[.…]].
func serviceOf(host string) (service, namespace string, ok bool) {
	parts := strings.Split(host, ".")
	if len(parts) < 2 || len(parts) > 2 && parts[2] != "svc" || net.ParseIP(host) != nil {
		return "", "", false
	}
	return parts[0], parts[1], true
}
