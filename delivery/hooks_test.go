package delivery

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery/schedule"
)

func httpHook(name string, at v1alpha1.HookMoment, steps ...int32) v1alpha1.Hook {
	return v1alpha1.Hook{Name: name, At: at, Steps: steps, HTTP: &v1alpha1.HTTPHook{URL: "http://x"}}
}

func withHooks(hooks ...v1alpha1.Hook) func(*Observation) {
	return func(o *Observation) {
		for i := range hooks {
			o.Rollout.Spec.Hooks = append(o.Rollout.Spec.Hooks, *hooks[i].DeepCopy())
		}
	}
}

// knownHook puts what is known of a hook into the record.
func knownHook(name string, at v1alpha1.HookMoment, step int32, state v1alpha1.HookState, since time.Duration) func(*Observation) {
	return func(o *Observation) {
		record(o).Hooks = append(record(o).Hooks, v1alpha1.HookRecord{
			Name: name, At: at, Step: step, Revision: "xB", Attempt: 1, State: state, Since: *atp(since),
		})
	}
}

func hookSaid(name string, at v1alpha1.HookMoment, step int32, outcome HookOutcome, message string) func(*Observation) {
	return func(o *Observation) {
		o.HookAnswers = append(o.HookAnswers, HookAnswer{
			Question: Question{Hook: name, At: at, Step: step, Revision: "xB", Attempt: 1}, Came: start, Outcome: outcome, Message: message,
		})
	}
}

func all(fs ...func(*Observation)) func(*Observation) {
	return func(o *Observation) {
		for _, f := range fs {
			f(o)
		}
	}
}

// canaryMade is the canary's ReplicaSet there, and no pod of it.
func canaryMade() *Observation {
	o := heldB()
	o.ReplicaSets = append(o.ReplicaSets, running("xB", "B", OwnerHolder, 0, 0))
	return o
}

