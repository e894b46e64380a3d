//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/live"
	"github.com/crossfade-dev/crossfade/e2e/load"
)

// The checks that need no query, over five seconds each second.
const (
	succeeds = `{name: errors, successRate: {min: "95"}, window: 5s, failureLimit: 1, initialDelay: 2s}`
	inTime   = `{name: latency, latency: {quantile: "0.9", max: 10s}, window: 5s, initialDelay: 2s, failureLimit: 2}`
	asked    = `{name: rate, requestRate: {min: "1"}, window: 5s, initialDelay: 3s, failureLimit: 2}`
	compared = `{name: slow, latency: {quantile: "0.5"}, comparedToStable: {maxRatio: "3"}, window: 5s, initialDelay: 2s, consecutiveFailures: 2}`
)

// TestChecks are deliveries that are judged without a query: by the mesh's own statistics, and by templates.
func TestChecks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"checks-pass", checksPass},
		{"checks-errors", checksErrors},
		{"checks-slow", checksSlow},
		{"checks-template", checksTemplate},
		{"checks-few", checksFew},
		{"checks-calls", checksCalls},
		{"checks-job", checksJob},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t)
		})
	}
}

// checkOf finds one in a status.
func checkOf(r live.Rollout, name string) live.Check {
	for _, c := range r.Status.Checks {
		if c.Name == name {
			return c
		}
	}
	return live.Check{}
}

// A good version passes all of them, and the status says by which numbers.
func checksPass(t *testing.T) {
	// The last step waits: the moment in which all have passed is to be seen on a slow machine, too.
	s := begin(t, setup{Checks: []string{succeeds, inTime, asked}, Steps: []step{{40, "4s"}, {70, "endless"}}})
	f := s.load()
	canary := s.change("v2")
	r := s.await("has passed all checks", func(r live.Rollout) bool {
		return checkOf(r, "errors").Verdict == "Passing" && checkOf(r, "latency").Verdict == "Passing" && checkOf(r, "rate").Verdict == "Passing"
	})
	for _, c := range r.Status.Checks {
		t.Logf("%s: %s%s, expected %s", c.Name, c.Value, c.Unit, c.Expected)
	}
	if c := checkOf(r, "errors"); c.Value != "100" || c.Unit != "%" || c.Expected != "at least 95%" {
		t.Errorf("no request of v2 failed, but the check says %+v", c)
	}
	s.promoteStep(canary, 2)
	s.promoted(canary)
	if counts := f.judge(map[string]string{canary: "v2"}); len(counts.Own) > 0 {
		t.Errorf("no version has a bug, but: %v", counts)
	}
}

// A version that answers with errors is taken back by its success rate, whatever stable does.
func checksErrors(t *testing.T) {
	s := begin(t, setup{Checks: []string{succeeds, inTime}, Steps: []step{{30, "10s"}, {60, "4s"}}})
	f := s.load()
	stable := s.rollout.Last().Object.Status.Stable.Revision
	canary := s.change("v3")
	s.atWeight(canary, 30)
	r := s.rolledBack("is below min 95%")
	if !strings.Contains(r.Status.Message, "check errors failed") || r.Status.Stable.Revision != stable {
		t.Errorf("the success rate has to take v3 back to %s: %v", stable, r)
	}
	counts := f.judge(map[string]string{canary: "v3"})
	if counts.Own["v1"] > 0 || counts.Own["v3"] == 0 {
		t.Errorf("errors have to come from v3 alone: %v", counts)
	}
	t.Logf("v3 failed %d of %d; %s", counts.Own["v3"], counts.Versions["v3"], r.Status.Message)
}

// A version that answers well but late is taken back by what stable takes at the same time.
func checksSlow(t *testing.T) {
	s := begin(t, setup{Checks: []string{succeeds, compared}, Steps: []step{{30, "15s"}, {60, "4s"}}})
	f := s.load()
	canary := s.changed(func() { s.kubectl("set", "env", "deployment/"+name, "DELAY=2s") })
	s.atWeight(canary, 30)
	r := s.rolledBack("times stable's")
	if !strings.Contains(r.Status.Message, "check slow failed") {
		t.Errorf("the comparison has to take the slow revision back: %v", r)
	}
	f.judge(nil)
	t.Log(r.Status.Message)
}

// A check of a template waits until there is one, and its arguments decide.
func checksTemplate(t *testing.T) {
	s := stage(t, setup{
		Checks: []string{`{name: errors, templateRef: {name: errors}, args: [{name: least, value: "90"}], initialDelay: 2s}`},
		Steps:  []step{{40, "endless"}},
	})
	template := func(argument string) {
		s.must(strings.ReplaceAll(`
apiVersion: crossfade.dev/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args: [{name: LEAST, type: Number, default: "95"}]
  check: {successRate: {min: "{{.Args.LEAST}}"}, window: 5s, failureLimit: 2}
`, "LEAST", argument), "apply", "-f", "-")
	}
	template("least")
	s.adopt()
	f := s.load()
	pods := s.pods()
	s.rollout.SkipAll()
	s.kubectl("delete", "analysistemplate", "errors")
	s.await("says that its template is missing", func(r live.Rollout) bool {
		return r.Condition("Ready").Reason == "TemplateNotFound" && strings.Contains(r.Condition("Ready").Message, "there is no AnalysisTemplate errors")
	})
	s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:v2")
	template("lest")
	s.await("says that there is no such argument", func(r live.Rollout) bool {
		return r.Condition("Ready").Reason == "InvalidArguments" && strings.Contains(r.Condition("Ready").Message, `has no argument "least": it has lest`)
	})
	s.samePods("a change without its checks", pods, s.pods())
	template("least")
	r := s.await("has passed the template's check", func(r live.Rollout) bool { return checkOf(r, "errors").Verdict == "Passing" })
	if c := checkOf(r, "errors"); c.Expected != "at least 90%" {
		t.Errorf("the argument is 90, but the check says %+v", c)
	}
	canary := r.Status.Canary.Revision
	s.promote(canary)
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
}

