package delivery

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

func TestStepping(t *testing.T) {
	fresh := func(o *Observation) { // step 2, its pods there, weight not moved yet
		r := record(o)
		r.Step, r.StepSince, r.WeightSince, r.AckedAt, r.Replicas = 2, at(0), metav1.MicroTime{}, nil, 2
		o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 2, 0)
	}
	waiting := func(o *Observation) { record(o).AckedAt = nil }
	unacked := func(since time.Duration) func(*Observation) {
		return func(o *Observation) {
			o.Proxies.Acked, o.Proxies.PendingSince, o.Proxies.Silent = 1, start.Add(since), []string{"gw-1"}
		}
	}
	paused := func(o *Observation) { o.Rollout.Spec.Paused = true }
	long := func(o *Observation) {
		r := record(o)
		r.StepSince, r.WeightSince, r.ScaledAt = at(-time.Hour), at(-time.Hour), nil
	}
	onlyStep := func(s v1alpha1.Step) func(*Observation) {
		return func(o *Observation) { o.Rollout.Spec.Strategy.Canary.Steps = []v1alpha1.Step{s} }
	}
	both := func(fs ...func(*Observation)) func(*Observation) {
		return func(o *Observation) {
			for _, f := range fs {
				f(o)
			}
		}
	}
	runRules(t, map[string]ruleCase{
		"over": {"no pause, no checks: on", steppingAt20, nil, "records Stepping step 2, weight 20/100, not acked"},
		"last step over": {"the whole weight follows", atWhole, func(o *Observation) {
			record(o).Step, record(o).Promoting = 2, false
			record(o).Weight = 50
			o.Proxies.Effective = 50
			record(o).Capacity, record(o).Replicas = 2, 2
			o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 2, 0)
		}, "records Stepping step 3, weight 50/100, not acked"},
		"rise, unacked":    {"I3: the last weight is not acked by all", steppingAt20, both(fresh, unacked(-time.Second)), "Progressing, Progressing\nasks again at 1m0s"},
		"rise, old render": {"acks of something older count for nothing", steppingAt20, both(fresh, func(o *Observation) { o.Proxies.Current = false }), "Progressing, Progressing"},
		"rise, paused":     {"paused stops what goes to the canary", steppingAt20, both(fresh, paused), "Paused, Paused"},
		"grow, paused":     {"paused stops what goes to the canary", steppingAt20, both(fresh, paused, func(o *Observation) { record(o).Replicas = 1; o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 1, 0) }), "Paused, Paused"},
		"rise, no proxies": {"nobody could observe it", steppingAt20, both(fresh, func(o *Observation) { o.Proxies = Proxies{Current: true} }), "Progressing, NoProxies\nasks again at 10m0s"},
		"rise, no streams": {"nobody could observe it", steppingAt20, both(fresh, func(o *Observation) {
			o.Proxies.PendingSince = start.Add(-time.Hour)
			o.Rollout.Spec.Acks.Timeout.Duration = time.Nanosecond
			o.Proxies.Connected, o.Proxies.Acked = 0, 0
			record(o).Weight = 0
			o.Proxies.Effective = 0
		}), "Progressing, NoProxies\nasks again at 10m0s"},
		"no proxies, too long": {"the deadline takes it back", steppingAt20, both(fresh, func(o *Observation) {
			o.Proxies = Proxies{Current: true}
			record(o).StepSince, record(o).ScaledAt = at(-10*time.Minute), atp(-10*time.Minute)
		}), "records Retreating, weight 0/100 (then RolledBack; NoProxies)"},
		"no proxies, paused": {"the pause explains the wait", steppingAt20, both(fresh, paused, func(o *Observation) {
			o.Proxies = Proxies{Current: true}
			record(o).StepSince, record(o).ScaledAt = at(-10*time.Minute), atp(-10*time.Minute)
		}), "Paused, Paused"},
		"no proxies, no weight wanted": {"nobody is needed", steppingAt20, both(fresh, onlyStep(v1alpha1.Step{}), func(o *Observation) {
			o.Proxies = Proxies{Current: true}
			r := record(o)
			r.Step, r.Weight, r.Replicas, r.Capacity, r.StepSince, r.ScaledAt = 1, 0, 0, 0, at(-10*time.Minute), nil
			o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 0, 0)
		}), "records Stepping step 1, weight 0/100"},
		"NACK of something older": {"what is published now was not rejected yet", steppingAt20, both(waiting, func(o *Observation) { o.Proxies.Acked, o.Proxies.Rejected, o.Proxies.Current = 1, 1, false }), "Progressing, Progressing"},
		"pods pending, paused":    {"they were asked for before", steppingAt20, both(fresh, paused, func(o *Observation) { o.ReplicaSets[1].Available = 1 }), "Progressing, Progressing\nasks again at 10m0s"},
		"same weight, paused": {"nothing rises", steppingAt20, both(fresh, paused, func(o *Observation) {
			o.Rollout.Spec.Strategy.Canary.Steps[1].Weight = new(int32(20))
			record(o).Replicas = 1
			o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 1, 0)
		}), "records Stepping step 2, weight 20/100"},
		"confirm":          {"D4: everybody has it", steppingAt20, waiting, "records Stepping step 1, acked"},
		"confirm, unacked": {"one proxy has not", steppingAt20, both(waiting, unacked(-time.Second)), "Progressing, Progressing\nasks again at 59s"},
		"confirm, reduced": {"canary pods are missing", steppingAt20, both(waiting, func(o *Observation) { o.Proxies.Effective = 10 }), "Progressing, Progressing\nasks again at 8m30s"},
		"confirm, nobody":  {"no proxy has confirmed anything", steppingAt20, both(waiting, func(o *Observation) { o.Proxies = Proxies{Current: true, Effective: 20} }), "Progressing, Progressing\nasks again at 8m30s"},
		"confirm 0, nobody": {"without weight nobody is needed", steppingAt20, both(onlyStep(v1alpha1.Step{}), func(o *Observation) {
			record(o).Weight, record(o).AckedAt, record(o).Replicas, record(o).Capacity = 0, nil, 0, 0
			o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 0, 0)
			o.Proxies = Proxies{Current: true}
		}), "records Stepping step 1, acked"},
		"reduced later":      {"the clock starts again", steppingAt20, func(o *Observation) { o.Proxies.Effective = 10 }, "records Stepping step 1, weight 20/100, not acked"},
		"pods lost":          {"the clock starts again", steppingAt20, func(o *Observation) { o.ReplicaSets[1].Available = 0 }, "records Stepping step 1, weight 20/100, not acked"},
		"proxies gone":       {"the clock starts again", steppingAt20, func(o *Observation) { o.Proxies = Proxies{Current: true, Effective: 20} }, "records Stepping step 1, weight 20/100, not acked"},
		"Service gone":       {"the clock starts again", steppingAt20, func(o *Observation) { o.Service = nil }, "records Stepping step 1, weight 20/100, not acked"},
		"Service still gone": {"it holds, with a deadline", steppingAt20, both(waiting, func(o *Observation) { o.Service = nil }), "Paused, ServiceNotFound\nasks again at 8m30s"},
		"Service gone for good": {"the deadline", steppingAt20, both(waiting, func(o *Observation) {
			o.Service = nil
			record(o).WeightSince, record(o).StepSince, record(o).ScaledAt = at(-10*time.Minute), at(-10*time.Minute), nil
		}), "records Retreating, weight 0/100 (then RolledBack; ServiceNotFound)"},
		"pods lost after long":     {"the clock starts again, it has not run out", steppingAt20, both(long, func(o *Observation) { o.ReplicaSets[1].Available = 0 }), "records Stepping step 1, weight 20/100, not acked"},
		"proxies gone after long":  {"the clock starts again, it has not run out", steppingAt20, both(long, func(o *Observation) { o.Proxies = Proxies{Current: true, Effective: 20} }), "records Stepping step 1, weight 20/100, not acked"},
		"Service gone after long":  {"the clock starts again, it has not run out", steppingAt20, both(long, func(o *Observation) { o.Service = nil }), "records Stepping step 1, weight 20/100, not acked"},
		"Service and proxies gone": {"the Service is the reason", steppingAt20, both(long, waiting, func(o *Observation) { o.Service = nil; o.Proxies = Proxies{Current: true, Effective: 20} }), "records Retreating, weight 0/100 (then RolledBack; ServiceNotFound)"},
		"stable deleted, started": {"its successor is stable when it is all there", steppingAt20, func(o *Observation) {
			o.ReplicaSets = []ReplicaSet{o.ReplicaSets[1], running("rB", "B", OwnerDeployment, 1, 2)}
		}, "LetGo web"},
		"failed, both dead": {"nobody serves, and back is the way", steppingAt20, both(unacked(-time.Minute), func(o *Observation) { o.ReplicaSets[0].Ready, o.ReplicaSets[1].Ready = 0, 0 }), "records Retreating, weight 0/100 (then RolledBack; ProxySilent)"},
		"others ready only": {"I11: of a revision that is neither", steppingAt20, func(o *Observation) {
			o.ReplicaSets[0].Ready, o.ReplicaSets[1].Ready = 0, 0
			o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerHolder, 1, 7))
		}, "Unpin web"},
		"not available": {"the deadline", steppingAt20, both(waiting, func(o *Observation) {
			o.ReplicaSets[1].Available = 0
			record(o).WeightSince, record(o).StepSince, record(o).ScaledAt = at(-10*time.Minute), at(-time.Hour), nil
		}), "records Retreating, weight 0/100 (then RolledBack; CanaryNotAvailable)"},
		"NACK":                                 {"more of it must not follow", steppingAt20, func(o *Observation) { o.Proxies.Acked, o.Proxies.Rejected = 1, 1 }, "records Retreating, weight 0/100 (then RolledBack; ProxyRejected)"},
		"silent":                               {"past acks.timeout", steppingAt20, unacked(-time.Minute), "records Retreating, weight 0/100 (then RolledBack; ProxySilent)"},
		"silent since restart":                 {"this controller listens for a second only", steppingAt20, unacked(-time.Second), "Progressing, Progressing\nasks again at 59s"},
		"silent, fresh weight":                 {"the weight was written a second ago", steppingAt20, both(waiting, unacked(-time.Hour), func(o *Observation) { record(o).WeightSince = at(-time.Second) }), "Progressing, Progressing\nasks again at 59s"},
		"silent, Continue":                     {"the user said so, and one has confirmed", steppingAt20, both(unacked(-time.Minute), func(o *Observation) { o.Rollout.Spec.Acks.OnTimeout = v1alpha1.AckTimeoutContinue }), "records Stepping step 2, weight 20/100, not acked"},
		"all silent, Continue":                 {"nobody has shown what the others would get", steppingAt20, both(unacked(-time.Minute), func(o *Observation) { o.Proxies.Acked = 0; o.Rollout.Spec.Acks.OnTimeout = v1alpha1.AckTimeoutContinue }), "records Retreating, weight 0/100 (then RolledBack; ProxySilent)"},
		"paused":                               {"no next step", steppingAt20, paused, "Paused, Paused"},
		"refused":                              {"nothing moves", steppingAt20, func(o *Observation) { o.Refused = &Refusal{Reason: v1alpha1.ReasonInvalidQuery, Message: "m"} }, "Paused, InvalidQuery"},
		"pause runs":                           {"not over yet", steppingAt20, onlyStep(v1alpha1.Step{Weight: new(int32(20)), Pause: &v1alpha1.Pause{Duration: &metav1.Duration{Duration: 61 * time.Second}}}), "Progressing, Progressing\nasks again at 1s"},
		"pause over":                           {"just over", steppingAt20, onlyStep(v1alpha1.Step{Weight: new(int32(20)), Pause: &v1alpha1.Pause{Duration: &metav1.Duration{Duration: time.Minute}}}), "records Stepping step 2, weight 20/100, not acked"},
		"endless":                              {"until somebody promotes", steppingAt20, onlyStep(v1alpha1.Step{Weight: new(int32(20)), Pause: &v1alpha1.Pause{}}), "Paused, Paused"},
		"promoted":                             {"somebody did", steppingAt20, both(onlyStep(v1alpha1.Step{Weight: new(int32(20)), Pause: &v1alpha1.Pause{}}), func(o *Observation) { o.Rollout.Annotations = map[string]string{v1alpha1.AnnotationPromote: "xB/1"} }), "records Stepping step 2, weight 20/100, not acked"},
		"other promoted":                       {"another step", steppingAt20, both(onlyStep(v1alpha1.Step{Weight: new(int32(20)), Pause: &v1alpha1.Pause{}}), func(o *Observation) { o.Rollout.Annotations = map[string]string{v1alpha1.AnnotationPromote: "xB/2"} }), "Paused, Paused"},
		"lowered":                              {"towards stable nothing is waited for", steppingAt20, both(onlyStep(v1alpha1.Step{Weight: new(int32(10))}), unacked(-time.Second)), "records Stepping step 1, weight 10/100, not acked"},
		"raised":                               {"a rise like any other: the step begins again", steppingAt20, onlyStep(v1alpha1.Step{Weight: new(int32(25))}), "records Stepping step 1, weight 20/100, not acked"},
		"raised, unacked":                      {"I3", steppingAt20, both(onlyStep(v1alpha1.Step{Weight: new(int32(25))}), unacked(-time.Second)), "Progressing, Progressing\nasks again at 59s"},
		"raised, paused":                       {"paused", steppingAt20, both(onlyStep(v1alpha1.Step{Weight: new(int32(25))}), paused), "Paused, Paused"},
		"raised, before its weight is written": {"it asks the gates again", steppingAt20, both(fresh, func(o *Observation) { record(o).Admitted = "another weight" }), "records Stepping step 2"},
		"fewer steps":                          {"the last one that is left is held and judged anew", atWhole, func(o *Observation) { record(o).Step, record(o).Promoting = 9, false }, "records Stepping step 2, weight 100/100, not acked"},
		"last step removed":                    {"no edit leads to the promotion", atWhole, func(o *Observation) { record(o).Promoting = false }, "records Stepping step 2, weight 100/100, not acked"},
		"last step removed, pods pending":      {"it goes on to wait, and not for long", steppingAt20, both(fresh, func(o *Observation) { record(o).Step = 3 }), "records Stepping step 2"},
		"fewer steps while all move":           {"the promotion goes on", atWhole, func(o *Observation) { record(o).Step = 9 }, "records Stepping step 3"},
		"more steps while all move": {"the added one comes first", atWhole, func(o *Observation) {
			c := o.Rollout.Spec.Strategy.Canary
			c.Steps = append(c.Steps, v1alpha1.Step{Weight: new(int32(80))})
		}, "records Stepping step 3, weight 100/100, not acked"},
		"more steps, then lower": {"its weight at once", atWhole, func(o *Observation) {
			c := o.Rollout.Spec.Strategy.Canary
			c.Steps = append(c.Steps, v1alpha1.Step{Weight: new(int32(80))})
			record(o).Promoting = false
		}, "records Stepping step 3, weight 80/100, not acked"},
		"finer total": {"the sum of the routes stays", steppingAt20, func(o *Observation) {
			c := o.Rollout.Spec.Strategy.Canary
			c.TotalWeight = 1000
			c.Steps[0].Weight = new(int32(155))
		}, "records Stepping step 1, weight 15/100, not acked"},
		"third":       {"back first", steppingAt20, func(o *Observation) { o.Deployment.Template = "C" }, "records Retreating, weight 0/100 (then Prepare; Superseded)"},
		"back":        {"the canary goes", steppingAt20, func(o *Observation) { o.Deployment.Template = "A" }, "records Retreating, weight 0/100 (then Restore; Superseded)"},
		"deleted":     {"the canary goes", steppingAt20, deleted, "records Retreating, weight 0/100 (then Detach; Detached)"},
		"unheld":      {"I10", steppingAt20, func(o *Observation) { o.Deployment.Hold, o.Deployment.Paused = "", false }, "Hold web"},
		"stray":       {"I5", steppingAt20, func(o *Observation) { o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerDeployment, 0, 7)) }, "Park web-rZ"},
		"unpinned":    {"I8", steppingAt20, func(o *Observation) { o.Service.Pin, o.Service.Key = "", "" }, "Pin web to rA"},
		"stable lost": {"I11: an empty Service is worse", steppingAt20, func(o *Observation) { o.ReplicaSets[0].Ready = 0 }, "Pin web to xB"},
		"stable back": {"I8: the pin comes back", steppingAt20, func(o *Observation) { o.Service.Pin, o.Service.Key = "xB", "xB" }, "Pin web to rA"},
		"both lost": {"nothing to move to", steppingAt20, both(waiting, func(o *Observation) {
			o.ReplicaSets[0].Ready, o.ReplicaSets[1].Ready, o.ReplicaSets[1].Available = 0, 0, 0
			o.Proxies.Effective = 0
		}), "Progressing, Progressing\nasks again at 8m30s"},
		"stable deleted":      {"nothing to go back to", steppingAt20, func(o *Observation) { o.ReplicaSets = o.ReplicaSets[1:] }, "LetGo web"},
		"failed, stable dead": {"going back would break everybody", steppingAt20, both(unacked(-time.Minute), func(o *Observation) { o.ReplicaSets[0].Ready = 0 }), "records Retreating (then RolledBack; ProxySilent)"},
	})
}