func TestHookGates(t *testing.T) {
	before := withHooks(httpHook("ok", v1alpha1.BeforeStep))
	raised := func(o *Observation) { o.Rollout.Spec.Strategy.Canary.Steps[0].Weight = new(int32(25)) }
	asking := knownHook("ok", v1alpha1.BeforeStep, 2, v1alpha1.HookAsking, -time.Minute)
	runRules(t, map[string]ruleCase{
		"start, asked first":      {"the record says so before anybody is asked", canaryMade, withHooks(httpHook("ok", v1alpha1.BeforeStart)), "records Preparing\nhook ok BeforeStart 0 of xB: Asking"},
		"start, asked":            {"no canary pod meanwhile", canaryMade, all(withHooks(httpHook("ok", v1alpha1.BeforeStart)), knownHook("ok", v1alpha1.BeforeStart, 0, v1alpha1.HookAsking, 0)), "asks ok BeforeStart 0 of xB, attempt 1\nasks again at 10m0s"},
		"start, yes":              {"the first step begins", canaryMade, all(withHooks(httpHook("ok", v1alpha1.BeforeStart)), knownHook("ok", v1alpha1.BeforeStart, 0, v1alpha1.HookPassed, 0)), "records Stepping of xB step 1"},
		"start, no":               {"back, and nothing was ever started", canaryMade, all(withHooks(httpHook("ok", v1alpha1.BeforeStart)), knownHook("ok", v1alpha1.BeforeStart, 0, v1alpha1.HookAsking, 0), hookSaid("ok", v1alpha1.BeforeStart, 0, HookNo, "answered 500")), "records Retreating of xB (then RolledBack; HookFailed)\nhook ok BeforeStart 0 of xB: Failed, answered 500"},
		"start, paused":           {"it is asked anew when the pause is over", canaryMade, all(withHooks(httpHook("ok", v1alpha1.BeforeStart)), knownHook("ok", v1alpha1.BeforeStart, 0, v1alpha1.HookAsking, 0), func(o *Observation) { o.Rollout.Spec.Paused = true }), "records Preparing"},
		"start, refused":          {"a mistake stops the clock", canaryMade, all(withHooks(httpHook("ok", v1alpha1.BeforeStart)), knownHook("ok", v1alpha1.BeforeStart, 0, v1alpha1.HookAsking, 0), func(o *Observation) { o.Refused = &Refusal{Reason: v1alpha1.ReasonHookForbidden, Message: "m"} }), "records Preparing"},
		"first step":              {"BeforeStep 1 comes with the start", canaryMade, all(before, knownHook("ok", v1alpha1.BeforeStep, 1, v1alpha1.HookAsking, 0)), "asks ok BeforeStep 1 of xB, attempt 1\nasks again at 10m0s"},
		"step, asked first":       {"step 1 is over", steppingAt20, before, "records Stepping step 1\nhook ok BeforeStep 2 of xB: Asking"},
		"step, other step only":   {"it is not asked at this one", steppingAt20, withHooks(httpHook("ok", v1alpha1.BeforeStep, 1)), "records Stepping step 2, weight 20/100, not acked"},
		"step, asked":             {"step 1 is held", steppingAt20, all(before, asking), "asks ok BeforeStep 2 of xB, attempt 1\nasks again at 9m0s"},
		"step, yes":               {"step 2 begins, and the answer is not needed any more", steppingAt20, all(before, asking, hookSaid("ok", v1alpha1.BeforeStep, 2, HookYes, "answered 200")), "records Stepping step 2, weight 20/100, not acked"},
		"step, later":             {"asked again when it is due", steppingAt20, all(before, asking, hookSaid("ok", v1alpha1.BeforeStep, 2, HookLater, "answered 425, not yet")), "records Stepping step 1\nhook ok BeforeStep 2 of xB: Asking, answered 425, not yet"},
		"step, no":                {"back", steppingAt20, all(before, asking, hookSaid("ok", v1alpha1.BeforeStep, 2, HookNo, "answered 500")), "records Retreating, weight 0/100 (then RolledBack; HookFailed)\nhook ok BeforeStep 2 of xB: Failed, answered 500"},
		"step, silent once":       {"asked again", steppingAt20, all(before, asking, hookSaid("ok", v1alpha1.BeforeStep, 2, HookSilent, "no answer")), "records Stepping step 1\nhook ok BeforeStep 2 of xB: Asking, no answer"},
		"step, silent for long":   {"retries are used up", steppingAt20, all(before, asking, func(o *Observation) { record(o).Hooks[0].Silent = 3 }, hookSaid("ok", v1alpha1.BeforeStep, 2, HookSilent, "no answer")), "records Retreating, weight 0/100 (then RolledBack; HookFailed)\nhook ok BeforeStep 2 of xB: Failed, no answer"},
		"step, silent, no retry":  {"the user wants none", steppingAt20, all(before, asking, func(o *Observation) { o.Rollout.Spec.Hooks[0].HTTP.Retries = new(int32(0)) }, hookSaid("ok", v1alpha1.BeforeStep, 2, HookSilent, "no answer")), "records Retreating, weight 0/100 (then RolledBack; HookFailed)\nhook ok BeforeStep 2 of xB: Failed, no answer"},
		"step, silence broken":    {"an answer ends it", steppingAt20, all(before, asking, func(o *Observation) { record(o).Hooks[0].Silent = 3 }, hookSaid("ok", v1alpha1.BeforeStep, 2, HookLater, "l"), hookSaid("ok", v1alpha1.BeforeStep, 2, HookSilent, "no answer")), "records Stepping step 1\nhook ok BeforeStep 2 of xB: Asking, no answer"},
		"step, deadline":          {"I9", steppingAt20, all(before, knownHook("ok", v1alpha1.BeforeStep, 2, v1alpha1.HookAsking, -10*time.Minute)), "records Retreating, weight 0/100 (then RolledBack; HookFailed)\nhook ok BeforeStep 2 of xB: Failed"},
		"step, other step said":   {"an answer about step 1 says nothing", steppingAt20, all(before, asking, hookSaid("ok", v1alpha1.BeforeStep, 1, HookYes, "")), "asks ok BeforeStep 2 of xB, attempt 1\nasks again at 9m0s"},
		"step, other revision":    {"nor one about another revision", steppingAt20, all(before, asking, hookSaid("ok", v1alpha1.BeforeStep, 2, HookYes, ""), func(o *Observation) { o.HookAnswers[0].Revision = "xA" }), "asks ok BeforeStep 2 of xB, attempt 1\nasks again at 9m0s"},
		"step, other attempt":     {"nor one about an attempt of before", steppingAt20, all(before, asking, hookSaid("ok", v1alpha1.BeforeStep, 2, HookYes, ""), func(o *Observation) { record(o).Attempt, record(o).Hooks[0].Attempt = 2, 2 }), "asks ok BeforeStep 2 of xB, attempt 2\nasks again at 9m0s"},
		"step, of another moment": {"nor one at another moment", steppingAt20, all(before, asking, hookSaid("ok", v1alpha1.DuringStep, 2, HookYes, "")), "asks ok BeforeStep 2 of xB, attempt 1\nasks again at 9m0s"},
		"step, of before":         {"it is about a question that was given up", steppingAt20, all(before, knownHook("ok", v1alpha1.BeforeStep, 2, v1alpha1.HookAsking, 0), hookSaid("ok", v1alpha1.BeforeStep, 2, HookYes, ""), func(o *Observation) { o.HookAnswers[0].Came = start.Add(-time.Second) }), "asks ok BeforeStep 2 of xB, attempt 1\nasks again at 10m0s"},
		"step, frozen": {"it is asked anew when it may go on", steppingAt20, all(before, asking, func(o *Observation) {
			from := metav1.NewTime(start.Add(-time.Hour))
			o.Freezes = []schedule.Freeze{schedule.ReadFreeze(&v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "f"}, Spec: v1alpha1.FreezeSpec{From: &from, Reason: "incident"}})}
		}), "records Stepping step 1"},
		"step, paused":           {"it is asked anew when the pause is over", steppingAt20, all(before, asking, func(o *Observation) { o.Rollout.Spec.Paused = true }), "records Stepping step 1"},
		"step, two":              {"both are asked, neither waits for the other", steppingAt20, all(before, asking, withHooks(httpHook("two", v1alpha1.BeforeStep)), knownHook("two", v1alpha1.BeforeStep, 2, v1alpha1.HookAsking, -time.Minute)), "asks ok BeforeStep 2 of xB, attempt 1\nasks two BeforeStep 2 of xB, attempt 1\nasks again at 9m0s"},
		"step, one of two":       {"all must say yes", steppingAt20, all(before, knownHook("ok", v1alpha1.BeforeStep, 2, v1alpha1.HookPassed, -time.Minute), withHooks(httpHook("two", v1alpha1.BeforeStep)), knownHook("two", v1alpha1.BeforeStep, 2, v1alpha1.HookAsking, -time.Minute)), "asks two BeforeStep 2 of xB, attempt 1\nasks again at 9m0s"},
		"step, taken out":        {"a hook that is not in the spec is not waited for", steppingAt20, asking, "records Stepping step 2, weight 20/100, not acked"},
		"step, superseded":       {"what goes towards stable passes no gate", steppingAt20, all(before, asking, func(o *Observation) { o.Deployment.Template = "A" }), "records Retreating, weight 0/100 (then Restore; Superseded)\nhook ok BeforeStep 2 of xB: Asking"},
		"during, asked first":    {"as soon as the weight is acked", steppingAt20, withHooks(httpHook("ok", v1alpha1.DuringStep)), "records Stepping step 1\nhook ok DuringStep 1 of xB: Asking"},
		"during, asked":          {"the step is not left", steppingAt20, all(withHooks(httpHook("ok", v1alpha1.DuringStep)), knownHook("ok", v1alpha1.DuringStep, 1, v1alpha1.HookAsking, -time.Minute)), "asks ok DuringStep 1 of xB, attempt 1\nasks again at 9m0s"},
		"during, paused":         {"it is asked all the same, as checks are", steppingAt20, all(withHooks(httpHook("ok", v1alpha1.DuringStep)), knownHook("ok", v1alpha1.DuringStep, 1, v1alpha1.HookAsking, -time.Minute), func(o *Observation) { o.Rollout.Spec.Paused = true }), "asks ok DuringStep 1 of xB, attempt 1\nasks again at 9m0s"},
		"during, raised":         {"no more weight before it has passed", steppingAt20, all(withHooks(httpHook("ok", v1alpha1.DuringStep)), knownHook("ok", v1alpha1.DuringStep, 1, v1alpha1.HookAsking, -time.Minute), func(o *Observation) { o.Rollout.Spec.Strategy.Canary.Steps[0].Weight = new(int32(25)) }), "asks ok DuringStep 1 of xB, attempt 1\nasks again at 9m0s"},
		"during, deadline":       {"I9", steppingAt20, all(withHooks(httpHook("ok", v1alpha1.DuringStep)), knownHook("ok", v1alpha1.DuringStep, 1, v1alpha1.HookAsking, -10*time.Minute)), "records Retreating, weight 0/100 (then RolledBack; HookFailed)\nhook ok DuringStep 1 of xB: Failed"},
		"during, no":             {"back", steppingAt20, all(withHooks(httpHook("ok", v1alpha1.DuringStep)), knownHook("ok", v1alpha1.DuringStep, 1, v1alpha1.HookAsking, -time.Minute), hookSaid("ok", v1alpha1.DuringStep, 1, HookNo, "answered 500")), "records Retreating, weight 0/100 (then RolledBack; HookFailed)\nhook ok DuringStep 1 of xB: Failed, answered 500"},
		"promotion, asked first": {"after the last step", atLastStep, withHooks(httpHook("ok", v1alpha1.BeforePromotion)), "records Stepping step 2\nhook ok BeforePromotion 0 of xB: Asking"},
		"promotion, yes":         {"everything follows", atLastStep, all(withHooks(httpHook("ok", v1alpha1.BeforePromotion)), knownHook("ok", v1alpha1.BeforePromotion, 0, v1alpha1.HookPassed, 0)), "records Stepping step 3, weight 50/100, not acked"},
		"raised, asked first":    {"an edit is no way round it", steppingAt20, all(before, raised), "records Stepping step 1\nhook ok BeforeStep 1 of xB: Asking"},
		"raised, yes":            {"the step begins anew, and forgets the answer", steppingAt20, all(before, raised, knownHook("ok", v1alpha1.BeforeStep, 1, v1alpha1.HookPassed, 0)), "records Stepping step 1, weight 20/100, not acked"},
		"promotion, not before":  {"between the steps it is not asked", steppingAt20, withHooks(httpHook("ok", v1alpha1.BeforePromotion)), "records Stepping step 2, weight 20/100, not acked"},
	})
}

