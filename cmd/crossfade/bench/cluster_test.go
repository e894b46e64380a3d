package bench

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// What is asked goes to the pod's port, and what the pod says against it comes back in its own words.
func TestThroughAPI(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.String() {
		case "GET /api/v1/namespaces/shop/pods/a:15090/proxy/stats/prometheus?filter=%5E%24":
			_, _ = w.Write([]byte("numbers"))
		case "POST /api/v1/namespaces/shop/pods/a:15180/proxy/round":
			http.Error(w, "ask http://payments: status 403", http.StatusBadGateway)
		default:
			http.Error(w, "not asked for: "+r.URL.String(), http.StatusNotFound)
		}
	}))
	defer server.Close()
	api, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ask := throughAPI(api)
	if got, err := ask(t.Context(), http.MethodGet, "shop", "a", 15090, statsPath); err != nil || string(got) != "numbers" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := ask(t.Context(), http.MethodPost, "shop", "a", 15180, "/round"); err == nil || err.Error() != "ask http://payments: status 403" {
		t.Errorf("got %v, want the pod's words", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ask(ended, http.MethodPost, "shop", "a", 15180, "/round"); err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("got %v, want that it was interrupted", err)
	}
}
