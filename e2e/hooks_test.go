//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

// hooked replaces the Rollout's hooks, written as YAML on one line.
func (s *scene) hooked(hooks string) {
	s.Helper()
	s.kubectl("patch", "rollout", name, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"hooks":[%s]}}`, hooks))
}

// jobHook is a hook that runs the shop's program with these arguments.
func jobHook(name, at string, args ...string) string {
	return fmt.Sprintf(`{"name":%q,"at":%q,"job":%s}`, name, at, jobOf(args...))
}

// jobOf is a Job, as JSON, that runs the shop's program with these arguments.
func jobOf(args ...string) string {
	return fmt.Sprintf(`{"template":{"spec":{"backoffLimit":0,"template":{"spec":{
		"restartPolicy":"Never","automountServiceAccountToken":false,
		"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},
		"containers":[{"name":"job","image":"crossfade.local/shop:v1","args":["%s"],
		"resources":{"requests":{"cpu":"5m","memory":"16Mi"},"limits":{"memory":"128Mi"}},
		"securityContext":{"allowPrivilegeEscalation":false,"readOnlyRootFilesystem":true,"capabilities":{"drop":["ALL"]}}}]}}}}}`,
		strings.Join(args, `","`))
}

// A delivery waits for those who are asked, by a POST and by a Job, and goes back when one says no; what the
// controller must not ask it does not ask.
func TestHooks(t *testing.T) {
	t.Parallel()
	s := begin(t, setup{Steps: []step{{40, "1s"}}})
	s.apply("gate.yaml")
	s.kubectl("rollout", "status", "deployment/gate", patiently)
	f := s.load()

	s.hooked(`{"name":"gate","at":"BeforeStart","http":{"serviceRef":{"name":"gate","port":80},"path":"/gate/204?later=2"}},` +
		jobHook("smoke", "BeforePromotion", "load", "-url", "http://payments/", "-requests", "3"))
	s.rollout.SkipAll()
	s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:v2")
	s.await("waits for the hook gate", func(r live.Rollout) bool {
		return strings.Contains(r.Status.Message, "waiting for hook gate (BeforeStart): answered 425, not yet")
	})
	good := s.await("has a canary", func(r live.Rollout) bool { return r.Status.Canary.Revision != "" }).Status.Canary.Revision
	s.promoted(good)
	if jobs := s.kubectl("get", "jobs", "-l", "crossfade.dev/hook=smoke", "-o", "jsonpath={.items[*].status.succeeded}"); jobs != "1" {
		t.Errorf("Jobs of hook smoke that succeeded: %q, want one", jobs)
	}

	s.hooked(`{"name":"judge","at":"DuringStep","http":{"serviceRef":{"name":"gate","port":80},"path":"/gate/500"}}`)
	bad := s.change("v3")
	s.rolledBack("hook judge (DuringStep 1) failed: answered 500")

	s.rollout.SkipAll()
	s.hooked(`{"name":"thief","at":"BeforeStart","http":{"url":"http://169.254.169.254/latest/meta-data"}}`)
	s.kubectl("set", "env", "deployment/"+name, "ANOTHER=template")
	s.await("says that nothing is sent to the machine's credentials", func(r live.Rollout) bool {
		ready := r.Condition("Ready")
		return ready.Reason == "HookForbidden" && strings.Contains(ready.Message, "169.254.169.254 is a link-local address")
	})

	s.rollout.SkipAll()
	s.hooked(jobHook("smoke", "BeforeStart", "load", "-bogus"))
	s.await("is rolled back with the Job's last words", func(r live.Rollout) bool {
		return r.Status.Phase == "RolledBack" && strings.Contains(r.Status.Message, "hook smoke (BeforeStart) failed: Job payments-smoke-") &&
			strings.Contains(r.Status.Message, "flag provided but not defined: -bogus")
	})
	f.judge(map[string]string{good: "v2", bad: "v3"})
}
