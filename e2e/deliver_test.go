//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

// TestDeliver are the deliveries that need nothing but a namespace of their own: they run side by side.
func TestDeliver(t *testing.T) {
	t.Parallel()
	u := serveUsage(t)
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		// First what waits longest.
		{"autoscaled", func(t *testing.T) { autoscaled(t, u) }},
		{"autoscaled-unready", func(t *testing.T) { autoscaledUnready(t, u) }},
		{"plugin", pluginVerbs},
		{"plugin-rollback", pluginRollback},
		{"promote", promote},
		{"rollback", rollback},
		{"adopt-and-delete", adoptAndDelete},
		{"delete-midway", deleteMidway},
		{"third-revision", thirdRevision},
		{"back-to-stable", backToStable},
		{"scale-midway", scaleMidway},
		{"kubectl", kubectlVerbs},
		{"writers", writers},
		{"many-slices", manySlices},
		{"while-promoting", whilePromoting},
		{"config-changed", configChanged},
		{"match-first", matchFirst},
		{"blue-green", blueGreenPromoted},
		{"blue-green-verify", blueGreenVerifyFails},
		{"ab-test", abTestReturns},
		{"sticky-ladder", stickyLadder},
		{"mirror-fails", mirrorFails},
		{"slow-start", slowStart},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t)
		})
	}
}

// A good version goes through its steps and is promoted by itself; nothing is restarted, nothing lost, and who
// asks the plain Service never meets the canary.
func promote(t *testing.T) {
	s := begin(t, setup{Check: true, Steps: []step{{10, "3s"}, {50, "3s"}, {80, "3s"}}})
	wrote := s.asWritten()
	s.plain()
	f := s.load()
	stable := s.rollout.Last().Object.Status.Stable.Revision
	canary := s.change("v2")
	s.atWeight(canary, 10)
	s.atWeight(canary, 100)
	pods := only(s.pods(), canary)
	if n := len(pods[canary]); n != 4 {
		t.Errorf("at the whole weight there have to be 4 canary pods, got %d", n)
	}
	s.promoted(canary)
	s.samePods("promotion", pods, s.pods())
	if out := s.kubectl("rollout", "status", "deployment/"+name, patiently); !strings.Contains(out, "successfully rolled out") {
		t.Errorf("`kubectl rollout status` after the promotion: %s", out)
	}
	if out := s.kubectl("rollout", "history", "deployment/"+name); !strings.Contains(out, "\n1 ") || !strings.Contains(out, "\n2 ") {
		t.Errorf("`kubectl rollout history` has to list revisions 1 and 2:\n%s", out)
	}
	counts := f.judge(map[string]string{canary: "v2"})
	if len(counts.Own) > 0 {
		t.Errorf("no version has a bug, but: %v", counts)
	}
	s.judgePast("in the cluster", s.plainCounts())
	s.noPods(stable)
	wrote.image = "crossfade.local/shop:v2"
	s.asFound(wrote, true)
}

// A version that answers with errors is taken back by itself; what it answered badly is all that fails.
func rollback(t *testing.T) {
	s := begin(t, setup{Check: true, Steps: []step{{30, "4s"}, {60, "4s"}}})
	f := s.load()
	s.plain()
	stable := s.rollout.Last().Object.Status.Stable.Revision
	pods := s.pods()
	canary := s.change("v3")
	s.atWeight(canary, 30)
	r := s.rolledBack("errors")
	if r.Status.Stable.Revision != stable || r.Status.Weight.Acked != 0 {
		t.Errorf("after the rollback stable has to be %s with weight 0: %v", stable, r)
	}
	counts := f.judge(map[string]string{canary: "v3"})
	if counts.Own["v1"] > 0 || counts.Own["v3"] == 0 {
		t.Errorf("errors have to come from v3 alone: %v", counts)
	}
	zero := s.zeroAt(canary)
	t.Logf("v3 answered from %s to %s before weight zero was confirmed everywhere", zero.Sub(counts.First["v3"]), zero.Sub(counts.Last["v3"]))
	if counts.Last["v3"].After(zero) {
		t.Errorf("v3 answered %s after all proxies had confirmed weight zero", counts.Last["v3"].Sub(zero))
	}
	if plain := s.plainCounts(); plain.Versions["v3"] > 0 || plain.Lost > 0 {
		t.Errorf("the client of the plain Service met the canary or lost requests: %v", plain)
	}
	s.samePods("the rollback", pods, s.pods())
	s.noPods(canary)
	// Another version can be delivered at once.
	f = s.load()
	canary = s.change("v2")
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
}

