//go:build e2e

package e2e

import (
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

// The controller dies without a word in each stage of a delivery, and of a rollback. Its successor goes on from
// there; no request is lost, no weight jumps.
func TestControllerKilled(t *testing.T) {
	s := begin(t, setup{Steps: []step{{30, "4s"}, {60, "4s"}}})
	f := s.load()
	s.rollout.SkipAll()
	s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:v2")
	for _, stage := range []string{"Preparing", "Stepping", "Pinning", "HandingOver", "Warm", "Restoring"} {
		s.await("is "+stage, func(r live.Rollout) bool { return r.Status.Record.Stage == stage })
		s.killController(stage)
	}
	r := s.await("is promoted", func(r live.Rollout) bool { return r.Healthy() && r.Status.Record.Stage == "Healthy" })
	canary := r.Status.Stable.Revision
	counts := f.judge(map[string]string{canary: "v2"})
	if counts.Versions["v2"] == 0 || len(s.pods()[canary]) != 4 {
		t.Errorf("v2 has to be promoted with 4 pods: %v, %v", counts, s.pods())
	}

	f = s.load()
	canary = s.change("v1")
	s.atWeight(canary, 30)
	s.rollout.SkipAll()
	s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:v2")
	s.await("is Retreating", func(r live.Rollout) bool { return r.Status.Record.Stage == "Retreating" })
	s.killController("Retreating")
	s.await("is Healthy again", func(r live.Rollout) bool { return r.Healthy() && r.Status.Canary.Revision == "" })
	f.judge(map[string]string{canary: "v1"})
}

// killController kills its process with SIGKILL, at once; the pod goes with it so that its successor need not wait
// for the kubelet's back-off.
func (s *scene) killController(stage string) {
	s.Helper()
	var list corev1.PodList
	if err := s.api.List(s.ctx, &list, client.InNamespace(system), client.MatchingLabels{"app.kubernetes.io/name": "crossfade-controller"}); err != nil {
		s.Fatal(err)
	}
	killed := 0
	for _, p := range list.Items {
		for _, pid := range processes(s.T, string(p.UID), "/crossfade") {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				s.Fatalf("kill the controller (process %d): %v", pid, err)
			}
			killed++
		}
		s.kubectl("-n", system, "delete", "pod", p.Name, "--force", "--grace-period=0")
	}
	if killed == 0 {
		s.Fatalf("found no process of the controller to kill in stage %s", stage)
	}
	s.Logf("killed the controller in stage %s", stage)
}
