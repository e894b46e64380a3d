package proxy_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// TestPoliciesUnderLoad closes pods to strangers and opens them again, under load: who
// is allowed all the time must not notice, nor his streams.
func TestPoliciesUnderLoad(t *testing.T) {
	w := newMeshWorld(t)
	load := w.load(t)
	socket, _ := w.socket(t)
	watch, err := w.calls(t).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	own := []v1alpha1.AccessRule{{From: []v1alpha1.AccessSource{{Namespace: "shop"}}}}
	few := []v1alpha1.AccessRule{{From: []v1alpha1.AccessSource{{Namespace: "shop", ServiceAccounts: []string{"other", "web"}}}}}
	for round := range 2 {
		for _, access := range []*v1alpha1.AccessPolicy{
			{Default: v1alpha1.AccessDeny, Allow: own}, {Default: v1alpha1.AccessDeny, Allow: few}, nil,
		} {
			policy := &v1alpha1.MeshPolicy{Spec: v1alpha1.MeshPolicySpec{Access: access}}
			policy.Namespace, policy.Name = "shop", "all"
			w.in.MeshPolicies = []*v1alpha1.MeshPolicy{policy}
			w.publish()
			time.Sleep(6 * time.Second) // Longer than connections have to drain.
			t.Logf("round %d: %d, %d failed", round, load.ok.Load(), load.failed.Load())
		}
	}
	load.check(t)
	if _, err := fmt.Fprintln(socket, "still here"); err != nil {
		t.Error(err)
	}
	if answer, err := line(socket); answer != "still here" {
		t.Errorf("the WebSocket says %q, %v", answer, err)
	}
	for _, state := range w.states {
		state.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	}
	if _, err := watch.Recv(); err != nil {
		t.Errorf("the stream of gRPC has ended: %v", err)
	}
}
