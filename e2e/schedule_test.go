//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

// TestSchedule are deliveries that wait for a time.
func TestSchedule(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"freeze":   freeze,
		"override": override,
		"window":   window,
		"mistakes": scheduleMistakes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// freezeNow creates a Freeze of the scene's namespace alone, and waits until it holds.
func (s *scene) freezeNow() {
	s.Helper()
	s.must(fmt.Sprintf(`
apiVersion: crossfade.dev/v1alpha1
kind: Freeze
metadata: {name: %[1]s}
spec:
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
  from: %[2]q
  reason: the shop's birthday
`, s.Namespace, time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)), "apply", "-f", "-")
	s.Cleanup(func() { _, _ = s.try("delete", "freeze", s.Namespace, "--ignore-not-found", "--wait=false") })
	s.kubectl("wait", "freeze/"+s.Namespace, "--for=condition=Active", patiently)
}

func (s *scene) thaw() {
	s.Helper()
	s.kubectl("delete", "freeze", s.Namespace, patiently)
}

// A Freeze holds the start, and later the promotion; what goes back to stable it does not hold.
func freeze(t *testing.T) {
	s := begin(t, setup{Steps: []step{{30, "endless"}}})
	frozen := func(r live.Rollout) bool {
		return r.Status.Phase == "Paused" && strings.HasPrefix(r.Status.WaitingFor, "freeze "+s.Namespace) && strings.Contains(r.Status.Message, "the shop's birthday")
	}
	stable, pods := s.rollout.Last().Object.Status.Stable.Revision, s.pods()
	f := s.load()
	s.freezeNow()
	s.rollout.SkipAll()
	s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:v2")
	r := s.await("waits for the Freeze", frozen)
	if r.Status.Canary.Revision != "" || r.Condition("Ready").Reason != "Closed" {
		t.Errorf("no canary may have started, and the reason has to be Closed: %v", r)
	}
	if out := s.kubectl("get", "rollouts"); !strings.Contains(out, "WAITS") || !strings.Contains(out, "freeze "+s.Namespace) {
		t.Errorf("`kubectl get rollouts` has to show what is waited for:\n%s", out)
	}
	if out := s.kubectl("get", "freezes"); !strings.Contains(out, "kubernetes.io/metadata.name="+s.Namespace) || !strings.Contains(out, "birthday") {
		t.Errorf("`kubectl get freezes` has to show whom it holds and why:\n%s", out)
	}
	s.samePods("a frozen delivery", pods, s.pods())

	s.rollout.SkipAll()
	s.thaw()
	r = s.await("has a canary", func(r live.Rollout) bool { return r.Status.Canary.Revision != "" })
	canary := r.Status.Canary.Revision
	s.freezeNow()
	s.atWeight(canary, 30) // A step that has begun is finished.
	s.promote(canary)
	s.await("waits for the Freeze before the promotion", frozen)

	s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:v1")
	r = s.await("is back at stable in spite of the Freeze", func(r live.Rollout) bool { return r.Healthy() && r.Status.Canary.Revision == "" })
	if r.Status.Stable.Revision != stable {
		t.Errorf("stable has to be %s: %v", stable, r)
	}
	counts := f.judge(map[string]string{canary: "v2"})
	if counts.Versions["v2"] == 0 {
		t.Error("the canary never answered: nothing was tested")
	}
	s.samePods("going back", pods, s.pods())
}

// Somebody lets one revision past a Freeze; that is recorded, and the next one waits again.
func override(t *testing.T) {
	s := begin(t, setup{Steps: []step{{50, "1s"}}})
	f := s.load()
	s.freezeNow()
	s.rollout.SkipAll()
	s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:v2")
	waits := func(r live.Rollout) bool { return strings.HasPrefix(r.Status.WaitingFor, "freeze ") }
	r := s.await("waits for the Freeze", waits)
	canary := strings.Fields(r.Status.Message)[1] // "revision X waits for ..."
	s.must(fmt.Sprintf(`
apiVersion: crossfade.dev/v1alpha1
kind: RolloutAction
metadata: {generateName: payments-, namespace: %s}
spec: {rollout: payments, action: Override, revision: %s, reason: it mends the checkout}
`, s.Namespace, canary), "create", "-f", "-")
	s.promoted(canary)
	if out := s.kubectl("get", "freeze", s.Namespace, "-o", `jsonpath={.status.conditions[?(@.type=="Active")].status}`); out != "True" {
		t.Errorf("the Freeze has to hold still, Active is %q", out)
	}
	s.rollout.SkipAll()
	s.kubectl("set", "env", "deployment/"+name, "VERSION=v4")
	s.await("waits again: the override was for the other revision", waits)
	if counts := f.judge(map[string]string{canary: "v2"}); counts.Versions["v4"] > 0 {
		t.Errorf("the frozen revision answered: %v", counts)
	}
	// A window that opens in half a year is no different, nor is the plugin.
	f = s.load()
	s.kubectl("patch", "rollout", name, "--type=merge", "-p",
		fmt.Sprintf(`{"spec":{"schedule":{"allow":[{"cron":"0 0 1 %d *","duration":"1h"}]}}}`, time.Now().AddDate(0, 6, -15).Month()))
	s.thaw()
	r = s.await("waits for the window", func(r live.Rollout) bool { return strings.HasPrefix(r.Status.WaitingFor, "window until ") })
	next := strings.Fields(r.Status.Message)[1]
	s.cli(0, "applied", "override", name, "--reason", "it mends what mends the checkout")
	s.promoted(next)
	f.judge(map[string]string{next: "v4"})
}

