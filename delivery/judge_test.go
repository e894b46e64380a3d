package delivery

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// judged is steppingAt20 with a check that is due 30 s after the ack, then every
// 10 s.
func judged() *Observation {
	o := steppingAt20()
	limit, lowest := "0.01", "0"
	o.Rollout.Spec.Analysis = &v1alpha1.Analysis{
		Interval: metav1.Duration{Duration: 10 * time.Second},
		Checks: []v1alpha1.Check{{
			Name: "errors", Min: &lowest, Max: &limit, InitialDelay: &metav1.Duration{Duration: 30 * time.Second},
		}},
	}
	return o
}

func answer(o *Observation, outcome Outcome, value float64) *Sample {
	o.Samples = []Sample{{Check: "errors", Step: 1, Revision: "xB", At: start.Add(-time.Second), Outcome: outcome, Value: value}}
	return &o.Samples[0]
}

func measuredBefore(o *Observation, v v1alpha1.Verdict, ago time.Duration) *v1alpha1.CheckStatus {
	o.Rollout.Status.Checks = []v1alpha1.CheckStatus{{Name: "errors", Verdict: v, MeasuredAt: atp(-ago), VerdictAt: atp(-ago)}}
	return &o.Rollout.Status.Checks[0]
}

func TestVerdicts(t *testing.T) {
	cases := map[string]struct {
		reason       string
		change       func(*Observation)
		verdict      v1alpha1.Verdict
		failures     int32
		value, stage string
	}{
		"none":          {"not measured yet", func(*Observation) {}, v1alpha1.VerdictPending, 0, "", "Stepping"},
		"in range":      {"a number that passes", func(o *Observation) { answer(o, Number, 0.005) }, v1alpha1.VerdictPending, 0, "", "Stepping 2"},
		"Job, complete": {"it passes without a number", func(o *Observation) { answer(o, Completed, 0) }, v1alpha1.VerdictPending, 0, "", "Stepping 2"},
		"Job, failed":   {"a failed measurement", func(o *Observation) { answer(o, Failed, 0) }, v1alpha1.VerdictFailed, 1, "", "Retreating"},
		"at max":        {"the limit itself passes", func(o *Observation) { answer(o, Number, 0.01) }, v1alpha1.VerdictPending, 0, "", "Stepping 2"},
		"at min":        {"the limit itself passes", func(o *Observation) { answer(o, Number, 0) }, v1alpha1.VerdictPending, 0, "", "Stepping 2"},
		"over max":      {"a failure", func(o *Observation) { answer(o, Number, 0.02) }, v1alpha1.VerdictFailed, 1, "0.02", "Retreating"},
		"below min":     {"a failure", func(o *Observation) { answer(o, Number, -1) }, v1alpha1.VerdictFailed, 1, "-1", "Retreating"},
		"forgiven": {"failureLimit", func(o *Observation) {
			answer(o, Number, 1)
			o.Rollout.Spec.Analysis.Checks[0].FailureLimit = new(int32(1))
		}, v1alpha1.VerdictFailing, 1, "1", "Stepping"},
		"no more": {"failureLimit is used up", func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictFailing, 11*time.Second).Failures = 1
			answer(o, Number, 1)
			o.Rollout.Spec.Analysis.Checks[0].FailureLimit = new(int32(1))
		}, v1alpha1.VerdictFailed, 2, "1", "Retreating"},
		"dry run":       {"it decides nothing", func(o *Observation) { answer(o, Number, 1); o.Rollout.Spec.Analysis.Checks[0].DryRun = true }, v1alpha1.VerdictPending, 0, "", "Stepping 2"},
		"no data":       {"D7: no verdict", func(o *Observation) { answer(o, NoData, 0) }, v1alpha1.VerdictNoVerdict, 0, "", "Stepping"},
		"NaN":           {"D7: no verdict", func(o *Observation) { answer(o, NotANumber, 0) }, v1alpha1.VerdictNoVerdict, 0, "", "Stepping"},
		"NaN as number": {"never compared", func(o *Observation) { answer(o, Number, math.NaN()) }, v1alpha1.VerdictNoVerdict, 0, "", "Stepping"},
		"infinity":      {"never compared", func(o *Observation) { answer(o, Number, math.Inf(1)) }, v1alpha1.VerdictNoVerdict, 0, "", "Stepping"},
		"no data fails": {"onNoData", func(o *Observation) {
			answer(o, NoData, 0)
			o.Rollout.Spec.Analysis.Checks[0].OnNoData = v1alpha1.NoDataFail
		}, v1alpha1.VerdictFailed, 1, "", "Retreating"},
		"no data passes": {"onNoData", func(o *Observation) {
			answer(o, NotANumber, 0)
			o.Rollout.Spec.Analysis.Checks[0].OnNoData = v1alpha1.NoDataPass
		}, v1alpha1.VerdictPending, 0, "", "Stepping 2"},
		"no data waits": {"onNoData", func(o *Observation) {
			answer(o, NoData, 0)
			o.Rollout.Spec.Analysis.Checks[0].OnNoData = v1alpha1.NoDataWait
		}, v1alpha1.VerdictNoVerdict, 0, "", "Stepping"},
		"no answer with NaN": {"I6: the value of no answer is none", func(o *Observation) {
			answer(o, NoAnswer, math.NaN())
			o.Rollout.Spec.Analysis.Checks[0].OnNoData = v1alpha1.NoDataPass
		}, v1alpha1.VerdictNoVerdict, 0, "", "Stepping"},
		"no answer, Fail": {"I6: an outage is never a verdict", func(o *Observation) {
			answer(o, NoAnswer, 0)
			o.Rollout.Spec.Analysis.Checks[0].OnNoData = v1alpha1.NoDataFail
		}, v1alpha1.VerdictNoVerdict, 0, "", "Stepping"},
		"no answer, Pass": {"I6: an outage is never a verdict", func(o *Observation) {
			answer(o, NoAnswer, 0)
			o.Rollout.Spec.Analysis.Checks[0].OnNoData = v1alpha1.NoDataPass
		}, v1alpha1.VerdictNoVerdict, 0, "", "Stepping"},
		"passed, then no answer": {"I6: what passed before does not count while nobody can see", func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictPassing, 11*time.Second)
			answer(o, NoAnswer, 0)
		}, v1alpha1.VerdictNoVerdict, 0, "", "Stepping"},
		"passed, then failing": {"the last measurement counts", func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictPassing, 11*time.Second)
			answer(o, Number, 1)
			o.Rollout.Spec.Analysis.Checks[0].FailureLimit = new(int32(1))
		}, v1alpha1.VerdictFailing, 1, "1", "Stepping"},
		"another step":     {"it says nothing about this one", func(o *Observation) { answer(o, Number, 1).Step = 2 }, v1alpha1.VerdictPending, 0, "", "Stepping"},
		"another revision": {"it says nothing about this one", func(o *Observation) { answer(o, Number, 1).Revision = "xZ" }, v1alpha1.VerdictPending, 0, "", "Stepping"},
		"before the ack":   {"part of the requests had another weight", func(o *Observation) { answer(o, Number, 1).At = start.Add(-2 * time.Minute) }, v1alpha1.VerdictPending, 0, "", "Stepping"},
		"unknown check":    {"it was removed", func(o *Observation) { answer(o, Number, 1).Check = "gone" }, v1alpha1.VerdictPending, 0, "", "Stepping"},
		"not acked": {"nothing to judge yet", func(o *Observation) {
			answer(o, Number, 1)
			record(o).AckedAt = nil
			o.Proxies.Acked, o.Proxies.PendingSince = 1, start
		}, v1alpha1.VerdictPending, 0, "", "Stepping"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := judged()
			tc.change(o)
			got := Decide(*o).Status
			stage := string(got.Record.Stage)
			if got.Record.Step > 1 {
				stage += " 2"
			}
			c := got.Checks[0]
			if diff := cmp.Diff([]any{tc.verdict, tc.failures, tc.value, tc.stage}, []any{c.Verdict, c.Failures, c.Value, stage}); diff != "" {
				t.Errorf("%s: -want +got\n%s%s", tc.reason, diff, c.Message)
			}
		})
	}
}