// TestApprovalsAreForWhatWasSeen: a step that is edited to give the canary more, or
// that takes the place of a removed one, is approved anew.
func TestApprovalsAreForWhatWasSeen(t *testing.T) {
	for name, change := range map[string]func(*Observation){
		"raised": func(o *Observation) { o.Rollout.Spec.Strategy.Canary.Steps[0].Weight = new(int32(25)) },
		"removed": func(o *Observation) {
			o.Rollout.Spec.Strategy.Canary.Steps = o.Rollout.Spec.Strategy.Canary.Steps[1:]
			record(o).Step = 2
		},
	} {
		o := steppingAt20()
		record(o).Approvals = []v1alpha1.Word{{By: "ann"}}
		change(o)
		r := Decide(*o).Status.Record
		if r.Step != 1 || r.AckedAt != nil || r.Approvals != nil {
			t.Errorf("%s: step %d, acked %v, approved by %v; want step 1 to begin anew", name, r.Step, r.AckedAt, approvers(r.Approvals))
		}
	}
}

func TestMessagesNameWhatToDo(t *testing.T) {
	o := steppingAt20()
	o.Rollout.Spec.Strategy.Canary.Steps[0].Pause = &v1alpha1.Pause{}
	if got, want := Decide(*o).Status.Message, "kubectl crossfade promote web -n shop"; !strings.Contains(got, want) {
		t.Errorf("endless pause says %q, want %q in it", got, want)
	}
	o = wentBack()
	if got, want := Decide(*o).Status.Message, "kubectl crossfade retry web -n shop"; !strings.Contains(got, want) {
		t.Errorf("rolled back says %q, want %q in it", got, want)
	}
	o = steppingAt20()
	record(o).AckedAt = nil
	o.ReplicaSets[1].Available, o.ReplicaSets[1].Trouble = 0, "0/2 nodes are available"
	o.Proxies.Effective = 0
	record(o).StepSince, record(o).WeightSince, record(o).ScaledAt = at(-time.Hour), at(-time.Hour), nil
	if got, want := Decide(*o).Status.Message, "0/2 nodes are available"; !strings.Contains(got, want) {
		t.Errorf("not available says %q, want %q in it", got, want)
	}
}
