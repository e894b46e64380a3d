package delivery

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// asks adds an action of ann's to an observation.
func asks(kind v1alpha1.ActionKind, revision string) func(*Observation) {
	return func(o *Observation) {
		o.Names = Names{Known: true, Kept: true}
		o.Asked = append(o.Asked, v1alpha1.RolloutAction{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("act-%d", len(o.Asked)), UID: types.UID(fmt.Sprintf("a%d", len(o.Asked))),
				CreationTimestamp: metav1.NewTime(start), Annotations: map[string]string{v1alpha1.AnnotationBy: "ann"},
			},
			Spec: v1alpha1.RolloutActionSpec{Rollout: testName, Action: kind, Revision: revision},
		})
	}
}

func refusal(message string) string {
	return "Answer act-0: Refused by ann: " + message
}

func TestActions(t *testing.T) {
	endless := func(o *Observation) {
		o.Rollout.Spec.Strategy.Canary.Steps[0].Pause = &v1alpha1.Pause{}
	}
	two := func(o *Observation) {
		o.Rollout.Spec.Strategy.Canary.Steps[0].Pause = &v1alpha1.Pause{Requires: &v1alpha1.Requires{Approvals: 2}}
	}
	approvedBy := func(names ...string) func(*Observation) {
		return func(o *Observation) {
			for _, name := range names {
				record(o).Approvals = append(record(o).Approvals, v1alpha1.Word{By: name, At: at(0)})
			}
		}
	}
	promote := asks(v1alpha1.ActionPromote, "xB")
	paused := func(o *Observation) { record(o).Paused = &v1alpha1.Word{By: "bob", At: at(0)} }
	specPaused := func(o *Observation) { o.Rollout.Spec.Paused = true }
	const step1 = "records Stepping step 1"
	held := "Paused, Paused"
	runRules(t, map[string]ruleCase{
		"promote":               {"it ends the hold", steppingAt20, all(endless, promote), step1 + ", approved by ann"},
		"promote, other step":   {"ann looked at another one", steppingAt20, all(endless, promote, func(o *Observation) { o.Asked[0].Spec.Step = 2 }), refusal("step 1/2 is on its way by now, not step 2")},
		"promote, no pause":     {"nothing to end", steppingAt20, all(promote, func(o *Observation) { o.Proxies.Current = false }), refusal("step 1/2 is not held: it goes on by itself when its checks have passed")},
		"promote, too early":    {"nobody can have looked at it", steppingAt20, all(endless, promote, func(o *Observation) { record(o).AckedAt = nil; o.Proxies.Current = false }), refusal("step 1/2 is not reached yet: promote it when it is held")},
		"promote, preparing":    {"nobody can have looked at it", heldB, all(promote, specPaused), "CreateCanary web-xB\n" + refusal("the first step has not begun yet: promote it when it is held")},
		"promote, whole":        {"no step is left", atWhole, all(promote, func(o *Observation) { o.Proxies.Current = false }), refusal("no hold is left: all requests move to revision xB")},
		"promote, other":        {"the guard", steppingAt20, all(endless, asks(v1alpha1.ActionPromote, "xC")), refusal("revision xB is on its way by now, not xC")},
		"promote, twice":        {"one person counts once", steppingAt20, all(two, approvedBy("ann"), promote), refusal("ann has promoted step 1/2 already (1 of 2 approvals: ann)")},
		"promote, second":       {"two people", steppingAt20, all(two, approvedBy("bob"), promote), step1 + ", approved by ann"},
		"promote, third":        {"two are enough", steppingAt20, all(two, approvedBy("bob", "cleo"), promote, func(o *Observation) { o.Proxies.Current = false }), refusal("the hold of step 1/2 is over already: it goes on when its checks have passed")},
		"approvals, one of two": {"that is not enough", steppingAt20, all(two, approvedBy("bob")), held},
		"approvals, annotation": {"nobody knows who wrote it", steppingAt20, all(two, approvedBy("bob"), func(o *Observation) { o.Rollout.Annotations = map[string]string{v1alpha1.AnnotationPromote: "xB/1"} }), held},
		"approvals, both":       {"on", steppingAt20, all(two, approvedBy("bob", "ann")), "records Stepping step 2, weight 20/100, not acked"},
		"timed pause": {"ended early", steppingAt20, all(promote, func(o *Observation) {
			o.Rollout.Spec.Strategy.Canary.Steps[0].Pause = &v1alpha1.Pause{Duration: &metav1.Duration{Duration: time.Hour}}
		}), step1 + ", approved by ann"},
		"full":                   {"steps are skipped", steppingAt20, asks(v1alpha1.ActionPromoteFull, "xB"), step1 + ", in full"},
		"full, next":             {"the whole weight", steppingAt20, all(endless, func(o *Observation) { record(o).Full = true }), "records Stepping step 3, weight 20/100, not acked"},
		"full, paused":           {"it ends the pause of a person", steppingAt20, all(paused, asks(v1alpha1.ActionPromoteFull, "xB")), step1 + ", in full, not paused"},
		"full, spec.paused":      {"the spec is the user's", steppingAt20, all(specPaused, asks(v1alpha1.ActionPromoteFull, "xB")), refusal("spec.paused is set: unset it first")},
		"full, paused later":     {"a pause holds it", steppingAt20, all(endless, paused, func(o *Observation) { record(o).Full = true }), held},
		"full, again":            {"once is enough", steppingAt20, all(endless, func(o *Observation) { record(o).Full = true }, asks(v1alpha1.ActionPromoteFull, "xB"), paused), refusal("no step is left to skip")},
		"full, preparing":        {"before the canary", heldB, asks(v1alpha1.ActionPromoteFull, "xB"), "records Preparing, in full"},
		"abort":                  {"back", steppingAt20, asks(v1alpha1.ActionAbort, "xB"), "records Retreating, weight 0/100 (then RolledBack; Aborted)"},
		"abort, preparing":       {"back", heldB, asks(v1alpha1.ActionAbort, "xB"), "records Retreating of xB (then RolledBack; Aborted)"},
		"abort, before the swap": {"back", readyToSwap, asks(v1alpha1.ActionAbort, "xB"), "records Retreating, weight 0/100 (then RolledBack; Aborted)"},
		"abort, in the swap": {
			"too late", readyToSwap, all(asks(v1alpha1.ActionAbort, "xB"), func(o *Observation) { o.ReplicaSets[0].Owner = OwnerHolder }),
			"Join web-xB as revision 2\n" + refusal("revision xB is being handed over to the Deployment: to go back, apply the template of before"),
		},
		"abort, warm":         {"too late", keptWarm, all(asks(v1alpha1.ActionAbort, "xB"), func(o *Observation) { o.Proxies.Current = false }), refusal("revision xB is promoted already: to go back, apply the template of before")},
		"abort, retreating":   {"done", goingBack, asks(v1alpha1.ActionAbort, "xB"), "Scale web-xB to 0\n" + refusal("revision xB goes back to rA already")},
		"abort, rolled back":  {"done", wentBack, asks(v1alpha1.ActionAbort, "xB"), refusal("revision xB was rolled back: ask for Retry to try it once more")},
		"abort, healthy":      {"nothing to abort", adoptedHealthy, asks(v1alpha1.ActionAbort, "rA"), refusal("nothing is on its way: revision rA serves everybody")},
		"failed, then full":   {"what failed goes back first", steppingAt20, all(failing, asks(v1alpha1.ActionPromoteFull, "xB")), "records Retreating, weight 0/100 (then RolledBack; CheckFailed)"},
		"retry":               {"anew", wentBack, asks(v1alpha1.ActionRetry, "xB"), "records Preparing"},
		"retry, other":        {"the guard", wentBack, asks(v1alpha1.ActionRetry, "xC"), refusal("revision xB was rolled back last, not xC")},
		"retry, on its way":   {"it is tried", steppingAt20, all(asks(v1alpha1.ActionRetry, "xB"), endless), refusal("revision xB is on its way: only one that was rolled back can be tried again")},
		"retry, new template": {"that is tried by itself", wentBack, all(asks(v1alpha1.ActionRetry, "xB"), func(o *Observation) { o.Deployment.Template, o.Deployment.CanaryHash = "C", "xC" }), "records Preparing"},
		"pause":               {"held", steppingAt20, asks(v1alpha1.ActionPause, "xB"), step1 + ", paused by ann"},
		"pause, next":         {"nothing goes on", steppingAt20, paused, held},
		"pause, twice":        {"bob has", steppingAt20, all(paused, asks(v1alpha1.ActionPause, "xB")), refusal("bob has paused revision xB already")},
		"resume":              {"on", steppingAt20, all(paused, asks(v1alpha1.ActionResume, "xB")), step1 + ", not paused"},
		"resume, not paused":  {"nothing to resume", steppingAt20, all(endless, asks(v1alpha1.ActionResume, "xB")), refusal("revision xB is not paused")},
		"resume, spec.paused": {"the spec is the user's", steppingAt20, all(specPaused, asks(v1alpha1.ActionResume, "xB")), refusal("spec.paused is set, which only an edit of the Rollout ends")},
		"override":            {"noted", heldB, asks(v1alpha1.ActionOverride, "xB"), "records Preparing, overridden by ann"},
		"override, twice":     {"once is enough", steppingAt20, all(endless, func(o *Observation) { record(o).Override = &v1alpha1.Override{By: "bob"} }, asks(v1alpha1.ActionOverride, "xB")), refusal("bob has overridden what holds revision xB already")},
		"leaving":             {"nothing is delivered any more", steppingAt20, all(asks(v1alpha1.ActionPause, "xB"), func(o *Observation) { o.Rollout.Spec.ServiceRef.Name = "other" }), "records Retreating, weight 0/100 (then Detach; Detached)"},
		"not adopted":         {"there is no record", unadopted, all(asks(v1alpha1.ActionPause, "xB"), func(o *Observation) { o.Deployment.HistoryLimit = 0 }), refusal("the Rollout has not adopted the Deployment yet")},
		"taken":               {"a crash before the answer", steppingAt20, all(endless, promote, func(o *Observation) { record(o).Taken = &v1alpha1.TakenAction{UID: "a0", Message: "done", At: at(0)} }), "Answer act-0: Applied by ann: done"},
		"taken, next":         {"one at a time", steppingAt20, all(endless, promote, asks(v1alpha1.ActionAbort, "xB"), func(o *Observation) { record(o).Taken = &v1alpha1.TakenAction{UID: "a0", Message: "done", At: at(0)} }), "Answer act-0: Applied by ann: done"},
		"probe unknown":       {"nobody knows yet whether to believe it", steppingAt20, all(endless, promote, func(o *Observation) { o.Names = Names{} }), held},
		"long name":           {"it goes into the record", steppingAt20, all(endless, promote, func(o *Observation) { o.Asked[0].Annotations[v1alpha1.AnnotationBy] = string(make([]byte, 257)) }), "Answer act-0: Refused by " + string(make([]byte, 257)) + ": the user's name is longer than 256 bytes"},
	})
}

