//go:build e2e

package e2e

import (
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/live"
	"github.com/crossfade-dev/crossfade/e2e/load"
)

// preview is the match of those who reach the canary first.
const preview = `match: [{headers: [{name: x-team, value: checkout}]}]`

// team is a load that carries the header of preview.
func (s *scene) team() *load.Run {
	s.Helper()
	run, err := load.Start(s.ctx, load.Options{
		URL: "http://" + s.gateway + "/", Host: s.Namespace + ".example", Rate: 30,
		Header: http.Header{"X-Team": {"checkout"}},
	})
	if err != nil {
		s.Fatal(err)
	}
	s.clients = append(s.clients, run)
	return run
}

// holding waits until a step is confirmed, and held.
func (s *scene) holding(step string) live.Rollout {
	s.Helper()
	return s.await("holds step "+step, func(r live.Rollout) bool {
		return r.Status.StepSummary == step && strings.Contains(r.Status.Message, "; holding ")
	})
}

// teamReached fails unless all requests of the team since the first step was held were answered by the canary, and
// none was lost.
func (s *scene) teamReached(run *load.Run, version string, until time.Time) {
	s.Helper()
	from := s.seenAt(func(r live.Rollout) bool { return strings.Contains(r.Status.Message, "; holding ") })
	all := run.Stop()
	c := load.Count(load.Between(all, from, until), time.Time{}, time.Time{})
	s.Logf("the team, from when its step was confirmed: %v", c)
	if c.Requests < 30 || c.Versions[version] != c.Requests {
		s.Errorf("all of the team's %d requests have to be answered by %s: %v", c.Requests, version, c.Versions)
	}
	if lost := load.Count(all, time.Time{}, time.Time{}); lost.Lost > 0 {
		s.Errorf("%d of the team's requests were lost:\n%s", lost.Lost, load.Describe(lost.Failures))
	}
}

// weights are those that the Rollout has shown of a canary, each as it came.
func (s *scene) weights(canary string) []int32 {
	var list []int32
	for _, state := range s.rollout.States() {
		if status := state.Object.Status; status.Canary.Revision == canary && (len(list) == 0 || list[len(list)-1] != status.Weight.Desired) {
			list = append(list, status.Weight.Desired)
		}
	}
	return list
}

// One team's requests go to the canary, everybody else's to stable; then by weight, and the team stays.
func matchFirst(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Strategy: `{canary: {steps: [{` + preview + `, pause: {duration: 4s}}, {weight: 30, pause: {duration: 4s}}]}}`})
	f, team := s.load(), s.team()
	canary := s.change("v2")
	s.holding("1/2")
	s.atWeight(canary, 30)
	s.atWeight(canary, 100)
	s.promoted(canary)
	s.teamReached(team, "v2", time.Now())
	f.judge(map[string]string{canary: "v2"})
}

// People with the header reach the whole canary before the switch; then all requests move at once.
func blueGreenPromoted(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Check: true, Strategy: `{blueGreen: {preview: {` + preview + `}, hold: {duration: 4s}, autoPromote: true, verify: {duration: 4s}}}`})
	f, team := s.load(), s.team()
	canary := s.change("v2")
	if r := s.holding("1/2"); r.Status.Canary.Ready != 2 || r.Status.Weight.Acked != 0 {
		t.Errorf("before the switch the canary has to be whole, with no weight: %v", r)
	}
	if r := s.holding("2/2"); r.Status.Stable.Ready != 2 {
		t.Errorf("while it is verified stable has to be whole: %v", r)
	}
	s.promoted(canary)
	s.teamReached(team, "v2", time.Now())
	f.judge(map[string]string{canary: "v2"})
	if w := s.weights(canary); len(w) > 3 || w[0] != 0 || w[1] != 100 {
		t.Errorf("weights of a switch: %v", w)
	}
}

