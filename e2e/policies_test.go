//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

// Without the admission policies the controller keeps Deployments paused itself, and says so; with them again it
// lets go.
func TestPoliciesRemoved(t *testing.T) {
	s := begin(t, setup{Steps: []step{{50, "2s"}}})
	if r := s.rollout.Last().Object; r.Condition("Held").Status != "True" {
		t.Errorf("with the policies the condition Held has to be True: %v", r)
	}
	f := s.load()
	s.rollout.SkipAll()
	s.policies("delete", "--ignore-not-found")
	back := func() {
		t.Helper()
		s.policies("apply", "--server-side", "--force-conflicts")
	}
	t.Cleanup(back)
	s.await("says that the policies are away", func(r live.Rollout) bool { return r.Condition("Held").Status == "False" })
	s.until("the Deployment is paused", func() (string, bool) { d := s.deployment(); return d.Name, d.Spec.Paused })
	canary := s.change("v2")
	s.atWeight(canary, 50)
	s.promoted(canary)
	if !s.deployment().Spec.Paused {
		t.Error("without the policies the Deployment has to stay paused, or the next template would start by itself")
	}
	s.rollout.SkipAll()
	back()
	s.await("says that the policies work", func(r live.Rollout) bool { return r.Condition("Held").Status == "True" })
	s.until("the Deployment is not paused", func() (string, bool) { d := s.deployment(); return d.Name, !d.Spec.Paused })
	canary = s.change("v1")
	s.promoted(canary)
	f.judge(nil)
}

// policies applies or deletes what is in config/policies.
func (s *scene) policies(verb string, flags ...string) {
	s.Helper()
	bin := filepath.Join(root, ".local", "bin")
	out, err := exec.CommandContext(s.ctx, filepath.Join(bin, "kustomize"), "build", filepath.Join(root, "config", "policies")).Output()
	if err != nil {
		s.Fatalf("kustomize build config/policies: %v", err)
	}
	if text, err := s.feed(string(out), append([]string{verb, "-f", "-"}, flags...)...); err != nil {
		s.Fatalf("%v\n%s", err, text)
	}
}