// Adoption restarts nothing, and after the Rollout's deletion all is as found.
func adoptAndDelete(t *testing.T) {
	s := stage(t, setup{})
	wrote, pods := s.asWritten(), s.pods()
	f := s.load()
	s.adopt()
	s.asFound(wrote, true)
	s.kubectl("delete", "rollout", name, patiently)
	s.asFound(wrote, false)
	s.samePods("adoption and deletion", pods, s.pods())
	f.judge(nil)
}

// A Rollout that is deleted mid-way gives back what it took: first where the template is stable's again (no pod of
// stable may be touched), then where it is not (the Deployment's own rolling update follows, without loss).
func deleteMidway(t *testing.T) {
	s := begin(t, setup{Steps: []step{{50, "endless"}}})
	s.kubectl("delete", "rollout", name, patiently)
	wrote, pods := s.asWritten(), s.pods()
	s.adopt()
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 50)
	s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:v1")
	s.kubectl("delete", "rollout", name, patiently)
	s.asFound(wrote, false)
	s.samePods("deletion mid-way", pods, s.pods())
	s.gone(canary)
	counts := f.judge(map[string]string{canary: "v2"})
	if counts.Versions["v2"] == 0 {
		t.Error("the canary never answered: nothing was tested")
	}

	s.adopt()
	f = s.load()
	canary = s.change("v2")
	s.atWeight(canary, 50)
	s.kubectl("delete", "rollout", name, patiently)
	s.kubectl("rollout", "status", "deployment/"+name, patiently)
	wrote.image = "crossfade.local/shop:v2"
	s.asFound(wrote, false)
	f.judge(nil)
}

// A third revision that arrives mid-way: traffic goes back to stable, then it starts from step 1.
func thirdRevision(t *testing.T) {
	s := begin(t, setup{Steps: []step{{20, "endless"}, {60, "2s"}}})
	f := s.load()
	second := s.change("v2")
	s.atWeight(second, 20)
	third := s.changed(func() { s.kubectl("set", "env", "deployment/"+name, "VERSION=v4") })
	changed := time.Now()
	s.atWeight(third, 20)
	s.promote(third)
	s.atWeight(third, 60)
	s.promoted(third)
	counts := f.judge(map[string]string{second: "v2", third: "v4"})
	if counts.Versions["v2"] == 0 || counts.Versions["v4"] == 0 {
		t.Errorf("each revision has to get requests: %v", counts)
	}
	if last := counts.Last["v2"]; last.After(changed) {
		t.Errorf("v2 still answered %s after the third revision was on its way", last.Sub(changed))
	}
	s.noPods(second)
}

// Who goes back to the stable template mid-way gets the canary drained, and nothing is restarted.
func backToStable(t *testing.T) {
	s := begin(t, setup{Steps: []step{{40, "endless"}}})
	wrote, pods := s.asWritten(), s.pods()
	stable := s.rollout.Last().Object.Status.Stable.Revision
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 40)
	s.rollout.SkipAll()
	s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:v1")
	r := s.await("is Healthy with the stable revision", func(r live.Rollout) bool { return r.Healthy() && r.Status.Canary.Revision == "" })
	if r.Status.Stable.Revision != stable {
		t.Errorf("stable has to be %s: %v", stable, r)
	}
	counts := f.judge(map[string]string{canary: "v2"})
	if counts.Versions["v2"] == 0 {
		t.Error("the canary never answered: nothing was tested")
	}
	s.samePods("going back", pods, s.pods())
	s.noPods(canary)
	s.asFound(wrote, true)
}

