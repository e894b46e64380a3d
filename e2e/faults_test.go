//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

// The tests of this file break parts that all namespaces share, so they run one after the other.

// Prometheus is away mid-way: the rollout holds its weight, neither promoted nor rolled back; when Prometheus is
// back it goes on by itself.
func TestPrometheusAway(t *testing.T) {
	s := begin(t, setup{Check: true, Steps: []step{{30, "4s"}, {60, "1s"}}})
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 30)
	s.kubectl("-n", "crossfade-monitoring", "scale", "deployment/prometheus", "--replicas=0")
	t.Cleanup(func() {
		s.kubectl("-n", "crossfade-monitoring", "scale", "deployment/prometheus", "--replicas=1")
		s.kubectl("-n", "crossfade-monitoring", "rollout", "status", "deployment/prometheus", "--timeout=60s")
	})
	s.kubectl("-n", "crossfade-monitoring", "wait", "pod", "--all", "--for=delete", "--timeout=60s")
	away := s.await("says that there is no verdict", func(r live.Rollout) bool {
		return len(r.Status.Checks) == 1 && r.Status.Checks[0].Verdict == "NoVerdict"
	})
	t.Logf("while Prometheus is away: %v; check: %+v", away, away.Status.Checks)
	// More than the rest of the step's pause, and several measurements.
	hold := time.Now().Add(10 * time.Second)
	s.until("10 s are over", func() (string, bool) { return "", time.Now().After(hold) })
	if r := s.rollout.Last().Object; r.Status.Weight.Desired != 30 || r.Status.Canary.Revision != canary || r.Status.Phase == "RollingBack" {
		t.Errorf("without verdicts the rollout has to hold at weight 30: %v", r)
	}
	s.kubectl("-n", "crossfade-monitoring", "scale", "deployment/prometheus", "--replicas=1")
	s.atWeight(canary, 60)
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
}

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

// processes finds a pod's processes on this machine by their program. The pod's UID is in their cgroup's name.
func processes(t *testing.T, uid, program string) []int {
	t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, folder := range folders {
		// A process may end while it is looked at.
		group, err := os.ReadFile(filepath.Join(folder, "cgroup"))
		if err != nil || !bytes.Contains(group, []byte(uid)) {
			continue
		}
		command, err := os.ReadFile(filepath.Join(folder, "cmdline"))
		if err != nil || !strings.HasPrefix(string(command), program) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(folder)); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// gateways are the gateway's ready pods.
func (s *scene) gateways() []corev1.Pod {
	s.Helper()
	var list corev1.PodList
	if err := s.api.List(s.ctx, &list, client.InNamespace(system), client.MatchingLabels{"crossfade.dev/proxy": "gateway"}); err != nil {
		s.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

// A gateway pod goes under load, mid-way: it drains without loss, its successor gets the weight before any request.
func TestGatewayPodDeleted(t *testing.T) {
	s := begin(t, setup{Steps: []step{{40, "endless"}}})
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 40)
	pods := s.gateways()
	s.kubectl("-n", system, "delete", "pod", pods[0].Name, "--wait=true", "--timeout=120s")
	s.kubectl("-n", system, "rollout", "status", "deployment/crossfade-gateway", "--timeout=60s")
	s.rollout.Skip()
	s.await("counts all gateways", func(r live.Rollout) bool {
		p := r.Status.Proxies
		return int(p.Expected) == len(pods) && p.Acked == p.Expected && p.Connected == p.Expected
	})
	s.promote(canary)
	s.promoted(canary)
	f.redoneIsFine = true // an idle connection that a proxy closes while it drains is asked anew by any client
	f.judge(map[string]string{canary: "v2"})
}

// One Envoy is frozen: it confirms nothing, so the step does not count and the deadline takes the canary back.
// Who goes through the other gateway loses nothing.
func TestFrozenEnvoy(t *testing.T) {
	s := begin(t, setup{Steps: []step{{20, "endless"}, {60, "2s"}}, AckTimeout: "5s"})
	pods := s.gateways()
	if len(pods) < 2 {
		t.Fatalf("two gateways are needed, there are %d", len(pods))
	}
	frozen, other := pods[0], pods[1]
	f := s.loadAt(fmt.Sprintf("%s:10080", other.Status.PodIP))
	canary := s.change("v2")
	s.atWeight(canary, 20)
	envoys := processes(t, string(frozen.UID), "/usr/local/bin/envoy")
	if len(envoys) == 0 {
		t.Fatal("found no process of Envoy to freeze")
	}
	signal := func(what syscall.Signal) {
		for _, pid := range envoys {
			if err := syscall.Kill(pid, what); err != nil {
				t.Errorf("send %v to Envoy (process %d): %v", what, pid, err)
			}
		}
	}
	signal(syscall.SIGSTOP)
	thaw := true
	t.Cleanup(func() {
		if thaw {
			signal(syscall.SIGCONT)
		}
	})
	s.promote(canary)
	s.rolledBack("no confirmation within 5s")
	for _, state := range s.rollout.States() {
		if w := state.Object.Status.Weight; w.Acked > 20 {
			t.Errorf("a step counted that a frozen proxy had not confirmed: %v", state.Object)
			break
		}
	}
	f.judge(map[string]string{canary: "v2"})
	signal(syscall.SIGCONT)
	thaw = false
	s.kubectl("-n", system, "wait", "pod/"+frozen.Name, "--for=condition=Ready", "--timeout=60s")
	// Thawed, it serves what is true now.
	f = s.loadAt(fmt.Sprintf("%s:10080", frozen.Status.PodIP))
	end := time.Now().Add(2 * time.Second)
	s.until("2 s are over", func() (string, bool) { return "", time.Now().After(end) })
	if counts := f.judge(nil); counts.Versions["v2"] > 0 {
		t.Errorf("the thawed proxy still sends requests to the canary that is gone: %v", counts)
	}
}
