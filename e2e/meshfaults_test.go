//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/e2e/live"
	"github.com/crossfade-dev/crossfade/e2e/load"
)

// meshApp is a client that is a Deployment with a ServiceAccount of its own.
type meshApp struct {
	Name string
	Args string
}

// meshApps starts them and waits until they are ready.
func (s *scene) meshApps(apps ...meshApp) {
	s.Helper()
	s.must(s.manifest("meshapp.yaml", struct {
		Namespace string
		Clients   []meshApp
	}{s.Namespace, apps}), "apply", "-f", "-")
	for _, a := range apps {
		s.kubectl("rollout", "status", "deployment/"+a.Name, patiently)
	}
}

// asks are the arguments of a client in the mesh that sends requests.
func asks(path string, rate int) string {
	return fmt.Sprintf("load, -url=http://$(PAYMENTS_SERVICE_HOST)%s, -rate=%d", path, rate)
}

// podOf is a pod of a Deployment that stays, and of a revision if one is given.
func (s *scene) podOf(app string, revision ...string) corev1.Pod {
	s.Helper()
	var list corev1.PodList
	labels := client.MatchingLabels{"app": app}
	for _, r := range revision {
		labels["pod-template-hash"] = r
	}
	if err := s.api.List(s.ctx, &list, client.InNamespace(s.Namespace), labels); err != nil {
		s.Fatal(err)
	}
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			return p
		}
	}
	s.Fatalf("no pod of %s", app)
	return corev1.Pod{}
}

// countsOf is what the client of a Deployment has counted until now.
func (s *scene) countsOf(app string) load.Counts {
	s.Helper()
	return s.counts(s.podOf(app).Name)
}

// countsOfNow is that with all that was answered until this call.
func (s *scene) countsOfNow(app string) load.Counts {
	s.Helper()
	return s.countsNow(s.podOf(app).Name)
}

// statuses of the answers that a client has not got from a version.
func statuses(c load.Counts) map[int]int {
	out := map[int]int{}
	for _, f := range c.Failures {
		out[f.Status]++
	}
	return out
}

// Policies hold for real applications: who may call is known by his ServiceAccount, a slow answer ends in time, and a
// pod that fails is asked no second time.
func meshPolicies(t *testing.T) {
	s := stage(t, setup{Meshed: true, Replicas: 3})
	policy := func(name, spec string) {
		s.must(fmt.Sprintf(`{"apiVersion": "crossfade.dev/v1alpha1", "kind": "MeshPolicy", "metadata": {"name": %q, "namespace": %q},
			"spec": {"targetRefs": [{"kind": "Service", "name": "payments"}], %s}}`, name, s.Namespace, spec), "apply", "-f", "-")
		s.kubectl("wait", "meshpolicy/"+name, "--for=condition=Programmed", patiently)
	}
	policy("access", fmt.Sprintf(`"access": {"default": "Deny", "allow": [{"from": [{"namespace": %q, "serviceAccounts": ["front"]}], "methods": ["GET"], "paths": ["/api/*"]},
		{"methods": ["POST"], "paths": ["/fault"]}]}`, s.Namespace))
	s.meshApps(meshApp{"front", asks("/api/", 20)}, meshApp{"other", asks("/api/", 10)}, meshApp{"astray", asks("/admin", 10)})
	// Of the right account, and at another path.
	s.kubectl("set", "serviceaccount", "deployment/astray", "front")
	s.kubectl("rollout", "status", "deployment/astray", patiently)
	for _, app := range []string{"other", "astray"} {
		s.until(app+" is refused", func() (string, bool) {
			c := s.countsOf(app)
			return c.String(), statuses(c)[403] > 20 && c.Requests-c.Lost == 0 && statuses(c)[403] == len(c.Failures)
		})
	}
	s.until("what was refused is in the log", func() (string, bool) {
		out := s.kubectl("logs", s.podOf(name).Name, "-c", "crossfade-proxy", "--tail=400")
		return "", strings.Contains(out, "rbac_access_denied") && strings.Contains(out, "/sa/other")
	})

	// One of three pods answers every request with a 500.
	s.fault(s.podOf(name), "errors=1")
	before := s.countsOf("front")
	s.until("the failing pod is noticed", func() (string, bool) {
		c := s.countsOf("front")
		return c.String(), c.Own["v1"] > before.Own["v1"]+5
	})
	policy("retries", `"retries": {"attempts": 2, "on": ["5xx"]}`)
	more := func(n int) load.Counts {
		t.Helper()
		old := s.countsOfNow("front").Requests
		s.until(fmt.Sprintf("front has asked %d times more", n), func() (string, bool) {
			c := s.countsOf("front")
			return c.String(), c.Requests > old+n
		})
		return s.countsOf("front")
	}
	before = more(20) // Those on their way may have begun before the policy.
	after := more(200)
	if errors := after.Own["v1"] - before.Own["v1"]; errors > 0 {
		t.Errorf("with retries %d of %d requests met the failing pod: %v", errors, after.Requests-before.Requests, after)
	}
	s.fault(s.podOf(name), "errors=0")
	if after.Lost > 0 {
		t.Errorf("front lost requests that it may send:\n%v\n%s", after, load.Describe(after.Failures))
	}

	policy("timeouts", `"timeouts": {"request": "200ms"}`)
	// Not so slow that a default time-out, 15 s in Envoy, would end them.
	s.slowDown(5 * time.Second)
	s.until("slow answers end in time", func() (string, bool) {
		c := s.countsOf("front")
		return c.String(), statuses(c)[504] > 20
	})
}

