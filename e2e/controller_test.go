//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
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
	s.pause("{}")
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
	var pod corev1.Pod
	// The one before may have gone through two stages before the first was seen: then its successor is waited for.
	s.until("a process of the controller runs", func() (string, bool) {
		var list corev1.PodList
		if err := s.api.List(s.ctx, &list, client.InNamespace(system), client.MatchingLabels{"app.kubernetes.io/name": "crossfade-controller"}); err != nil {
			s.Fatal(err)
		}
		for _, p := range list.Items {
			for _, pid := range processes(s.T, string(p.UID), "/crossfade") {
				if err := syscall.Kill(pid, syscall.SIGKILL); err == nil {
					pod = p
				}
			}
		}
		return fmt.Sprintf("%d pods", len(list.Items)), pod.Name != ""
	})
	s.kubectl("-n", system, "delete", "pod", pod.Name, "--force", "--grace-period=0")
	// Nobody has the lease any more. That its end is waited for is what TestLeaderKilled sees.
	s.kubectl("-n", system, "delete", "lease", "crossfade-controller", "--ignore-not-found")
	s.Logf("killed the controller in stage %s", stage)
}

// The leader of two controllers dies mid-way. Another process takes over when the lease is over; no weight moves
// meanwhile, and the delivery goes on to its end.
func TestLeaderKilled(t *testing.T) {
	s := begin(t, setup{Steps: []step{{30, "endless"}, {60, "2s"}}})
	replicas := func(n string) {
		s.kubectl("-n", system, "scale", "deployment/crossfade-controller", "--replicas="+n)
		s.kubectl("-n", system, "rollout", "status", "deployment/crossfade-controller", patiently)
	}
	t.Cleanup(func() { replicas("1") })
	replicas("2")
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 30)
	holder, leader := s.holder(), s.leader()
	killed := time.Now()
	for _, pid := range processes(t, string(leader.UID), "/crossfade") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill the leader (process %d): %v", pid, err)
		}
	}
	// The kubelet restarts the dead one at once, and either of the two may take the lease when it is over.
	s.until("another process leads", func() (string, bool) {
		now := s.holder()
		return now, now != "" && now != holder
	})
	t.Logf("%s took over from %s after %s", s.leader().Name, leader.Name, time.Since(killed).Round(time.Second))
	s.promote(canary)
	s.atWeight(canary, 60)
	took := time.Since(killed).Round(time.Second)
	t.Logf("the next weight was confirmed by all %s after the leader's death", took)
	s.promoted(canary)
	for _, state := range s.rollout.States() {
		w := state.Object.Status.Weight
		if state.At.After(killed) && state.Object.Status.Canary.Revision == canary && (w.Desired < 30 || w.Effective < 30) {
			t.Errorf("a weight moved back when another controller took over: %v", state.Object)
			break
		}
	}
	f.judge(map[string]string{canary: "v2"})
}

// holder is the process that has the lease: <pod>_<random>.
func (s *scene) holder() string {
	s.Helper()
	return s.kubectl("-n", system, "get", "lease", "crossfade-controller", "-o", "jsonpath={.spec.holderIdentity}")
}

// leader is the pod of that process.
func (s *scene) leader() corev1.Pod {
	s.Helper()
	pod, _, _ := strings.Cut(s.holder(), "_")
	var p corev1.Pod
	if err := s.api.Get(s.ctx, types.NamespacedName{Namespace: system, Name: pod}, &p); err != nil {
		s.Fatalf("get the leader %q: %v", pod, err)
	}
	return p
}
