//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/e2e/load"
)

// meshTutorial applies what tutorials of meshes apply, without a word about Crossfade: the pods get sidecars, and what
// one Deployment says to the other cannot be read on the way. Then very many pods come at once.
func meshTutorial(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	t.Cleanup(cancel)
	s := &scene{T: t, ctx: ctx, api: connect(t), typed: typed(t), setup: setup{Namespace: "mesh-enabled"}}
	s.kubectl("delete", "namespace", s.Namespace, "--ignore-not-found", patiently)
	t.Cleanup(s.leave)
	manifest, err := manifests.ReadFile("testdata/tutorial.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.must(string(manifest), "apply", "-f", "-")
	s.kubectl("rollout", "status", "deployment/"+name, patiently)
	s.meshApps(meshApp{"web", asks("/", 40)})
	s.injected("app in (payments, web)")
	answers := s.capture(s.podOf("web"), "x-version: v1")
	c := s.asked(s.podOf("web").Name, 200)
	t.Logf("web: %v; %v", c, answers)
	if c.Lost > 0 || answers.readable.Load() > 0 || answers.packets.Load() == 0 {
		t.Errorf("every call has to be answered and none readable: %v; %v\n%s", c, answers, load.Describe(c.Failures))
	}
	s.crowd(200)
}

// crowd lets a ReplicaSet create so many pods at once: every one gets its sidecar. They are never scheduled, for what
// is tested is who injects them.
func (s *scene) crowd(pods int) {
	s.Helper()
	s.must(fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: crowd}
spec:
  replicas: %d
  selector: {matchLabels: {app: crowd}}
  template:
    metadata: {labels: {app: crowd}}
    spec:
      schedulingGates: [{name: crossfade.dev/e2e}]
      containers: [{name: crowd, image: "crossfade.local/shop:v1"}]
`, pods), "apply", "-f", "-")
	begin := time.Now()
	s.until("all pods were created", func() (string, bool) {
		var list corev1.PodList
		if err := s.api.List(s.ctx, &list, client.InNamespace(s.Namespace), client.MatchingLabels{"app": "crowd"}); err != nil {
			s.Fatal(err)
		}
		for _, p := range list.Items {
			if len(p.Spec.InitContainers) != 2 || p.Spec.InitContainers[1].Name != "crossfade-proxy" {
				s.Fatalf("pod %s was created without a sidecar", p.Name)
			}
		}
		return fmt.Sprintf("%d pods", len(list.Items)), len(list.Items) == pods
	})
	s.Logf("%d pods were created in %s", pods, time.Since(begin).Round(time.Second))
}
