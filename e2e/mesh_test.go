//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/crossfade-dev/crossfade/e2e/load"
)

// meshClient is a client in the cluster; Plain ones opt out of injection.
type meshClient struct {
	Name  string
	Plain bool
	// Query follows the path.
	Query    string
	Rate     int
	Protocol load.Protocol
}

// TestMesh are namespaces whose pods have sidecars. One at a time, and beside nothing else: a dozen Envoys that start
// side by side on two cores stall everything for longer than a connection may take, and requests are lost by that alone.
func TestMesh(t *testing.T) {
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"mesh-tutorial", meshTutorial},
		{"mesh-rollout", meshRollout},
		{"mesh-requests", meshRequests},
		{"mesh-strict", meshStrict},
		{"mesh-checks", meshChecks},
		{"mesh-policies", meshPolicies},
		{"mesh-streams", meshStreams},
		{"mesh-restart", meshRestart},
		{"mesh-sidecar-killed", meshSidecarKilled},
	} {
		t.Run(c.name, c.test)
	}
}

// A delivery between two meshed services: the sidecar of a client splits as the gateway does, both at once, and who
// has no sidecar meets stable only.
func meshRollout(t *testing.T) {
	s := begin(t, setup{Meshed: true, Steps: []step{{30, "endless"}}})
	s.injected("app=" + name)
	s.meshClients(meshClient{Name: "mesh", Rate: 40, Protocol: load.KeepAlive}, meshClient{Name: "plain", Plain: true, Rate: 40, Protocol: load.NewConnections})
	s.injected("app=client,crossfade.dev/inject!=false")
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 30)
	if p := s.rollout.Last().Object.Status.Proxies; p.Expected < 2+4+1 || p.Acked != p.Expected {
		t.Errorf("the sidecars have to count: 2 gateway pods, 4 of the application and the client, got %+v", p)
	}
	s.agree("sidecar", 4+2+1)
	s.judgeShare("mesh", "v2", 0.3)
	s.promote(canary)
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
	if c := s.countsNow("mesh"); c.Lost > 0 || c.Versions["v2"] == 0 {
		t.Errorf("the meshed client lost requests:\n%v\n%s", c, load.Describe(c.Failures))
	}
	s.judgePast("beside the mesh", s.countsNow("plain"))
	// Another one, back: what came through the mesh before must not hinder it.
	canary = s.change("v1")
	s.atWeight(canary, 30)
	s.promote(canary)
	s.promoted(canary)
	if c := s.countsNow("mesh"); c.Lost > 0 {
		t.Errorf("the meshed client lost requests in the second delivery:\n%v\n%s", c, load.Describe(c.Failures))
	}
}

// From permissive to strict and back under load: meshed clients lose nothing, plaintext is refused while it is strict.
func meshStrict(t *testing.T) {
	s := begin(t, setup{Meshed: true, Replicas: 2})
	s.meshClients(meshClient{Name: "mesh", Rate: 40, Protocol: load.KeepAlive}, meshClient{Name: "fresh", Rate: 20, Protocol: load.NewConnections},
		meshClient{Name: "plain", Plain: true, Rate: 20, Protocol: load.NewConnections})
	f := s.load()
	answers := s.capture(s.podOf(name), "x-version: v1")
	s.until("the client beside the mesh is served while permissive", func() (string, bool) {
		c := s.counts("plain")
		return fmt.Sprint(c, answers), c.Versions["v1"] > 20 && answers.readable.Load() > 0
	})
	s.must(fmt.Sprintf(`{"apiVersion": "crossfade.dev/v1alpha1", "kind": "MeshPolicy", "metadata": {"name": "strict", "namespace": %q},
		"spec": {"mtls": {"mode": "Strict"}}}`, s.Namespace), "apply", "-f", "-")
	s.refused("plain", 20)
	answers = s.capture(s.podOf(name), "x-version: v1")
	s.asked("mesh", 200)
	if answers.readable.Load() > 0 || answers.packets.Load() == 0 {
		t.Errorf("in strict mode nothing may be readable on the way: %v", answers)
	}
	// A delivery in strict mode is like any other.
	canary := s.change("v2")
	s.promoted(canary)
	if v := s.countsNow("plain").Versions["v2"]; v > 0 {
		t.Errorf("a client without a sidecar was answered %d times although mTLS is strict", v)
	}
	s.kubectl("delete", "meshpolicy", "strict")
	s.until("the client beside the mesh is served again", func() (string, bool) {
		c := s.counts("plain")
		return c.String(), c.Versions["v2"] > 20
	})
	for _, client := range []string{"mesh", "fresh"} {
		if c := s.countsNow(client); c.Lost > 0 || c.Versions["v1"] == 0 || c.Versions["v2"] == 0 {
			t.Errorf("client %s with a sidecar lost requests: %v\n%s", client, c, load.Describe(c.Failures))
		}
	}
	f.judge(nil)
}

