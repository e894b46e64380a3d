//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

// TestActions are deliveries in which people have a say, each with his own rights.
func TestActions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"approvals": approvals,
		"abort":     abort,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// crew gives people Kubernetes' own roles in the scene's namespace: what we add to these is what they may.
func (s *scene) crew() {
	s.Helper()
	for who, role := range map[string]string{"vera": "view", "otto": "edit", "olga": "edit", "anna": "admin"} {
		s.kubectl("create", "rolebinding", who, "--clusterrole="+role, "--user="+who)
	}
	s.until("the roles are aggregated", func() (string, bool) {
		out, err := s.try("auth", "can-i", "promote", "rollouts.crossfade.dev/"+name, "--as", "otto")
		return out, err == nil
	})
}

// act lets somebody create an action, and returns its name or what he was told.
func (s *scene) act(who, action, revision, reason string) (string, error) {
	s.Helper()
	return s.feed(fmt.Sprintf(`
apiVersion: crossfade.dev/v1alpha1
kind: RolloutAction
metadata: {generateName: %[1]s-, annotations: {crossfade.dev/by: somebody-else}}
spec: {rollout: %[1]s, action: %[2]s, revision: %[3]q, reason: %[4]q}
`, name, action, revision, reason), "create", "-f", "-", "-o", "name", "--as", who)
}

// says lets somebody act, and returns what came of it: "Applied by otto: …".
func (s *scene) says(who, action, revision, reason string) string {
	s.Helper()
	out, err := s.act(who, action, revision, reason)
	if err != nil {
		s.Fatal(err)
	}
	return s.answerTo(strings.TrimSpace(out))
}

func (s *scene) answerTo(object string) string {
	s.Helper()
	s.kubectl("wait", object, "--for=jsonpath={.status.phase}", patiently)
	return s.kubectl("get", object, "-o", "jsonpath={.status.phase} by {.status.by}: {.status.message}")
}

func (s *scene) wants(got, want string) {
	s.Helper()
	if !strings.Contains(got, want) {
		s.Errorf("got %q, want %q", got, want)
	}
}

func (s *scene) history() string {
	s.Helper()
	return s.kubectl("get", "rollout", name, "-o", `jsonpath={range .status.history[*]}{.outcome} {.revision} by {.by}: {.message}{"\n"}{end}`)
}

// Two people let a step pass, one pauses what follows and resumes it; who may not is told so, and the name of who did
// is the API server's.
func approvals(t *testing.T) {
	s := begin(t, setup{Strategy: "{canary: {steps: [{weight: 30, pause: {requires: {approvals: 2}}}, {weight: 60, pause: {}}]}}"})
	s.crew()
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 30)
	s.await("is held", func(r live.Rollout) bool {
		return r.Status.Phase == "Paused" && strings.Contains(r.Status.Message, "until 2 people have promoted it (0 of 2 approvals)")
	})

	if out, err := s.act("vera", "Promote", canary, ""); err == nil || !strings.Contains(out, `User "vera" cannot create resource "rolloutactions"`) {
		t.Errorf("who may only look must not act: %v, %s", err, out)
	}
	if out, err := s.act("otto", "Override", canary, ""); err == nil ||
		!strings.Contains(out, "otto may not override Rollout payments in namespace "+s.Namespace+": that takes the verb override on rollouts of crossfade.dev, which the ClusterRole crossfade-administrator has") {
		t.Errorf("who lacks the verb has to be told: %v, %s", err, out)
	}
	s.promote(canary) // The annotation, which counts nothing here.
	s.wants(s.says("otto", "Promote", "78bd5d695", ""), "Refused by otto: revision "+canary+" is on its way by now, not 78bd5d695")
	s.wants(s.says("otto", "Promote", canary, "looks good"), "Applied by otto: step 1/2 is approved (1 of 2 approvals: otto)")
	s.wants(s.says("otto", "Promote", canary, "again"), "Refused by otto: otto has promoted step 1/2 already (1 of 2 approvals: otto)")
	if by := s.kubectl("get", "rollout", name, "-o", "jsonpath={.status.step.approvals}"); by != `{"by":["otto"],"required":2}` {
		t.Errorf("the status has to say who approved: %s", by)
	}
	s.wants(s.says("olga", "Promote", canary, "dashboards are green"), "Applied by olga: step 1/2 is approved (2 of 2 approvals: otto, olga)")
	s.atWeight(canary, 60)

	s.wants(s.says("otto", "Pause", canary, "lunch"), "Applied by otto")
	s.await("is paused", func(r live.Rollout) bool {
		return r.Status.Phase == "Paused" && strings.Contains(r.Status.Message, "paused by otto (lunch)")
	})
	s.wants(s.says("olga", "Promote", canary, "INC-7"), "Applied by olga: the hold of step 2/2 is over")
	s.wants(s.says("otto", "Resume", canary, ""), "Applied by otto")
	s.promoted(canary)
	s.wants(s.history(), "Promoted "+canary+" by olga: INC-7")
	f.judge(map[string]string{canary: "v2"})
	if out := s.kubectl("get", "rolloutactions"); strings.Count(out, "Applied") != 5 || strings.Count(out, "Refused") != 2 {
		t.Errorf("the actions are kept:\n%s", out)
	}
	s.kubectl("delete", "rollout", name, patiently)
	s.until("the actions go with their Rollout", func() (string, bool) {
		out := s.kubectl("get", "rolloutactions", "-o", "name")
		return out, out == ""
	})
}

// A person takes a version back that no check would, another one tries it again, and an administrator lets it through
// at once.
func abort(t *testing.T) {
	s := begin(t, setup{Steps: []step{{30, "endless"}, {60, "endless"}}})
	s.crew()
	f := s.load()
	pods := s.pods()
	canary := s.change("v2")
	s.atWeight(canary, 30)
	// Two at once, one against the other: the first counts.
	first, err := s.act("otto", "Abort", canary, "customers call")
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.act("olga", "Promote", canary, "")
	if err != nil {
		t.Fatal(err)
	}
	s.wants(s.answerTo(strings.TrimSpace(first)), "Applied by otto: revision "+canary+" goes back to ")
	// Created within one second they are taken in the order of their names.
	if answer := s.answerTo(strings.TrimSpace(second)); !strings.Contains(answer, "Refused by olga: revision "+canary+" goes back to ") {
		s.wants(answer, "Applied by olga: the hold of step 1/2 is over")
	}
	r := s.rolledBack("aborted by otto (customers call)")
	if r.Status.Weight.Acked != 0 {
		t.Errorf("after an abort stable has everything: %v", r)
	}
	counts := f.judge(map[string]string{canary: "v2"})
	if zero := s.zeroAt(canary); counts.Versions["v2"] == 0 || counts.Last["v2"].After(zero) {
		t.Errorf("v2 has to have answered, and not later than %s: %v", zero.Format(time.StampMilli), counts)
	}
	s.samePods("the abort", pods, s.pods())

	f = s.load()
	s.rollout.SkipAll()
	s.wants(s.says("olga", "Retry", canary, "they called about something else"), "Applied by olga")
	s.atWeight(canary, 30)
	s.wants(s.says("anna", "PromoteFull", canary, "fixes INC-7"), "Applied by anna: revision "+canary+" skips the steps that are left")
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
	if got, want := s.history(), fmt.Sprintf("Promoted %[1]s by anna: fixes INC-7\nAborted %[1]s by otto: customers call\n", canary); got != want {
		t.Errorf("history: got\n%swant\n%s", got, want)
	}
}
