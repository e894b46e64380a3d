//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// usage is a metrics API (metrics.k8s.io) by which the cluster's real autoscaler sees a load that the tests make
// up. It runs in the tests' process, so that the load can follow the weights of a Rollout; to the cluster it is an
// aggregated API server like any other.
type usage struct {
	http.Handler
	api client.Reader

	mu     sync.Mutex
	demand map[string]demand
}

// demand is how many millicores the pods of a revision use, all together.
type demand func(revision string) int64

// serveUsage starts one for as long as the test runs.
func serveUsage(t *testing.T) *usage {
	t.Helper()
	u := &usage{api: connect(t), demand: map[string]demand{}}
	mux := http.NewServeMux()
	const group = "/apis/metrics.k8s.io/v1beta1"
	mux.HandleFunc("GET "+group, u.resources)
	mux.HandleFunc("GET "+group+"/namespaces/{namespace}/pods", u.pods)
	u.Handler = mux
	address := addressForNodes(t)
	listener, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(u)
	_ = server.Listener.Close()
	server.Listener = listener
	server.StartTLS()
	t.Cleanup(server.Close)

	s := &scene{T: t, ctx: t.Context(), api: connect(t), setup: setup{Namespace: "e2e-usage"}}
	manifest := s.manifest("usage.yaml", map[string]any{"Namespace": s.Namespace, "Address": address, "Port": listener.Addr().(*net.TCPAddr).Port})
	s.must(manifest, "apply", "-f", "-")
	// The API goes before its server: while one that is announced does not answer, no namespace can be deleted.
	t.Cleanup(func() {
		s.ctx = context.Background()
		s.must(manifest, "delete", "--wait=false", "-f", "-")
	})
	s.kubectl("wait", "apiservice/v1beta1.metrics.k8s.io", "--for=condition=Available", patiently)
	return u
}

// addressForNodes is this machine's address as the cluster's nodes reach it.
func addressForNodes(t *testing.T) string {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	// Nothing is sent: the route alone tells the address.
	c, err := net.Dial("udp", server.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.LocalAddr().(*net.UDPAddr).IP.String()
}

// set makes up the load of a namespace's pods.
func (u *usage) set(namespace string, d demand) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.demand[namespace] = d
}

func (u *usage) resources(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{
		"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1",
		"resources": []map[string]any{{"name": "pods", "singularName": "pod", "namespaced": true, "kind": "PodMetrics", "verbs": []string{"get", "list"}}},
	})
}

// pods divides each revision's demand among its ready pods. A running pod that serves nothing uses nothing.
func (u *usage) pods(w http.ResponseWriter, r *http.Request) {
	namespace := r.PathValue("namespace")
	u.mu.Lock()
	use := u.demand[namespace]
	u.mu.Unlock()
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var list corev1.PodList
	if err := u.api.List(r.Context(), &list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	serving := map[string]int64{}
	for i := range list.Items {
		if serves(&list.Items[i]) {
			serving[list.Items[i].Labels["pod-template-hash"]]++
		}
	}
	items := []map[string]any{}
	for i := range list.Items {
		p := &list.Items[i]
		if p.Status.Phase != corev1.PodRunning {
			continue
		}
		var millicores int64
		if revision := p.Labels["pod-template-hash"]; use != nil && serves(p) {
			millicores = use(revision) / serving[revision]
		}
		items = append(items, map[string]any{
			"metadata":  map[string]any{"name": p.Name, "namespace": namespace, "labels": p.Labels},
			"timestamp": time.Now().UTC().Format(time.RFC3339), "window": "1s",
			"containers": []map[string]any{{"name": name, "usage": map[string]string{"cpu": fmt.Sprintf("%dm", millicores), "memory": "16Mi"}}},
		})
	}
	answer(w, map[string]any{"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": map[string]any{}, "items": items})
}

// serves says that a pod is ready and not on its way out.
func serves(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func answer(w http.ResponseWriter, o any) {
	w.Header().Set("content-type", "application/json")
	// Who hung up is not told.
	_ = json.NewEncoder(w).Encode(o)
}