// meshClients starts clients in the cluster and waits until they are ready.
func (s *scene) meshClients(clients ...meshClient) {
	s.Helper()
	s.must(s.manifest("meshclient.yaml", struct {
		Namespace string
		Clients   []meshClient
	}{s.Namespace, clients}), "apply", "-f", "-")
	for _, c := range clients {
		s.kubectl("wait", "pod/"+c.Name, "--for=condition=Ready", patiently)
	}
}

// injected fails unless all pods of a selector have a running sidecar.
func (s *scene) injected(selector string) {
	s.Helper()
	out := s.kubectl("get", "pods", "-l", selector, "-o", `jsonpath={range .items[*]}{.metadata.name} {.spec.initContainers[*].name} {.status.initContainerStatuses[*].started}{"\n"}{end}`)
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "crossfade-proxy") || !strings.Contains(line, "true") {
			s.Errorf("pod without a running sidecar: %s", line)
		}
	}
	if strings.TrimSpace(out) == "" {
		s.Errorf("no pods with %s", selector)
	}
}

// counts is what a client in the cluster has counted until now.
func (s *scene) counts(client string) load.Counts {
	s.Helper()
	var c load.Counts
	s.said(client, &c)
	return c
}

// said reads the last line that a client in the cluster printed; in its first second there is none.
func (s *scene) said(client string, into any) {
	s.Helper()
	// Not by kubectl: this is asked again and again, by tests that share two cores.
	line, err := s.typed.CoreV1().Pods(s.Namespace).GetLogs(client, &corev1.PodLogOptions{Container: "client", TailLines: new(int64(1))}).DoRaw(s.ctx)
	if err != nil {
		s.Fatalf("read what client %s said: %v", client, err)
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	if err := json.Unmarshal(line, into); err != nil {
		s.Fatalf("read what client %s said: %v in %q", client, err, line)
	}
}

// countsNow is what a client has counted, all that was answered until this call included: it says so once a second, and
// later when it gets no CPU.
func (s *scene) countsNow(client string) load.Counts {
	s.Helper()
	asked := time.Now()
	var c load.Counts
	s.until(fmt.Sprintf("client %s has counted", client), func() (string, bool) {
		c = s.counts(client)
		return c.String(), c.At.After(asked)
	})
	return c
}

// judgeShare compares a version's share of what a client asks from now on with the weight; the weight must hold meanwhile.
func (s *scene) judgeShare(client, version string, want float64) {
	s.Helper()
	before := s.countsNow(client)
	var since load.Counts
	s.until(fmt.Sprintf("client %s has asked 400 times", client), func() (string, bool) {
		now := s.counts(client)
		since = load.Counts{Requests: now.Requests - before.Requests, Lost: now.Lost - before.Lost, Versions: map[string]int{version: now.Versions[version] - before.Versions[version]}}
		return now.String(), since.Requests >= 400
	})
	s.Logf("client %s: %s got %.1f %% of %d (by chance ± %.1f %%)", client, version, 100*since.Share(version), since.Requests, 100*since.Tolerance(want))
	if !since.Within(version, want) {
		s.Errorf("client %s: at weight %.0f %% %s got %.1f %% of %d requests", client, 100*want, version, 100*since.Share(version), since.Requests)
	}
}

// asked waits until a client was answered so many times more, and returns what it has counted then.
func (s *scene) asked(client string, times int) load.Counts {
	s.Helper()
	before := s.countsNow(client)
	var now load.Counts
	s.until(fmt.Sprintf("client %s is answered %d times more", client, times), func() (string, bool) {
		now = s.counts(client)
		return now.String(), served(now) >= served(before)+times
	})
	return now
}

// refused waits until a client was refused so many times in a row.
func (s *scene) refused(client string, times int) {
	s.Helper()
	last := s.counts(client)
	s.until(fmt.Sprintf("client %s is refused", client), func() (string, bool) {
		now := s.counts(client)
		if served(now) != served(last) {
			last = now
		}
		return now.String(), now.Lost-last.Lost >= times
	})
}

func served(c load.Counts) int { return c.Requests - c.Lost }