// Long conversations outlive each weight of a rollout: they end only with the pod that they are held with.
func meshStreams(t *testing.T) {
	s := begin(t, setup{Meshed: true, Replicas: 2, Steps: []step{{30, "4s"}, {70, "4s"}}})
	s.meshApps(meshApp{"sockets", "talk, -kind=websocket, -to=$(PAYMENTS_SERVICE_HOST):80"}, meshApp{"calls", "talk, -kind=grpc, -to=$(PAYMENTS_SERVICE_HOST):81"})
	var outside []*load.Talks
	for _, kind := range []load.Kind{load.WebSocket, load.GRPC} {
		talks, err := load.StartTalks(s.ctx, kind, s.gateway+":80", s.Namespace+".example", 4)
		if err != nil {
			t.Fatal(err)
		}
		outside = append(outside, talks)
	}
	canary := s.change("v2")
	s.promoted(canary)
	s.until("all talk with v2", func() (string, bool) {
		open := map[string]int{}
		for _, talk := range s.talks(outside) {
			if talk.Ended.IsZero() {
				open[fmt.Sprintf("%s with %q", talk.Kind, talk.Version)]++
			}
		}
		return fmt.Sprint(open), open[`websocket with "v2"`] == 8 && open[`grpc with "v2"`] == 8
	})
	moved := s.notBefore(func(r live.Rollout) bool { return r.Status.Phase == "Promoting" })
	ended := 0
	for _, talk := range s.talks(outside) {
		switch {
		case talk.Ended.IsZero():
		case talk.Version == "v1" && talk.Ended.After(moved):
			ended++
		default:
			t.Errorf("a conversation broke though its pod stayed: %+v", talk)
		}
	}
	t.Logf("%d conversations with stable's pods ended when these did", ended)
	if ended == 0 {
		t.Error("no conversation with stable's pods ended: nothing was tested")
	}
}

// talks are all conversations until now, those of the clients in the cluster and those from outside.
func (s *scene) talks(outside []*load.Talks) []load.Talk {
	s.Helper()
	var all []load.Talk
	for _, o := range outside {
		all = append(all, o.Now()...)
	}
	for _, app := range []string{"sockets", "calls"} {
		var talks []load.Talk
		s.said(s.podOf(app).Name, &talks)
		all = append(all, talks...)
	}
	return all
}

// Server and client are restarted one pod after the other under load, without a Rollout: not one request is lost, in
// strict mode either. A client's last ones are sent while its pod stops.
func meshRestart(t *testing.T) {
	s := stage(t, setup{Meshed: true, Replicas: 3})
	s.must(fmt.Sprintf(`{"apiVersion": "crossfade.dev/v1alpha1", "kind": "MeshPolicy", "metadata": {"name": "strict", "namespace": %q},
		"spec": {"mtls": {"mode": "Strict"}}}`, s.Namespace), "apply", "-f", "-")
	s.kubectl("wait", "meshpolicy/strict", "--for=condition=Programmed", patiently)
	f := s.load()
	f.redoneIsFine = true
	s.meshApps(meshApp{"steady", asks("/", 40)}, meshApp{"restless", asks("/", 40)})
	first := s.toTheEnd(s.podOf("restless").Name)
	s.kubectl("rollout", "restart", "deployment/"+name)
	s.kubectl("rollout", "restart", "deployment/restless")
	s.kubectl("rollout", "status", "deployment/"+name, patiently)
	s.kubectl("rollout", "status", "deployment/restless", patiently)
	for app, counts := range map[string]load.Counts{"steady": s.countsOfNow("steady"), "restless, before": first(), "restless, after": s.countsOfNow("restless")} {
		t.Logf("%s: %v", app, counts)
		if counts.Lost > 0 || counts.Requests == 0 {
			t.Errorf("%s lost requests: %v\n%s", app, counts, load.Describe(counts.Failures))
		}
	}
	f.judge(nil)
}