func TestMeasuring(t *testing.T) {
	since := func(d time.Duration) func(*Observation) {
		return func(o *Observation) { record(o).AckedAt = atp(-d) }
	}
	// next is the second step, which waits for its second pod.
	next := func(o *Observation) {
		r := record(o)
		r.Step, r.StepSince, r.WeightSince, r.AckedAt = 2, at(-30*time.Second), metav1.MicroTime{}, nil
		r.Replicas, r.ScaledAt = 2, atp(-30*time.Second)
		o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 2, 0)
		o.ReplicaSets[1].Available = 1
	}
	runRules(t, map[string]ruleCase{
		"too early":    {"initialDelay", judged, since(29 * time.Second), "Progressing, Progressing\nasks again at 1s"},
		"first":        {"initialDelay is over", judged, since(30 * time.Second), "measures errors of xB at step 1\nasks again at 10m0s"},
		"no delay set": {"one interval", judged, func(o *Observation) { since(9 * time.Second)(o); o.Rollout.Spec.Analysis.Checks[0].InitialDelay = nil }, "Progressing, Progressing\nasks again at 1s"},
		"own interval": {"the check's own", judged, func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictNoVerdict, 11*time.Second)
			o.Rollout.Spec.Analysis.Checks[0].Interval = &metav1.Duration{Duration: 15 * time.Second}
		}, "Progressing, Progressing\nasks again at 4s"},
		"next":    {"interval", judged, func(o *Observation) { measuredBefore(o, v1alpha1.VerdictNoVerdict, 10*time.Second) }, "measures errors of xB at step 1\nasks again at 9m50s"},
		"not yet": {"interval", judged, func(o *Observation) { measuredBefore(o, v1alpha1.VerdictNoVerdict, 9*time.Second) }, "Progressing, Progressing\nasks again at 1s"},
		"no weight": {"nothing to be judged by", judged, func(o *Observation) {
			record(o).Weight = 0
			o.Rollout.Spec.Strategy.Canary.Steps[0].Weight = new(int32(0))
			o.Proxies.Effective = 0
			record(o).Capacity, record(o).Replicas = 0, 0
			o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 0, 0)
		}, "records Stepping step 2, weight 0/100, not acked"},
		"the next step waits for pods": {"what the canary has is measured", judged, next, "measures errors of xB at step 2\nasks again at 9m30s"},
		"the next step waits, early":   {"initialDelay, from its start", judged, all(next, func(o *Observation) { record(o).StepSince = at(-29 * time.Second) }), "Progressing, Progressing\nasks again at 1s"},
		"the next step waits, failed":  {"what is measured counts", judged, all(next, func(o *Observation) { answer(o, Number, 1).Step = 2 }), "records Retreating, weight 0/100 (then RolledBack; CheckFailed)"},
		"the next step waits, a Job": {"it would hardly have begun", judged, all(next, func(o *Observation) {
			o.Rollout.Spec.Analysis.Checks[0].Prometheus, o.Rollout.Spec.Analysis.Checks[0].Job = nil, &v1alpha1.JobSource{}
		}), "Progressing, Progressing\nasks again at 9m30s"},
		"the next weight is on its way": {"nobody knows what is measured", judged, all(next, func(o *Observation) {
			record(o).WeightSince, record(o).Weight = at(-10*time.Second), 50
			answer(o, Number, 1).Step = 2
		}), "Progressing, Progressing\nasks again at 9m50s"},
		"passing in a pause": {"it goes on being measured", judged, func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictPassing, 10*time.Second)
			o.Rollout.Spec.Strategy.Canary.Steps[0].Pause = &v1alpha1.Pause{}
		}, "measures errors of xB at step 1"},
		"paused": {"it goes on being measured", judged, func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictPassing, 10*time.Second)
			o.Rollout.Spec.Paused = true
		}, "measures errors of xB at step 1"},
		"no verdict": {"D7: paused, not rolled back", judged, func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictNoVerdict, time.Second).VerdictAt = nil
			since(630 * time.Second)(o)
		}, "Paused, NoVerdict\nasks again at 9s"},
		"no verdict, almost": {"the deadline counts from the first due time", judged, func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictNoVerdict, time.Second).VerdictAt = nil
			since(629 * time.Second)(o)
		}, "Progressing, Progressing\nasks again at 1s"},
		"verdicts stopped": {"the deadline counts from the last verdict", judged, func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictNoVerdict, time.Second).VerdictAt = atp(-599 * time.Second)
			since(time.Hour)(o)
		}, "Progressing, Progressing\nasks again at 1s"},
		"no verdict, dry run": {"it decides nothing", judged, func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictNoVerdict, time.Second).VerdictAt = nil
			since(time.Hour)(o)
			o.Rollout.Spec.Analysis.Checks[0].DryRun = true
		}, "records Stepping step 2, weight 20/100, not acked"},
		"no verdict, Rollback": {"the user asked for it", judged, func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictNoVerdict, time.Second).VerdictAt = nil
			since(630 * time.Second)(o)
			o.Rollout.Spec.Analysis.OnDeadline = v1alpha1.DeadlineRollback
		}, "records Retreating, weight 0/100 (then RolledBack; NoVerdict)"},
		"no verdict, dry run, Rollback": {"it decides nothing", judged, func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictNoVerdict, time.Second).VerdictAt = nil
			since(time.Hour)(o)
			o.Rollout.Spec.Analysis.Checks[0].DryRun, o.Rollout.Spec.Analysis.OnDeadline = true, v1alpha1.DeadlineRollback
		}, "records Stepping step 2, weight 20/100, not acked"},
		"no weight, long": {"without weight no verdict is overdue", judged, func(o *Observation) {
			since(time.Hour)(o)
			record(o).Weight, o.Proxies.Effective = 0, 0
			o.Rollout.Spec.Strategy.Canary.Steps[0].Weight = new(int32(0))
			record(o).Capacity, record(o).Replicas = 0, 0
			o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 0, 0)
			o.Rollout.Spec.Analysis.OnDeadline = v1alpha1.DeadlineRollback
		}, "records Stepping step 2, weight 0/100, not acked"},
		"raised, not judged": {"I3: the present weight first", judged, func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictNoVerdict, 9*time.Second)
			o.Rollout.Spec.Strategy.Canary.Steps[0].Weight = new(int32(25))
		}, "Progressing, Progressing\nasks again at 1s"},
	})
}

func TestConfirmedAnew(t *testing.T) {
	o := judged()
	measuredBefore(o, v1alpha1.VerdictPassing, 11*time.Second).Failures = 1
	record(o).AckedAt = nil
	got := Decide(*o).Status.Checks[0]
	want := v1alpha1.CheckStatus{Name: "errors", Verdict: v1alpha1.VerdictPending, Expected: "at least 0, at most 0.01", Failures: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a check of a weight that is confirmed anew must pass again, its failures stay counted: -want +got\n%s", diff)
	}
}

func TestNextStepStartsFresh(t *testing.T) {
	o := judged()
	measuredBefore(o, v1alpha1.VerdictPassing, time.Second).Failures = 1
	got := Decide(*o).Status
	want := []v1alpha1.CheckStatus{{Name: "errors", Verdict: v1alpha1.VerdictPending, Expected: "at least 0, at most 0.01"}}
	if diff := cmp.Diff(want, got.Checks); diff != "" || got.Record.Step != 2 {
		t.Errorf("step %d: -want +got\n%s", got.Record.Step, diff)
	}
}