// Too few requests are no verdict, even of a version that fails each of them: it stays where it is until there
// are enough.
func checksFew(t *testing.T) {
	s := begin(t, setup{
		Checks: []string{`{name: errors, successRate: {min: "95"}, minRequests: 30, window: 5s, initialDelay: 2s}`},
		Steps:  []step{{50, "endless"}},
	})
	canary := s.change("v2")
	s.atWeight(canary, 50)
	r := s.await("has no verdict for want of requests", func(r live.Rollout) bool { return checkOf(r, "errors").Verdict == "NoVerdict" })
	t.Logf("without requests: %+v", checkOf(r, "errors"))
	f := s.load()
	r = s.await("has a verdict of many requests", func(r live.Rollout) bool { return checkOf(r, "errors").Verdict == "Passing" })
	if c := checkOf(r, "errors"); c.Requests < 30 || r.Status.Step.Index != 1 {
		t.Errorf("the verdict has to be about 30 requests at least, at step 1: %+v", c)
	}
	s.promote(canary)
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
}

// A version that answers calls of gRPC with UNAVAILABLE, which is HTTP's status 200, is taken back.
func checksCalls(t *testing.T) {
	s := begin(t, setup{GRPC: true, Replicas: 2, Checks: []string{succeeds}, Steps: []step{{50, "10s"}}})
	calls, err := load.Start(s.ctx, load.Options{URL: "http://" + s.gateway, Host: s.Namespace + ".example", Protocol: load.Calls, Rate: 60})
	if err != nil {
		t.Fatal(err)
	}
	s.clients = append(s.clients, calls)
	canary := s.change("v3")
	r := s.rolledBack("is below min 95%")
	counts := load.Count(calls.Stop(), time.Time{}, time.Time{})
	t.Logf("%s; %v", r.Status.Message, counts)
	if counts.Own["v1"] > 0 || counts.Own["v3"] == 0 || counts.Lost > 0 || counts.Last["v3"].After(s.zeroAt(canary)) {
		t.Errorf("errors have to come from v3 alone, until %s, and none may be lost: %v\n%s", s.zeroAt(canary), counts, load.Describe(counts.Failures))
	}
}

// A Job says whether a step is left; of one that failed, its last words say why the rollout went back.
func checksJob(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Steps: []step{{50, "1s"}}})
	check := func(args ...string) {
		s.kubectl("patch", "rollout", name, "--type=merge", "-p",
			fmt.Sprintf(`{"spec":{"analysis":{"interval":"1s","checks":[{"name":"smoke","job":%s}]}}}`, jobOf(args...)))
	}
	f := s.load()
	check("load", "-url", "http://payments/", "-requests", "3")
	good := s.change("v2")
	s.promoted(good)
	if jobs := s.kubectl("get", "jobs", "-l", "crossfade.dev/check=smoke", "-o", "jsonpath={.items[*].status.succeeded}"); !strings.Contains(jobs, "1") {
		t.Errorf("no Job of check smoke has succeeded: %q", jobs)
	}
	check("load", "-bogus")
	bad := s.change("v3")
	r := s.rolledBack("flag provided but not defined: -bogus")
	if !strings.Contains(r.Status.Message, "check smoke failed") {
		t.Errorf("the Job has to take v3 back: %v", r)
	}
	f.judge(map[string]string{good: "v2", bad: "v3"})
}

// A version that fails is taken back by what the sidecar of a client counts: nobody comes through the gateway.
func meshChecks(t *testing.T) {
	s := begin(t, setup{Meshed: true, Replicas: 2, Checks: []string{
		`{name: errors, successRate: {min: "95"}, minRequests: 20, window: 5s, failureLimit: 1, initialDelay: 2s}`,
		`{name: rate, requestRate: {min: "1"}, window: 5s, initialDelay: 3s, failureLimit: 3}`,
	}, Steps: []step{{30, "20s"}}})
	s.meshClients(meshClient{Name: "mesh", Rate: 40, Protocol: load.KeepAlive})
	canary := s.change("v3")
	s.atWeight(canary, 30)
	r := s.rolledBack("is below min 95%")
	c := s.countsNow("mesh")
	t.Logf("%s; the client: %v", r.Status.Message, c)
	if c.Own["v3"] == 0 || c.Own["v1"] > 0 || c.Lost > 0 {
		t.Errorf("errors have to come from v3 alone, and none may be lost: %v", c)
	}
	s.judgeShare("mesh", "v1", 1)
}