// atLastStep is the last of two steps, over.
func atLastStep() *Observation {
	o := atWhole()
	r := record(o)
	r.Step, r.Promoting, r.Weight, r.Capacity, r.Replicas = 2, false, 50, 2, 2
	o.Proxies.Effective = 50
	o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 2, 0)
	return o
}

func TestHooksAfterwards(t *testing.T) {
	after := withHooks(httpHook("tell", v1alpha1.AfterPromotion))
	known := knownHook("tell", v1alpha1.AfterPromotion, 0, v1alpha1.HookAsking, -time.Minute)
	joined := func() *Observation {
		o := readyToSwap()
		o.ReplicaSets[0].Owner, o.ReplicaSets[1].Owner = OwnerHolder, OwnerDeployment
		o.ReplicaSets[1].RevisionNumber, o.Deployment.RevisionNumber, o.Deployment.UpdatedReplicas = 2, 2, 4
		return o
	}
	gone := func() *Observation {
		o := goingBack()
		o.ReplicaSets = o.ReplicaSets[:1]
		return o
	}
	runRules(t, map[string]ruleCase{
		"promoted":                {"the record remembers whom to tell", joined, after, "records Warm, weight 0/100, stable xB\nhook tell AfterPromotion 0 of xB: Asking"},
		"asked while warm":        {"nothing waits for it", keptWarm, all(after, known, func(o *Observation) { record(o).Since = at(0) }), "asks tell AfterPromotion 0 of xB, attempt 1\nasks again at 30s"},
		"not in the way":          {"the old pods go meanwhile", keptWarm, all(after, known), "records Warm, size 3\nhook tell AfterPromotion 0 of xB: Asking"},
		"kept to the end":         {"it may answer later than the delivery lasts", puttingBack, all(after, known), "GiveBack web-rA\nasks tell AfterPromotion 0 of xB, attempt 1\nasks again at 9m0s"},
		"asked when Healthy":      {"Healthy is Healthy", adoptedHealthy, all(after, known), "asks tell AfterPromotion 0 of xB, attempt 1\nasks again at 9m0s"},
		"answered":                {"forgotten", adoptedHealthy, all(after, known, hookSaid("tell", v1alpha1.AfterPromotion, 0, HookYes, "answered 200")), "records Healthy"},
		"failed":                  {"forgotten, with an event", adoptedHealthy, all(after, known, hookSaid("tell", v1alpha1.AfterPromotion, 0, HookNo, "answered 500")), "records Healthy"},
		"deadline":                {"forgotten, with an event", adoptedHealthy, all(after, knownHook("tell", v1alpha1.AfterPromotion, 0, v1alpha1.HookAsking, -10*time.Minute)), "records Healthy"},
		"taken out":               {"forgotten", adoptedHealthy, known, "records Healthy"},
		"told of a newer one":     {"the older one is not told any more", joined, all(after, known, func(o *Observation) { record(o).Hooks[0].Revision = "rA" }), "records Warm, weight 0/100, stable xB\nhook tell AfterPromotion 0 of xB: Asking"},
		"rolled back":             {"while the record knows what failed", gone, withHooks(httpHook("tell", v1alpha1.AfterRollback)), "records Retreating\nhook tell AfterRollback 0 of xB: Asking"},
		"rolled back, remembered": {"and then it is over", gone, all(withHooks(httpHook("tell", v1alpha1.AfterRollback)), knownHook("tell", v1alpha1.AfterRollback, 0, v1alpha1.HookAsking, 0)), "records RolledBack, size 0 (then RolledBack; CheckFailed)\nhook tell AfterRollback 0 of xB: Asking"},
		"superseded":              {"that is no rollback", gone, all(withHooks(httpHook("tell", v1alpha1.AfterRollback)), func(o *Observation) { record(o).Then = v1alpha1.ThenRestore; o.Deployment.Template = "A" }), "records Restoring, size 0 (then Restore; CheckFailed)"},
		"still going back":        {"told when it is over, not before", goingBack, all(withHooks(httpHook("tell", v1alpha1.AfterRollback)), knownHook("tell", v1alpha1.AfterRollback, 0, v1alpha1.HookAsking, 0)), "Scale web-xB to 0\nasks again at 10m0s"},
		"asked when rolled back":  {"", wentBack, all(withHooks(httpHook("tell", v1alpha1.AfterRollback)), knownHook("tell", v1alpha1.AfterRollback, 0, v1alpha1.HookAsking, 0)), "asks tell AfterRollback 0 of xB, attempt 1\nasks again at 10m0s"},
	})
}