// Scaled from 4 to 8 mid-way: stable and canary follow, and the promoted Deployment has 8.
func scaleMidway(t *testing.T) {
	s := begin(t, setup{Steps: []step{{50, "endless"}}})
	f := s.load()
	stable := s.rollout.Last().Object.Status.Stable.Revision
	canary := s.change("v2")
	s.atWeight(canary, 50)
	if out, err := s.try("rollout", "status", "deployment/"+name, "--timeout=1s"); err == nil {
		t.Errorf("`kubectl rollout status` ended while the delivery was on its way: %s", out)
	}
	s.kubectl("scale", "deployment/"+name, "--replicas=8")
	s.await("has 8 stable and 4 canary pods ready", func(r live.Rollout) bool {
		return r.Status.Stable.Ready == 8 && r.Status.Canary.Ready == 4
	})
	s.promote(canary)
	s.atWeight(canary, 100)
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
	s.noPods(stable)
	if n := len(s.pods()[canary]); n != 8 {
		t.Errorf("after the promotion there have to be 8 pods of %s, got %d", canary, n)
	}
	s.until("the Deployment has 8 of 8 replicas available", func() (string, bool) {
		d := s.deployment()
		return fmt.Sprintf("%d of %d", d.Status.AvailableReplicas, *d.Spec.Replicas), *d.Spec.Replicas == 8 && d.Status.AvailableReplicas == 8
	})
}

// A single pod whose init container asks others, and which takes its time to get ready: no request comes before. Then
// the application is scaled to nothing and back.
func slowStart(t *testing.T) {
	s := begin(t, setup{Replicas: 1, Steps: []step{{50, "1s"}}})
	f := s.load()
	canary := s.changed(func() {
		s.kubectl("patch", "deployment", name, "-p", `{"spec":{"template":{"spec":{
			"initContainers":[{"name":"first","image":"crossfade.local/shop:v1","args":["load","-url=http://payments/","-requests=1"],
				"securityContext":{"allowPrivilegeEscalation":false,"readOnlyRootFilesystem":true,"capabilities":{"drop":["ALL"]}}}],
			"containers":[{"name":"payments","image":"crossfade.local/shop:v2","readinessProbe":{"initialDelaySeconds":8}}]}}}}`)
	})
	s.promoted(canary)
	if n := len(s.pods()[canary]); n != 1 {
		t.Errorf("one pod has to be left, there are %d", n)
	}
	f.judge(map[string]string{canary: "v2"})

	s.rollout.SkipAll()
	s.kubectl("scale", "deployment/"+name, "--replicas=0")
	s.await("is Healthy with nothing", func(r live.Rollout) bool { return r.Healthy() && r.Status.Stable.Replicas == 0 })
	s.noPods(canary)
	s.rollout.SkipAll()
	s.kubectl("scale", "deployment/"+name, "--replicas=1")
	s.await("is Healthy with its pod", func(r live.Rollout) bool { return r.Healthy() && r.Status.Stable.Ready == 1 })
	s.reachable()
}

