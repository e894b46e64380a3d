package controllers

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/controllers/outbound"
	"github.com/crossfade-dev/crossfade/metrics"
)

func TestAPIServerAddresses(t *testing.T) {
	port := int32(6443)
	c := shopServices(t).WithObjects(
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"}, Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1", "fd00::1"}, Ports: []corev1.ServicePort{{Port: 443}},
		}},
		&discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.9"}}}, Ports: []discoveryv1.EndpointPort{{Port: &port}},
		},
	).Build()
	var got []string
	for _, a := range apiServer(c)(t.Context()) {
		got = append(got, a.String())
	}
	if diff := cmp.Diff([]string{"10.96.0.1:443", "[fd00::1]:443", "10.96.0.1:443", "192.0.2.9:6443"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestGuardedPrometheus: the administrator's Prometheus may be a side-car; where machines
// keep their credentials is none, and no answer leads there.
func TestGuardedPrometheus(t *testing.T) {
	guards, err := NewGuards(shopServices(t).Build(), outbound.Options{Hosts: []string{"hooks.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	sideCar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if strings.HasPrefix(r.URL.Path, "/sly") {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}`))
	}))
	defer sideCar.Close()
	m, err := newMeters(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(url string) metrics.Sample {
		s, err := newSource(Options{Prometheus: metrics.Options{URL: url}, Guards: guards, Now: time.Now}, m)
		if err != nil {
			return metrics.Sample{Message: err.Error()}
		}
		return s.Query(t.Context(), "up", time.Unix(1, 0))
	}
	if got := ask(sideCar.URL); got.Outcome != metrics.Number || got.Value != 7 {
		t.Errorf("a side-car: %+v", got)
	}
	asked = 0
	if got := ask(sideCar.URL + "/sly"); got.Outcome != metrics.Unreachable || asked != 1 {
		t.Errorf("redirected to metadata: %+v, asked %d times", got, asked)
	}
	if got := ask("http://169.254.169.254/"); !strings.Contains(got.Message, "check the Prometheus URL: 169.254.169.254 is a link-local address") {
		t.Errorf("metadata: %+v", got)
	}
	if err := guards.Hooks.CheckHost(t.Context(), sideCar.Listener.Addr().String()); err == nil {
		t.Error("a hook may ask the controller's own pod")
	}
	if err := guards.Targets.CheckHost(t.Context(), sideCar.Listener.Addr().String()); err == nil {
		t.Error("a target may be the controller's own pod")
	}
}