// TestHookBackOff: from question to question it takes twice as long, up to a bound.
func TestHookBackOff(t *testing.T) {
	var got []time.Duration
	for _, n := range []int32{0, 1, 2, 3, 4, 5, 6, 7, 1 << 30} {
		got = append(got, again(n))
	}
	s := time.Second
	if diff := cmp.Diff([]time.Duration{s, s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s, 30 * s}, got); diff != "" {
		t.Errorf("again: -want +got\n%s", diff)
	}
	o := steppingAt20()
	all(withHooks(httpHook("ok", v1alpha1.BeforeStep)), knownHook("ok", v1alpha1.BeforeStep, 2, v1alpha1.HookAsking, -time.Minute))(o)
	record(o).Hooks[0].Answers, record(o).Hooks[0].AnsweredAt = 2, atp(-time.Second)
	plan := Decide(*o)
	if diff := cmp.Diff("Progressing, WaitingForHook\nasks again at 1s", tellPlan(o, &plan)); diff != "" {
		t.Errorf("not due yet: -want +got\n%s", diff)
	}
}

// TestHookWords: what is waited for, and what has happened, is said.
func TestHookWords(t *testing.T) {
	o := steppingAt20()
	all(withHooks(httpHook("ok", v1alpha1.BeforeStep), httpHook("two", v1alpha1.BeforeStep)),
		knownHook("ok", v1alpha1.BeforeStep, 2, v1alpha1.HookAsking, -time.Minute), knownHook("two", v1alpha1.BeforeStep, 2, v1alpha1.HookAsking, -time.Minute),
		hookSaid("ok", v1alpha1.BeforeStep, 2, HookLater, "answered 409, not yet"))(o)
	if got, want := Decide(*o).Status.Message, "step 1/2: waiting for hook ok (BeforeStep 2): answered 409, not yet, and for 1 other hooks; rolls back at 2026-01-01 12:09:00 UTC"; got != want {
		t.Errorf("waiting says %q, want %q", got, want)
	}
	o.HookAnswers[0].Outcome, o.HookAnswers[0].Message = HookNo, "answered 500"
	plan := Decide(*o)
	if got, want := plan.Status.Message, "hook ok (BeforeStep 2) failed: answered 500"; got != want {
		t.Errorf("failed says %q, want %q", got, want)
	}
	if got := plan.Events[0]; !got.Warning || got.Reason != EventHookFailed {
		t.Errorf("failed tells %+v", got)
	}
	for name, tc := range map[string]struct {
		change func(*Observation)
		want   string
	}{
		"held":   {soleStep(v1alpha1.Step{Weight: new(int32(20)), Pause: &v1alpha1.Pause{}}), "until somebody promotes: kubectl crossfade promote web -n shop"},
		"checks": {func(o *Observation) { failing(o); o.Samples = nil }, "until these checks pass: errors"},
	} {
		o := steppingAt20()
		all(tc.change, withHooks(httpHook("ok", v1alpha1.DuringStep)), knownHook("ok", v1alpha1.DuringStep, 1, v1alpha1.HookAsking, -time.Minute))(o)
		want := tc.want + "; waiting for hook ok (DuringStep 1): no answer yet; rolls back at 2026-01-01 12:09:00 UTC"
		if got := Decide(*o).Status.Message; !strings.HasSuffix(got, want) {
			t.Errorf("%s: says %q, want %q at its end", name, got, want)
		}
	}
	o = adoptedHealthy()
	all(withHooks(httpHook("tell", v1alpha1.AfterPromotion)), knownHook("tell", v1alpha1.AfterPromotion, 0, v1alpha1.HookAsking, -time.Minute),
		hookSaid("tell", v1alpha1.AfterPromotion, 0, HookNo, "answered 500"))(o)
	plan = Decide(*o)
	if len(plan.Events) != 1 || !strings.Contains(plan.Events[0].Message, "hook tell (AfterPromotion): answered 500; nothing waits for it") {
		t.Errorf("failed afterwards tells %+v", plan.Events)
	}
	if plan.Status.Conditions[0].Status != "True" {
		t.Errorf("a hook that nobody waits for makes the Rollout %+v", plan.Status.Conditions[0])
	}
}
