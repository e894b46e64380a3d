package delivery

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// conditionsOf are the conditions as type, status and reason.
func conditionsOf(s *v1alpha1.RolloutStatus) map[string]string {
	m := map[string]string{}
	for _, c := range s.Conditions {
		m[c.Type] = string(c.Status) + "/" + c.Reason
	}
	return m
}

func TestConditions(t *testing.T) {
	cases := map[string]struct {
		reason string
		o      *Observation
		want   map[string]string
	}{
		"healthy": {"nothing to do", adoptedHealthy(), map[string]string{
			"Ready": "True/Healthy", "Reconciling": "False/Healthy", "Stalled": "False/Healthy", "Promoted": "True/Promoted", "Held": "True/PoliciesWork",
		}},
		"labels missing": {"the policies do not act yet", with(adoptedHealthy, func(o *Observation) { o.Service.Rollout = "" }), map[string]string{
			"Ready": "False/Initializing", "Reconciling": "True/Initializing", "Stalled": "False/Initializing", "Promoted": "True/Promoted", "Held": "True/PoliciesWork",
		}},
		"stepping": {"on its way", steppingWith(func(o *Observation) { o.Proxies.Acked = 1 }), map[string]string{
			"Ready": "False/Progressing", "Reconciling": "True/Progressing", "Stalled": "False/Progressing", "Promoted": "False/Progressing", "Held": "True/PoliciesWork",
		}},
		"paused": {"somebody is waited for", steppingWith(func(o *Observation) { o.Rollout.Spec.Paused = true }), map[string]string{
			"Ready": "False/Paused", "Reconciling": "True/Paused", "Stalled": "False/Paused", "Promoted": "False/Paused", "Held": "True/PoliciesWork",
		}},
		"warm": {"the template is the stable one, but old pods are left", with(keptWarm, func(o *Observation) { record(o).Since = at(0) }), map[string]string{
			"Ready": "False/Promoted", "Reconciling": "True/Promoted", "Stalled": "False/Promoted", "Promoted": "True/Promoted", "Held": "True/PoliciesWork",
		}},
		"warm, third": {"another template is held: that one is not promoted", with(keptWarm, func(o *Observation) { record(o).Since = at(0); o.Deployment.Template = "C" }), map[string]string{
			"Ready": "False/Promoted", "Reconciling": "True/Promoted", "Stalled": "False/Promoted", "Promoted": "False/Promoted", "Held": "True/PoliciesWork",
		}},
		"rolled back": {"it does not go on by itself", wentBack(), map[string]string{
			"Ready": "False/RolledBack", "Reconciling": "False/RolledBack", "Stalled": "True/RolledBack", "Promoted": "False/RolledBack", "Held": "True/PoliciesWork",
		}},
		"back while retreating": {"requests still go to the canary", with(goingBack, func(o *Observation) { o.Deployment.Template = "A" }), map[string]string{
			"Ready": "False/RollingBack", "Reconciling": "True/RollingBack", "Stalled": "False/RollingBack", "Promoted": "False/RollingBack", "Held": "True/PoliciesWork",
		}},
		"refused": {"somebody must correct it", with(unadopted, func(o *Observation) { o.Deployment.Recreate = true }), map[string]string{
			"Ready": "False/RecreateStrategy", "Reconciling": "False/RecreateStrategy", "Stalled": "True/RecreateStrategy", "Promoted": "False/RecreateStrategy", "Held": "True/PoliciesWork",
		}},
		"not settled": {"it settles by itself", with(unadopted, func(o *Observation) { o.Deployment.Generation++ }), map[string]string{
			"Ready": "False/NotSettled", "Reconciling": "True/NotSettled", "Stalled": "False/NotSettled", "Promoted": "False/NotSettled", "Held": "True/PoliciesWork",
		}},
		"no pin policy": {"the controller pins", with(adoptedHealthy, func(o *Observation) { o.Policies.Pin = false }), map[string]string{
			"Ready": "True/Healthy", "Reconciling": "False/Healthy", "Stalled": "False/Healthy", "Promoted": "True/Promoted", "Held": "False/PoliciesMissing",
		}},
		"Deployment gone": {"nothing is promoted", with(adoptedHealthy, func(o *Observation) { o.Deployment = nil; o.Service.Pin = "rA" }), map[string]string{
			"Ready": "False/DeploymentNotFound", "Reconciling": "False/DeploymentNotFound", "Stalled": "True/DeploymentNotFound", "Promoted": "False/DeploymentNotFound", "Held": "True/PoliciesWork",
		}},
		"no verdict, paused": {"the pause is what is waited for", with(judged, func(o *Observation) {
			o.Rollout.Spec.Paused = true
			record(o).AckedAt = atp(-time.Hour)
		}), map[string]string{
			"Ready": "False/Paused", "Reconciling": "True/Paused", "Stalled": "False/Paused", "Promoted": "False/Paused", "Held": "True/PoliciesWork",
		}},
		"no verdict, refused": {"the mistake is what is waited for", with(judged, func(o *Observation) {
			o.Refused = &Refusal{Reason: v1alpha1.ReasonInvalidQuery, Message: "m"}
			record(o).AckedAt = atp(-time.Hour)
		}), map[string]string{
			"Ready": "False/InvalidQuery", "Reconciling": "False/InvalidQuery", "Stalled": "True/InvalidQuery", "Promoted": "False/InvalidQuery", "Held": "True/PoliciesWork",
		}},
		"fallback": {"the controller holds", with(adoptedHealthy, func(o *Observation) {
			o.Policies = Policies{Known: true, Pin: true}
			o.Deployment.Hold, o.Deployment.Paused = "running", true
		}), map[string]string{
			"Ready": "True/Healthy", "Reconciling": "False/Healthy", "Stalled": "False/Healthy", "Promoted": "True/Promoted", "Held": "False/PoliciesMissing",
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			plan := Decide(*tc.o)
			if diff := cmp.Diff(tc.want, conditionsOf(&plan.Status)); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

// TestStatusFields: what kubectl get shows.
func TestStatusFields(t *testing.T) {
	stepping := everyStage()["stepping"]
	stepping.Proxies.OtherVersion = 1
	got := Decide(*stepping).Status
	started := metav1.NewTime(start.Add(-2 * time.Minute))
	want := v1alpha1.RolloutStatus{
		ObservedGeneration: 1,
		Phase:              v1alpha1.PhaseProgressing,
		Message:            "step 1/2: waiting until all proxies confirm 20/100 on canary xB, each for 1m0s at most",
		Stable:             &v1alpha1.RevisionStatus{Revision: "rA", Replicas: 4, Ready: 4},
		Canary:             &v1alpha1.RevisionStatus{Revision: "xB", Replicas: 1, Ready: 1},
		Step:               &v1alpha1.StepStatus{Index: 1, Count: 2, StartedAt: &started},
		StepSummary:        "1/2", WeightSummary: "20",
		Weight:       &v1alpha1.WeightStatus{Desired: 20, Effective: 20, Acked: 20},
		Proxies:      &v1alpha1.ProxiesStatus{Expected: 2, Connected: 2, Acked: 1, OtherVersion: 1},
		AckedSummary: "1/2",
	}
	got.Record, got.Conditions = nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	got = Decide(*with(adoptedHealthy, func(o *Observation) {
		o.Deployment.Template = "B"
		o.ReplicaSets = []ReplicaSet{running("rA", "A", OwnerDeployment, 0, 1), running("rB", "B", OwnerDeployment, 4, 2)}
	})).Status
	if diff := cmp.Diff(&v1alpha1.RevisionStatus{Revision: "rB", Replicas: 4, Ready: 4}, got.Stable); diff != "" {
		t.Errorf("the stable revision is another one by now: -want +got\n%s", diff)
	}
	got = Decide(*adoptedHealthy()).Status
	if got.Canary != nil || got.Step != nil || got.StepSummary != "" || got.Message != "revision rA serves everybody" {
		t.Errorf("healthy shows canary %v, step %v, message %q", got.Canary, got.Step, got.Message)
	}
}

// TestMessages: what a wait says it waits for.
func TestMessages(t *testing.T) {
	unconfirmed := func(o *Observation) { record(o).AckedAt = nil }
	cases := map[string]struct {
		o    *Observation
		want string
	}{
		"no proxy": {
			steppingWith(func(o *Observation) { unconfirmed(o); o.Proxies = Proxies{Current: true, Effective: 20} }),
			"step 1/2: waiting for a proxy that routes to Service web; rolls back at 2026-01-01 12:08:30 UTC",
		},
		"reduced": {
			steppingWith(func(o *Observation) { unconfirmed(o); o.Proxies.Effective = 10 }),
			"step 1/2: 10/100 on canary xB instead of 20 for want of ready pods; rolls back at 2026-01-01 12:08:30 UTC",
		},
		"not rendered, nobody": {steppingWith(func(o *Observation) {
			unconfirmed(o)
			o.Rollout.Spec.Strategy.Canary.Steps[0].Weight, record(o).Weight = new(int32(0)), 0
			record(o).Capacity, record(o).Replicas = 0, 0
			o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 0, 0)
			o.Proxies = Proxies{}
		}), "step 1/2: waiting until all proxies confirm 0/100 on canary xB, each for 1m0s at most"},
		"not rendered": {
			steppingWith(func(o *Observation) { unconfirmed(o); o.Proxies.Effective, o.Proxies.Current = 10, false }),
			"step 1/2: waiting until all proxies confirm 20/100 on canary xB, each for 1m0s at most",
		},
		"pods": {steppingWith(func(o *Observation) {
			r := record(o)
			r.WeightSince, r.AckedAt, r.Weight, r.Step, r.Capacity = metav1.MicroTime{}, nil, 0, 1, 0
			r.ScaledAt = atp(-time.Second)
			o.ReplicaSets[1].Available, o.ReplicaSets[1].Trouble = 0, "no node fits"
		}), "step 1/2: waiting for canary pods, 0 of 1 available: no node fits; rolls back at 2026-01-01 12:09:59 UTC"},
		"restoring after a promotion": {
			with(puttingBack, func(o *Observation) { o.ReplicaSets[0].Owner = OwnerDeployment }),
			"revision xB is promoted; putting the Deployment and its Services back",
		},
		"restoring after going back": {with(puttingBack, func(o *Observation) {
			o.ReplicaSets[0].Owner = OwnerDeployment
			record(o).Then, record(o).Message = v1alpha1.ThenRestore, "the template is the stable one again"
		}), "putting the Deployment and its Services back: the template is the stable one again"},
		"a new stage speaks for itself": {steppingWith(func(o *Observation) { o.Deployment.Template = "A" }), "the template is the stable one again"},
		"no verdict": {
			with(judged, func(o *Observation) {
				measuredBefore(o, v1alpha1.VerdictNoVerdict, time.Second).VerdictAt = nil
				record(o).AckedAt = atp(-time.Hour)
			}),
			"step 1/2: 20/100 on canary xB; no verdict within 10m0s by errors: goes on when verdicts come",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Decide(*tc.o).Status.Message); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
	o := judged()
	answer(o, NoAnswer, 0).Message = "connection refused"
	if got := Decide(*o).Status.Checks[0].Message; got != "no answer: connection refused" {
		t.Errorf("a check without an answer says %q", got)
	}
	o = steppingWith(func(o *Observation) { record(o).Total, record(o).Weight = 0, 0 })
	Decide(*o) // and does not divide by it
	o = judged()
	unreadable := "x"
	o.Rollout.Spec.Analysis.Checks[0].Max = &unreadable
	answer(o, Number, 100)
	if got := Decide(*o).Status.Record.Step; got != 2 {
		t.Errorf("an unreadable limit bounds something: step %d", got)
	}
}

func with(base func() *Observation, change func(*Observation)) *Observation {
	o := base()
	change(o)
	return o
}

func steppingWith(change func(*Observation)) *Observation { return with(steppingAt20, change) }

// everyStage is one observation of each stage in which nothing is to be written.
func everyStage() map[string]*Observation {
	return map[string]*Observation{
		"unadopted":  with(unadopted, func(o *Observation) { o.Deployment.Generation++ }),
		"healthy":    adoptedHealthy(),
		"preparing":  with(heldB, func(o *Observation) { o.Service = nil }),
		"stepping":   steppingWith(func(o *Observation) { o.Proxies.Acked, o.Proxies.PendingSince = 1, start }),
		"judged":     with(judged, func(o *Observation) { answer(o, NoData, 0) }),
		"pinning":    with(readyToSwap, func(o *Observation) { record(o).Stage = v1alpha1.StagePinning; o.Service.Endpoints = nil }),
		"handing":    with(readyToSwap, func(o *Observation) { o.Deployment.Generation++ }),
		"warm":       with(keptWarm, func(o *Observation) { record(o).Since = at(0) }),
		"retreating": with(goingBack, func(o *Observation) { o.Proxies.Current = false }),
		"rolledback": wentBack(),
		"restoring":  with(puttingBack, func(o *Observation) { o.ReplicaSets[0].Pods = 1 }),
	}
}

// TestQuietStatus: the status that was written, stored and read decides the same
// status again, an hour later in all that does not tick: or every pass would write.
func TestQuietStatus(t *testing.T) {
	for name, o := range everyStage() {
		t.Run(name, func(t *testing.T) {
			o.Now = o.Now.Add(123456789 * time.Nanosecond)
			first := Decide(*o)
			if !sameRecord(record(o), first.Status.Record) {
				t.Fatalf("the record changes: %+v", first.Status.Record)
			}
			raw, err := json.Marshal(first.Status)
			if err != nil {
				t.Fatal(err)
			}
			var stored v1alpha1.RolloutStatus
			if err := json.Unmarshal(raw, &stored); err != nil {
				t.Fatal(err)
			}
			o.Rollout.Status, o.Samples = stored, nil
			o.Now = o.Now.Add(3 * time.Second)
			again := Decide(*o)
			if !equality.Semantic.DeepEqual(stored, again.Status) {
				t.Errorf("-first +again\n%s", cmp.Diff(stored, again.Status))
			}
			for _, e := range again.Events {
				t.Errorf("told again: %s: %s", e.Reason, e.Message)
			}
		})
	}
}

// TestSameAgain: equal observations give equal plans, and deciding changes nothing
// that was observed.
func TestSameAgain(t *testing.T) {
	for name, o := range everyStage() {
		t.Run(name, func(t *testing.T) {
			before, _ := json.Marshal(o)
			one, _ := json.Marshal(Decide(*o))
			two, _ := json.Marshal(Decide(*o))
			after, _ := json.Marshal(o)
			if string(one) != string(two) {
				t.Errorf("two plans of one observation:\n%s", cmp.Diff(string(one), string(two)))
			}
			if string(before) != string(after) {
				t.Errorf("the observation was changed:\n%s", cmp.Diff(string(before), string(after)))
			}
		})
	}
}

// TestEmptyObservations: however little was seen, a decision is made.
func TestEmptyObservations(*testing.T) {
	for _, stage := range []v1alpha1.Stage{
		"", v1alpha1.StageHealthy, v1alpha1.StagePreparing, v1alpha1.StageStepping, v1alpha1.StagePinning,
		v1alpha1.StageHandingOver, v1alpha1.StageWarm, v1alpha1.StageRetreating, v1alpha1.StageRolledBack, v1alpha1.StageRestoring,
	} {
		for _, deployment := range []*Deployment{nil, {UID: "d"}, {UID: "d", Hold: "running", Paused: true, Replicas: 3}} {
			o := Observation{Rollout: &v1alpha1.Rollout{}, Deployment: deployment}
			if stage != "" {
				o.Rollout.Status.Record = &v1alpha1.Record{Stage: stage, WorkloadUID: "d", Canary: "xB", Step: 1}
			}
			Decide(o)
			o.ReplicaSets = []ReplicaSet{{Revision: "xB", Owner: OwnerHolder}}
			Decide(o)
			o.ReplicaSets[0].Owner = OwnerDeployment
			Decide(o)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	for name, o := range map[string]*Observation{"idle": adoptedHealthy(), "stepping": everyStage()["stepping"], "judged": judged()} {
		b.Run(name, func(b *testing.B) {
			o.Rollout.Status = Decide(*o).Status
			b.ReportAllocs()
			for b.Loop() {
				Decide(*o)
			}
		})
	}
}

// TestPerConnection: whoever waits for a share of the requests has to know where there
// are none to divide.
func TestPerConnection(t *testing.T) {
	for name, ports := range map[string][]string{"none": nil, "one": {"5432 (postgres)"}} {
		o := adoptedHealthy()
		o.Proxies.ByConnection = ports
		c := meta.FindStatusCondition(Decide(*o).Status.Conditions, v1alpha1.ConditionPerConnection)
		if (c != nil) != (ports != nil) {
			t.Fatalf("%s: condition %+v", name, c)
		}
		if c != nil && (c.Status != metav1.ConditionTrue || c.Reason != v1alpha1.ReasonTCPPorts || !strings.Contains(c.Message, "port 5432 (postgres) is TCP")) {
			t.Errorf("%s: condition %+v", name, c)
		}
		o.Rollout.Spec.Strategy = v1alpha1.Strategy{ABTest: abTest(v1alpha1.ABTestHold)}
		if said := meta.FindStatusCondition(Decide(*o).Status.Conditions, v1alpha1.ConditionPerConnection); c != nil &&
			(strings.Contains(c.Message, "sticky") || !strings.Contains(said.Message, "matches, copies and sticky do nothing there")) {
			t.Errorf("%s: what matches nothing: %q, with a test: %q", name, c.Message, said.Message)
		}
	}
}