// A version that answers with errors is found out after the switch, and all requests are back at once.
func blueGreenVerifyFails(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Check: true, Strategy: `{blueGreen: {autoPromote: true, verify: {duration: 30s}}}`})
	stable, pods := s.rollout.Last().Object.Status.Stable.Revision, s.pods()
	f := s.load()
	canary := s.change("v3")
	s.atWeight(canary, 100)
	s.rolledBack("errors")
	counts := f.judge(map[string]string{canary: "v3"})
	if counts.Own["v1"] > 0 || counts.Own["v3"] == 0 {
		t.Errorf("errors have to come from v3 alone: %v", counts)
	}
	zero := s.zeroAt(canary)
	if counts.Last["v3"].After(zero) {
		t.Errorf("v3 answered %s after all proxies had confirmed weight zero", counts.Last["v3"].Sub(zero))
	}
	if w := s.weights(canary); len(w) < 3 || w[1] != 100 || w[2] != 0 {
		t.Errorf("weights of a switch and back: %v", w)
	}
	s.samePods("the switch and back", pods, s.pods())
	if r := s.rollout.Last().Object; r.Status.Stable.Revision != stable {
		t.Errorf("stable has to be %s: %v", stable, r)
	}
}

// Half of those who take part get the canary and stay there; when the test is over, all go back.
func abTestReturns(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Strategy: `{abTest: {` + preview + `, weight: 50, sticky: {cookie: {name: crossfade-e2e}}, duration: 48h, onEnd: Return}}`})
	f := s.load()
	canary := s.change("v2")
	s.holding("1/1")
	seen := map[string]int{}
	users := make([]*http.Client, 60)
	for i := range users {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		users[i] = &http.Client{Jar: jar, Timeout: 30 * time.Second}
		first := s.asks(users[i])
		for range 4 {
			users[i].CloseIdleConnections() // He reconnects.
			if again := s.asks(users[i]); again != first {
				t.Errorf("user %d was answered by %s, then by %s", i, first, again)
			}
		}
		seen[first]++
	}
	if seen["v2"] < 12 || seen["v1"] < 12 {
		t.Errorf("half of 60 users have to be on each side, but for chance: %v", seen)
	}
	// Two days are over.
	s.kubectl("patch", "rollout", name, "--type=merge", "-p", `{"spec":{"strategy":{"abTest":{"duration":"1s"}}}}`)
	r := s.await("is back", func(r live.Rollout) bool { return r.Status.Phase == "RolledBack" })
	if p := r.Condition("Promoted"); p.Status != "False" || p.Reason != "ABTestEnded" {
		t.Errorf("after the test Promoted has to be False with reason ABTestEnded, got %s/%s", p.Status, p.Reason)
	}
	for i := range users {
		if version := s.asks(users[i]); version != "v1" {
			t.Errorf("after the test user %d is answered by %s", i, version)
		}
	}
	// Who does not take part never met the canary.
	if _, counts := f.stop(); counts.Versions["v2"] > 0 || counts.Lost > 0 {
		t.Errorf("requests of those who do not take part: %v", counts)
	}
	// Nothing is on its way: the strategy may be another one, and the revision goes on by it.
	s.kubectl("patch", "rollout", name, "--type=merge", "-p", `{"spec":{"strategy":{"abTest":null,"canary":{"steps":[{"weight":50,"pause":{"duration":"4s"}}]}}}}`)
	s.kubectl("annotate", "rollout", name, "--overwrite", "crossfade.dev/retry="+canary+"/2")
	s.atWeight(canary, 50)
	if out, err := s.try("patch", "rollout", name, "--type=merge", "-p", `{"spec":{"strategy":{"canary":null,"blueGreen":{}}}}`); err == nil || !strings.Contains(out, "cannot be switched while a rollout is on its way") {
		t.Errorf("a switch of the strategy mid-way has to be refused: %s", out)
	}
	s.promoted(canary)
}

// asks lets a user who takes part ask once, and returns the version that answered.
func (s *scene) asks(user *http.Client) string {
	s.Helper()
	request, err := http.NewRequestWithContext(s.ctx, http.MethodGet, "http://"+s.gateway+"/", nil)
	if err != nil {
		s.Fatal(err)
	}
	request.Host = s.Namespace + ".example"
	request.Header.Set("X-Team", "checkout")
	answer, err := user.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.Header.Get("x-version")
}