// failing is a measurement out of range that is answered in this very pass.
func failing(o *Observation) {
	limit := "0.01"
	o.Rollout.Spec.Analysis = &v1alpha1.Analysis{Checks: []v1alpha1.Check{{Name: "errors", Prometheus: &v1alpha1.PrometheusSource{Query: "q"}, Max: &limit}}}
	o.Samples = []Sample{{Check: "errors", Step: 1, Revision: "xB", At: start, Outcome: Number, Value: 1}}
}

// TestExpired is who goes when: a week after the answer, and the oldest of too many.
func TestExpired(t *testing.T) {
	answered := func(name string, ago time.Duration) v1alpha1.RolloutAction {
		when := metav1.NewMicroTime(start.Add(-ago))
		return v1alpha1.RolloutAction{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(start.Add(-30 * 24 * time.Hour))},
			Status:     v1alpha1.RolloutActionStatus{Phase: v1alpha1.ActionApplied, AppliedAt: &when},
		}
	}
	pending := answered("pending", 30*24*time.Hour)
	pending.Status = v1alpha1.RolloutActionStatus{}
	undated := answered("undated", 0)
	undated.Status.AppliedAt = nil
	var many []v1alpha1.RolloutAction
	for i := range 22 {
		many = append(many, answered(fmt.Sprintf("a%02d", i), time.Hour-time.Duration(i)*time.Minute))
	}
	const week = 7 * 24 * time.Hour
	for name, tc := range map[string]struct {
		reason  string
		actions []v1alpha1.RolloutAction
		gone    []string
		next    time.Time
	}{
		"none":        {"nothing to do", nil, nil, time.Time{}},
		"pending":     {"what has no answer stays, however old", []v1alpha1.RolloutAction{pending}, nil, time.Time{}},
		"a week":      {"to the microsecond", []v1alpha1.RolloutAction{answered("old", week), answered("new", week-time.Microsecond)}, []string{"old"}, start.Add(time.Microsecond)},
		"two days":    {"the next one goes in five", []v1alpha1.RolloutAction{answered("a", 48*time.Hour), answered("b", time.Hour)}, nil, start.Add(week - 48*time.Hour)},
		"too many":    {"the oldest go, and pending ones do not count", append([]v1alpha1.RolloutAction{pending}, many...), []string{"a00", "a01"}, start.Add(week - time.Hour + 2*time.Minute)},
		"without one": {"one that was answered by hand counts from its creation", []v1alpha1.RolloutAction{undated}, []string{"undated"}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			gone, next := Expired(tc.actions, start)
			if diff := cmp.Diff(tc.gone, gone); diff != "" || !next.Equal(tc.next) {
				t.Errorf("%s: next %s, want %s; gone (-want +got)\n%s", tc.reason, next, tc.next, diff)
			}
		})
	}
}