// What a user types goes on working.
func kubectlVerbs(t *testing.T) {
	s := begin(t, setup{Steps: []step{{50, "2s"}}, Replicas: 2})
	f := s.load()
	// kubectl says "configured" of every HTTPRoute whose lists got defaults, in any cluster.
	for _, line := range strings.Split(s.apply("app.yaml")+s.apply("rollout.yaml"), "\n") {
		if strings.Contains(line, "configured") && !strings.HasPrefix(line, "httproute") {
			t.Errorf("applying the same manifests again changed something: %s", line)
		}
	}
	if r := s.rollout.Last().Object; r.Status.Phase != "Healthy" {
		t.Errorf("applying the same manifests again started something: %v", r)
	}
	restarted := s.changed(func() { s.kubectl("rollout", "restart", "deployment/"+name) })
	s.promoted(restarted)
	s.kubectl("rollout", "status", "deployment/"+name, patiently)
	// The manifest has no restart annotation, but kubectl's three-way merge leaves it: nothing changes.
	if out := s.apply("app.yaml"); strings.Contains(out, "deployment.apps/payments configured") {
		t.Logf("after a restart: %s", out)
	}
	s.kubectl("scale", "deployment/"+name, "--replicas=3")
	s.kubectl("rollout", "status", "deployment/"+name, patiently)
	s.await("is Healthy with 3 pods", func(r live.Rollout) bool { return r.Healthy() && r.Status.Stable.Ready == 3 })
	f.judge(nil)
	f = s.load()
	canary := s.change("v2")
	s.atWeight(canary, 50)
	s.promoted(canary)
	history := s.kubectl("rollout", "history", "deployment/"+name)
	for _, revision := range []string{"1", "2", "3"} {
		if !strings.Contains(history, "\n"+revision+" ") {
			t.Errorf("`kubectl rollout history` has no revision %s:\n%s", revision, history)
		}
	}
	undone := s.changed(func() { s.kubectl("rollout", "undo", "deployment/"+name) })
	if undone != restarted {
		t.Errorf("`kubectl rollout undo` has to deliver the revision before, %s, got %s", restarted, undone)
	}
	s.promoted(undone)
	f.judge(map[string]string{canary: "v2", undone: "v1"})
}

// Nobody breaks the hold or the pin by accident.
func writers(t *testing.T) {
	s := begin(t, setup{Steps: []step{{20, "endless"}}})
	f := s.load()
	stable := s.rollout.Last().Object.Status.Stable.Revision
	pods := s.pods()
	canary := s.change("v2")
	s.atWeight(canary, 20)
	objects := strings.Split(strings.ReplaceAll(s.render("app.yaml"), "shop:v1", "shop:v2"), "---\n")
	deployment, service := objects[1], objects[2]
	unpaused := strings.Replace(deployment, "spec:\n", "spec:\n  paused: false\n", 1)
	for _, w := range []struct {
		what  string
		stdin string
		args  []string
	}{
		{"replace of the Deployment without label and annotation", deployment, []string{"replace", "-f", "-"}},
		{"replace of the Deployment with paused: false", unpaused, []string{"replace", "-f", "-"}},
		{"apply of the Deployment with paused: false", unpaused, []string{"apply", "-f", "-"}},
		{"server-side apply with force", unpaused, []string{"apply", "--server-side", "--force-conflicts", "-f", "-"}},
		{"replace of the Service without label and key", service, []string{"replace", "-f", "-"}},
		{"apply of the Service", service, []string{"apply", "-f", "-"}},
		{"label removed", "", []string{"label", "deployment/" + name, "service/" + name, "crossfade.dev/rollout-"}},
		{"annotations removed", "", []string{"annotate", "deployment/" + name, "service/" + name, "crossfade.dev/hold-", "crossfade.dev/pin-"}},
		{"patch of paused", "", []string{"patch", "deployment", name, "--type=merge", "-p", `{"spec":{"paused":false}}`}},
		{"patch of the selector", "", []string{"patch", "service", name, "--type=merge", "-p", `{"spec":{"selector":{"pod-template-hash":null}}}`}},
		{"rollout resume", "", []string{"rollout", "resume", "deployment/" + name}},
	} {
		if out, err := s.feed(w.stdin, w.args...); err != nil {
			t.Logf("%s: refused: %s", w.what, strings.TrimSpace(out))
		}
		d := s.deployment()
		if !d.Spec.Paused || d.Annotations["crossfade.dev/hold"] == "" || d.Labels["crossfade.dev/rollout"] != name {
			t.Errorf("%s broke the hold: paused %v, labels %v, annotations %v", w.what, d.Spec.Paused, d.Labels, d.Annotations)
		}
		var v corev1.Service
		if err := s.api.Get(s.ctx, s.key(), &v); err != nil {
			t.Fatal(err)
		}
		if v.Spec.Selector["pod-template-hash"] != stable || v.Labels["crossfade.dev/rollout"] != name {
			t.Errorf("%s broke the pin: selector %v, labels %v", w.what, v.Spec.Selector, v.Labels)
		}
	}
	s.samePods("some writer", pods, s.pods())
	s.promote(canary)
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
}