// A window that opens at the next full minute: not a second earlier does the canary start.
func window(t *testing.T) {
	s := begin(t, setup{Steps: []step{{50, "1s"}}})
	f := s.load()
	opens := time.Now().UTC().Add(20 * time.Second).Truncate(time.Minute).Add(time.Minute)
	s.kubectl("patch", "rollout", name, "--type=merge", "-p", fmt.Sprintf(
		`{"spec":{"schedule":{"timeZone":"Asia/Kolkata","allow":[{"cron":"%d %d * * *","duration":"30m","timeZone":"UTC"}]}}}`, opens.Minute(), opens.Hour()))
	s.rollout.SkipAll()
	s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:v2")
	if r := s.await("waits for the window", func(r live.Rollout) bool { return r.Status.WaitingFor != "" }); r.Status.WaitingFor != "window until "+opens.Format("2006-01-02 15:04Z") ||
		!strings.Contains(r.Status.Message, "opens "+opens.Format("2006-01-02 15:04 UTC")) {
		t.Errorf("it has to wait until %s: %q, %v", opens, r.Status.WaitingFor, r)
	}
	r := s.awaitFor(time.Until(opens)+patience, "has a canary", func(r live.Rollout) bool { return r.Status.Canary.Revision != "" })
	if now := time.Now(); now.Before(opens) {
		t.Errorf("it started at %s, the window opened at %s", now.UTC(), opens)
	}
	canary := r.Status.Canary.Revision
	s.promoted(canary)
	if counts := f.judge(map[string]string{canary: "v2"}); counts.First["v2"].Before(opens) {
		t.Errorf("v2 answered %s before the window opened", opens.Sub(counts.First["v2"]))
	}
}

// What cannot be understood gets a sentence, and nothing moves until it is mended.
func scheduleMistakes(t *testing.T) {
	s := begin(t, setup{Steps: []step{{50, "1s"}}})
	f := s.load()
	schedule := func(what, json string) {
		s.rollout.SkipAll()
		s.kubectl("patch", "rollout", name, "--type=merge", "-p", `{"spec":{"schedule":`+json+`}}`)
		if what == "" {
			return
		}
		s.await("is refused: "+what, func(r live.Rollout) bool {
			c := r.Condition("Ready")
			return c.Status == "False" && c.Reason == "InvalidSchedule" && strings.Contains(c.Message, what)
		})
	}
	schedule("never fires", `{"allow":[{"cron":"0 9 30 2 *","duration":"1h"}]}`)
	schedule(`"Europe/Berlim" is unknown`, `{"timeZone":"Europe/Berlim","allow":[{"cron":"0 9 * * *","duration":"1h"}]}`)
	s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:v2")
	s.await("is held and moves nothing", func(r live.Rollout) bool {
		return r.Condition("Ready").Reason == "InvalidSchedule" && s.deployment().Annotations["crossfade.dev/hold"] != ""
	})
	s.cli(6, "Europe/Berlim", "wait", name, "--timeout", "3m")
	s.must(fmt.Sprintf(`
apiVersion: crossfade.dev/v1alpha1
kind: Freeze
metadata: {name: %[1]s}
spec:
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
  cron: 0 9 31 6 *
  duration: 1h
  reason: nobody understands this one
`, s.Namespace), "apply", "-f", "-")
	t.Cleanup(func() { _, _ = s.try("delete", "freeze", s.Namespace, "--ignore-not-found", "--wait=false") })
	s.kubectl("wait", "freeze/"+s.Namespace, "--for=condition=Ready=False", patiently)
	schedule("", "null")
	s.await("waits for somebody to mend the Freeze", func(r live.Rollout) bool {
		return strings.Contains(r.Status.Message, "cannot be understood") && r.Status.Canary.Revision == ""
	})
	s.rollout.SkipAll()
	s.kubectl("patch", "freeze", s.Namespace, "--type=merge", "-p", `{"spec":{"namespaceSelector":{"matchLabels":{"frozen":"yes"}}}}`)
	r := s.await("goes on: the Freeze selects it no more", func(r live.Rollout) bool { return r.Status.Canary.Revision != "" })
	canary := r.Status.Canary.Revision
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
}