// TestExpiry holds that a pass removes what has expired and comes again in time.
func TestExpiry(t *testing.T) {
	week := at(-7 * 24 * time.Hour)
	hour := at(-time.Hour)
	done := func(at metav1.MicroTime) func(*Observation) {
		return func(o *Observation) {
			o.Asked[len(o.Asked)-1].Status = v1alpha1.RolloutActionStatus{Phase: v1alpha1.ActionApplied, AppliedAt: &at}
		}
	}
	pause := asks(v1alpha1.ActionPause, "xB")
	runRules(t, map[string]ruleCase{
		"old": {"a week", adoptedHealthy, all(pause, done(week), pause, done(hour)), "DeleteAction act-0\nasks again at 167h0m0s"},
	})
}

// TestHistory holds the last ten ends.
func TestHistory(t *testing.T) {
	o := readyToSwap()
	o.ReplicaSets[0].Owner, o.ReplicaSets[1].Owner = OwnerHolder, OwnerDeployment
	o.ReplicaSets[1].RevisionNumber, o.Deployment.RevisionNumber, o.Deployment.UpdatedReplicas = 2, 2, 4
	record(o).Promoted = &v1alpha1.Word{By: "ann, bob", Reason: "looks good", At: at(0)}
	for i := range 10 {
		o.Rollout.Status.History = append(o.Rollout.Status.History, v1alpha1.HistoryEntry{Revision: fmt.Sprintf("old%d", i)})
	}
	got := Decide(*o).Status.History
	if len(got) != 10 || got[9].Revision != "old8" {
		t.Errorf("want the last ten, got %+v", got)
	}
	want := v1alpha1.HistoryEntry{Revision: "xB", Outcome: v1alpha1.OutcomePromoted, By: "ann, bob", Message: "looks good", At: at(0)}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestSamplesCountOnce holds that an answer of a source counts once in a pass that
// also answers a person: it is taken before the action is judged, and not again after.
func TestSamplesCountOnce(t *testing.T) {
	o := steppingAt20()
	all(failing, asks(v1alpha1.ActionPause, "xC"))(o)
	o.Rollout.Spec.Analysis.Checks[0].FailureLimit = new(int32(1))
	plan := Decide(*o)
	if c := plan.Status.Checks; len(c) != 1 || c[0].Failures != 1 || plan.Status.Record.Stage != v1alpha1.StageStepping {
		t.Errorf("one measurement failed, and one is forgiven: %+v in stage %s", c, plan.Status.Record.Stage)
	}
}

// TestTakenStays holds that the end of a delivery does not forget an action whose
// answer is not written yet: it would be refused after it was applied.
func TestTakenStays(t *testing.T) {
	o := goingBack()
	all(asks(v1alpha1.ActionAbort, "xB"))(o)
	o.ReplicaSets = o.ReplicaSets[:1]
	record(o).Taken = &v1alpha1.TakenAction{UID: "a0", Message: "done", At: at(0)}
	r := Decide(*o).Status.Record
	if r.Stage != v1alpha1.StageRolledBack || r.Taken == nil || r.Taken.UID != "a0" {
		t.Errorf("got stage %s, taken %+v", r.Stage, r.Taken)
	}
	for name, o := range map[string]*Observation{"Deployment gone": steppingAt20(), "let go": goingBack()} {
		all(asks(v1alpha1.ActionAbort, "xB"))(o)
		record(o).Taken = &v1alpha1.TakenAction{UID: "a0", Message: "done", At: at(0)}
		if name == "let go" {
			o.ReplicaSets, o.Holder = o.ReplicaSets[:1], nil
			record(o).Stage, record(o).Then = v1alpha1.StageRestoring, v1alpha1.ThenDetach
			o.Deployment.Hold, o.Deployment.Rollout, o.Deployment.Paused = "", "", false
			o.Service.Pin, o.Service.Key, o.Service.Rollout = "", "", ""
		} else {
			o.Deployment, o.Service.Pin, o.Service.Key = nil, "", ""
		}
		plan := Decide(*o)
		if plan.Status.Record == nil || len(plan.Actions) != 1 || plan.Actions[0].Kind != AnswerAction {
			t.Errorf("%s: record %+v, actions %+v", name, plan.Status.Record, plan.Actions)
		}
		o.Asked[0].Status.Phase = v1alpha1.ActionApplied
		if plan = Decide(*o); plan.Status.Record != nil {
			t.Errorf("%s, answered: the record is still there: %+v", name, plan)
		}
	}
}
