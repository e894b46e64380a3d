//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/e2e/live"
	"github.com/crossfade-dev/crossfade/e2e/load"
)

// A gateway pod goes under load, mid-way: it drains without loss, its successor gets the weight before any request.
func TestGatewayPodDeleted(t *testing.T) {
	s := begin(t, setup{Steps: []step{{40, "endless"}}})
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 40)
	pods := s.gateways()
	s.kubectl("-n", system, "delete", "pod", pods[0].Name, "--wait=true", patiently)
	s.kubectl("-n", system, "rollout", "status", "deployment/crossfade-gateway", patiently)
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
	s := begin(t, setup{Steps: []step{{20, "endless"}, {60, "2s"}}})
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
	s.ackTimeout("5s")
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
	s.rollout.Skip()
	s.await("counts the thawed gateway again", func(r live.Rollout) bool {
		p := r.Status.Proxies
		return int(p.Expected) == len(pods) && p.Acked == p.Expected && p.Connected == p.Expected
	})
	s.kubectl("-n", system, "wait", "pod/"+frozen.Name, "--for=condition=Ready", patiently)
	// Thawed, it serves what is true now.
	f = s.loadAt(fmt.Sprintf("%s:10080", frozen.Status.PodIP))
	end := time.Now().Add(2 * time.Second)
	s.until("2 s are over", func() (string, bool) { return "", time.Now().After(end) })
	if counts := f.judge(nil); counts.Versions["v2"] > 0 {
		t.Errorf("the thawed proxy still sends requests to the canary that is gone: %v", counts)
	}
}

// A gateway pod is gone at once, mid-way: what was in flight in it is lost and nothing else, and the rollout goes on
// with its successor.
func TestGatewayPodKilled(t *testing.T) {
	s := begin(t, setup{Steps: []step{{40, "endless"}}})
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 40)
	s.slowDown(100 * time.Millisecond) // so that something is in flight
	pods := s.gateways()
	envoys := processes(t, string(pods[0].UID), "/usr/local/bin/envoy")
	if len(envoys) == 0 {
		t.Fatal("found no process of Envoy to wait for")
	}
	killed := time.Now()
	s.kubectl("-n", system, "delete", "pod", pods[0].Name, "--force", "--grace-period=0")
	died := s.died(envoys[0])
	f.excused = func(r load.Sample) bool { return r.At.Before(died) && r.At.Add(r.Took).After(killed) }
	f.redoneIsFine = true
	s.kubectl("-n", system, "rollout", "status", "deployment/crossfade-gateway", patiently)
	s.rollout.Skip()
	s.await("counts all gateways", func(r live.Rollout) bool {
		p := r.Status.Proxies
		return int(p.Expected) == len(pods) && p.Acked == p.Expected && p.Connected == p.Expected
	})
	s.promote(canary)
	s.promoted(canary)
	counts := f.judge(map[string]string{canary: "v2"})
	t.Logf("in flight, and lost: %d", counts.Lost)
}

// ackTimeout changes how long proxies have to confirm.
func (s *scene) ackTimeout(limit string) {
	s.Helper()
	s.kubectl("patch", "rollout", name, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"acks":{"timeout":%q}}}`, limit))
}

// slowDown makes every pod of the application answer later.
func (s *scene) slowDown(delay time.Duration) {
	s.Helper()
	var list corev1.PodList
	if err := s.api.List(s.ctx, &list, client.InNamespace(s.Namespace), client.MatchingLabels{"app": name}); err != nil {
		s.Fatal(err)
	}
	for _, p := range list.Items {
		s.fault(p, "delay="+delay.String())
	}
}

// fault tells a pod of the application how to fail.
func (s *scene) fault(p corev1.Pod, query string) {
	s.Helper()
	answer, err := http.Post(fmt.Sprintf("http://%s:8080/fault?%s", p.Status.PodIP, query), "", nil)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		s.Fatalf("tell pod %s to fail (%s): %s", p.Name, query, answer.Status)
	}
}

// died waits until a process is gone and returns when that was.
func (s *scene) died(pid int) time.Time {
	s.Helper()
	s.until(fmt.Sprintf("process %d is gone", pid), func() (string, bool) {
		for range 100 {
			if syscall.Kill(pid, 0) != nil {
				return "", true
			}
			time.Sleep(2 * time.Millisecond)
		}
		return "it lives", false
	})
	return time.Now()
}