// toTheEnd follows what a client counts until its container ends.
func (s *scene) toTheEnd(pod string) func() load.Counts {
	var last string
	var done sync.WaitGroup
	done.Go(func() {
		out, err := s.try("logs", "-f", pod, "-c", "client")
		if err != nil {
			s.Errorf("follow %s: %v", pod, err)
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		last = lines[len(lines)-1]
	})
	return func() load.Counts {
		s.Helper()
		done.Wait()
		var c load.Counts
		if err := json.Unmarshal([]byte(last), &c); err != nil {
			s.Fatalf("read what %s counted in the end: %v in %q", pod, err, last)
		}
		return c
	}
}

// A sidecar's Envoy dies: its agent starts another one, what was in flight is lost and nothing else, and the pod stays.
func meshSidecarKilled(t *testing.T) {
	s := stage(t, setup{Meshed: true, Replicas: 2})
	s.meshApps(meshApp{"front", asks("/", 40)})
	pod := s.podOf(name)
	envoys := processes(t, string(pod.UID), "/usr/local/bin/envoy")
	if len(envoys) != 1 {
		t.Fatalf("want one Envoy in the pod, found %v", envoys)
	}
	killed := time.Now()
	if err := syscall.Kill(envoys[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	died := s.died(envoys[0])
	s.until("another Envoy runs in the pod", func() (string, bool) {
		now := processes(t, string(pod.UID), "/usr/local/bin/envoy")
		return fmt.Sprint(now), len(now) == 1 && now[0] != envoys[0]
	})
	s.until("the pod answers again", func() (string, bool) {
		var answers int
		c := s.countsOf("front")
		for _, n := range c.Versions {
			answers += n
		}
		again := s.podOf(name)
		return c.String(), answers > 200 && again.UID == pod.UID && ready(again)
	})
	c := s.countsOfNow("front")
	t.Logf("front: %v", c)
	// It has connections to two pods; what was on its way in one may be lost, what came after is sent to the other.
	lost := slices.DeleteFunc(c.Failures, func(r load.Sample) bool { return r.At.Before(died) && r.At.Add(r.Took).After(killed) })
	if len(lost) > 0 || c.Lost > len(c.Failures) {
		t.Errorf("%d requests were lost, more than what was on its way:\n%s", c.Lost, load.Describe(lost))
	}
}

func ready(p corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// away is how long the controller is away: longer than its lease and each clock of a rollout. Five minutes
// were tried by hand.
const away = 45 * time.Second

// TestMeshControllerAway takes the controller away for a while. What the proxies know goes on: requests, connections,
// certificates. When it is back it goes on, too; and then the mesh gets another root, while old and new certificates
// meet.
func TestMeshControllerAway(t *testing.T) {
	s := begin(t, setup{Meshed: true, Replicas: 2, Steps: []step{{30, "endless"}}})
	s.meshApps(meshApp{"front", asks("/", 40)})
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 30)
	back := func() {
		s.kubectl("-n", system, "scale", "deployment/crossfade-controller", "--replicas=1")
		s.kubectl("-n", system, "rollout", "status", "deployment/crossfade-controller", patiently)
	}
	t.Cleanup(back)
	s.kubectl("-n", system, "scale", "deployment/crossfade-controller", "--replicas=0")
	s.kubectl("-n", system, "wait", "pod", "-l", "app.kubernetes.io/name=crossfade-controller", "--for=delete", patiently)
	s.quickTrust()
	time.Sleep(away)
	if c := s.countsOfNow("front"); c.Lost > 0 || c.Versions["v2"] == 0 {
		t.Errorf("without a controller requests in the mesh were lost: %v\n%s", c, load.Describe(c.Failures))
	}
	back()
	s.promote(canary)
	s.promoted(canary)
	if c := s.countsOfNow("front"); c.Lost > 0 {
		t.Errorf("when the controller came back requests were lost: %v\n%s", c, load.Describe(c.Failures))
	}
	root := s.replaceRoot()
	again := s.change("v1")
	s.atWeight(again, 30)
	s.signedBy(root, s.podOf(name, again))
	first := s.toTheEnd(s.podOf("front").Name)
	s.kubectl("rollout", "restart", "deployment/front")
	s.kubectl("rollout", "status", "deployment/front", patiently)
	s.signedBy(root, s.podOf("front"))
	s.asked(s.podOf("front").Name, 200)
	s.promote(again)
	s.promoted(again)
	for when, c := range map[string]load.Counts{"before": first(), "after": s.countsOfNow("front")} {
		if t.Logf("front, %s: %v", when, c); c.Lost > 0 || c.Versions["v2"] == 0 || c.Versions["v1"] == 0 {
			t.Errorf("%s the client's own certificate was of the new root requests were lost: %v\n%s", when, c, load.Describe(c.Failures))
		}
	}
	f.judge(map[string]string{canary: "v2", again: "v1"})
}
