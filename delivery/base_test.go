package delivery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// start is the time of the base observations.
var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) metav1.MicroTime { return metav1.NewMicroTime(start.Add(d)) }

func atp(d time.Duration) *metav1.MicroTime { t := at(d); return &t }

// unadopted is a settled Deployment of four pods with its Service and two proxies.
func unadopted() *Observation {
	ro := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Name: testName, Namespace: testNamespace, Generation: 1, Finalizers: []string{v1alpha1.Finalizer}},
		Spec: v1alpha1.RolloutSpec{
			WorkloadRef: v1alpha1.WorkloadRef{Name: testName},
			ServiceRef:  v1alpha1.ServiceRef{Name: testName},
			Strategy: v1alpha1.Strategy{Canary: &v1alpha1.Canary{TotalWeight: 100, Steps: []v1alpha1.Step{
				{Weight: new(int32(20))}, {Weight: new(int32(50)), Pause: &v1alpha1.Pause{Duration: &metav1.Duration{Duration: time.Minute}}},
			}}},
		},
	}
	return &Observation{
		Now: start, Rollout: ro,
		Deployment: &Deployment{
			Name: testName, UID: "d", Generation: 3, ObservedGeneration: 3, Template: "A", CanaryHash: "xA",
			Replicas: 4, HistoryLimit: 10, UpdatedReplicas: 4, RevisionNumber: 1,
		},
		ReplicaSets: []ReplicaSet{running("rA", "A", OwnerDeployment, 4, 1)},
		Service:     &Service{Name: testName, UID: "s", Selects: true, Endpoints: []string{"rA"}},
		Proxies: Proxies{
			Expected: 2, Connected: 2, Acked: 2, Current: true, MayRoute: []string{"rA"}, Published: []string{"rA"},
		},
		Policies: Policies{Hold: true, Pin: true, Known: true},
	}
}

func running(revision, template string, owner Owner, n int32, number int64) ReplicaSet {
	return ReplicaSet{
		Name: testName + "-" + revision, UID: revision, Revision: revision, Template: template, Owner: owner,
		Replicas: n, StatusReplicas: n, Available: n, Observed: true, Pods: n, Ready: n, RevisionNumber: number, Created: start,
	}
}

func record(o *Observation) *v1alpha1.Record { return o.Rollout.Status.Record }

// adoptedHealthy is a Rollout with nothing on its way.
func adoptedHealthy() *Observation {
	o := unadopted()
	o.Deployment.Rollout, o.Service.Rollout = testName, testName
	o.Rollout.Status.Record = &v1alpha1.Record{
		Stage: v1alpha1.StageHealthy, Since: at(-time.Hour), Workload: testName, WorkloadUID: "d", Service: testName, Stable: "rA",
	}
	return o
}

// heldB is template B held, everything ready for a canary but its ReplicaSet.
func heldB() *Observation {
	o := adoptedHealthy()
	d := o.Deployment
	d.Template, d.CanaryHash, d.Hold, d.Paused, d.UpdatedReplicas = "B", "xB", "running", true, 0
	o.Holder = &Holder{Name: "web-crossfade", UID: "h", Deployment: "d"}
	o.Service.Pin, o.Service.Key = "rA", "rA"
	r := record(o)
	r.Stage, r.Since, r.CanaryTemplate, r.Attempt = v1alpha1.StagePreparing, at(-time.Minute), "B", 1
	return o
}

// steppingAt20 is the first step, 20 of 100 on one canary pod, acked a minute ago.
func steppingAt20() *Observation {
	o := heldB()
	o.ReplicaSets = append(o.ReplicaSets, running("xB", "B", OwnerHolder, 1, 0))
	r := record(o)
	r.Stage, r.Canary, r.Step, r.StepSince = v1alpha1.StageStepping, "xB", 1, at(-2*time.Minute)
	r.Weight, r.Total, r.Capacity, r.Replicas = 20, 100, 1, 1
	r.WeightSince, r.AckedAt, r.ScaledAt = at(-90*time.Second), atp(-time.Minute), atp(-2*time.Minute)
	o.Proxies.MayRoute = []string{"rA", "xB"}
	o.Proxies.Effective, o.Proxies.Agreed = 20, 20
	return o
}

// atWhole is the whole weight after the last step, acked.
func atWhole() *Observation {
	o := steppingAt20()
	o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 4, 0)
	r := record(o)
	r.Step, r.Promoting, r.Weight, r.Capacity, r.Replicas = 3, true, 100, 4, 4
	o.Proxies.Effective, o.Proxies.Agreed, o.Proxies.MayRoute = 100, 100, []string{"xB"}
	return o
}

// readyToSwap is everything acked on the canary and all endpoints its own.
func readyToSwap() *Observation {
	o := atWhole()
	o.Service.Pin, o.Service.Key, o.Service.Endpoints = "xB", "xB", []string{"xB"}
	record(o).Stage = v1alpha1.StageHandingOver
	return o
}

// keptWarm is after the handover, with the warm time over.
func keptWarm() *Observation {
	o := readyToSwap()
	o.ReplicaSets[0].Owner, o.ReplicaSets[1].Owner = OwnerHolder, OwnerDeployment
	o.ReplicaSets[1].RevisionNumber, o.Deployment.RevisionNumber, o.Deployment.UpdatedReplicas = 2, 2, 4
	o.Rollout.Status.Record = &v1alpha1.Record{
		Stage: v1alpha1.StageWarm, Since: at(-time.Minute), Workload: testName, WorkloadUID: "d", Service: testName,
		Stable: "xB", Old: "rA", Total: 100, Replicas: 4,
	}
	return o
}

// goingBack is a rolled back canary of two pods that no proxy routes to any more.
func goingBack() *Observation {
	o := steppingAt20()
	o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 2, 0)
	r := record(o)
	r.Stage, r.Since, r.Weight, r.WeightSince, r.AckedAt = v1alpha1.StageRetreating, at(-10*time.Second), 0, at(-10*time.Second), nil
	r.Then, r.Reason, r.Message = v1alpha1.ThenRolledBack, EventCheckFailed, "check errors failed"
	o.Proxies.MayRoute, o.Proxies.Effective, o.Proxies.Agreed = []string{"rA"}, 0, 0
	return o
}

// wentBack is after the rollback of B.
func wentBack() *Observation {
	o := heldB()
	o.Service.Pin, o.Service.Key = "", ""
	r := record(o)
	r.Stage, r.Since, r.CanaryTemplate = v1alpha1.StageRolledBack, at(-time.Minute), ""
	r.Then, r.Reason, r.Message = v1alpha1.ThenRolledBack, EventCheckFailed, "check errors failed"
	r.Failed, r.FailedTemplate, r.Attempt = "xB", "B", 1
	return o
}

// puttingBack is after a promotion, with the old ReplicaSet at 0.
func puttingBack() *Observation {
	o := keptWarm()
	o.ReplicaSets[0] = running("rA", "A", OwnerHolder, 0, 1)
	r := record(o)
	r.Stage, r.Old, r.Total, r.Replicas = v1alpha1.StageRestoring, "", 0, 0
	o.Proxies.MayRoute = []string{"xB"}
	return o
}

// tellPlan says what a plan does, in one line per thing.
func tellPlan(o *Observation, plan *Plan) string {
	var lines []string
	was, next := record(o), plan.Status.Record
	switch {
	case next == nil && was != nil:
		lines = append(lines, "forgets the record")
	case !sameRecord(was, next):
		lines = append(lines, "records "+tell(was, next))
		for i := range next.Hooks {
			e := &next.Hooks[i]
			s := fmt.Sprintf("hook %s %s %d of %s: %s", e.Name, e.At, e.Step, e.Revision, e.State)
			if e.Message != "" {
				s += ", " + e.Message
			}
			lines = append(lines, s)
		}
	}
	for i := range plan.Actions {
		s := describe(&plan.Actions[i])
		lines = append(lines, s[:strings.LastIndex(s, " (")])
	}
	for _, m := range plan.Measure {
		lines = append(lines, fmt.Sprintf("measures %s of %s at step %d", m.Check, m.Revision, m.Step))
	}
	for _, q := range plan.Hooks {
		lines = append(lines, fmt.Sprintf("asks %s %s %d of %s, attempt %d", q.Hook, q.At, q.Step, q.Revision, q.Attempt))
	}
	if len(lines) == 0 {
		lines = append(lines, fmt.Sprintf("%s, %s", plan.Status.Phase, plan.Status.Conditions[0].Reason))
	}
	if !plan.RequeueAt.IsZero() {
		lines = append(lines, "asks again at "+plan.RequeueAt.Sub(start).String())
	}
	return strings.Join(lines, "\n")
}

// ruleCase is one observation and what follows from it.
type ruleCase struct {
	reason string
	base   func() *Observation
	change func(*Observation)
	want   string
}

// admit lets a step that has begun be the one that the spec says, unless the case says
// otherwise.
func admit(o *Observation) {
	if r := record(o); r != nil && r.Admitted == "" {
		r.Admitted = newPass(*o).wanted().hash()
	}
}

func runRules(t *testing.T, cases map[string]ruleCase) {
	t.Helper()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := tc.base()
			if tc.change != nil {
				tc.change(o)
			}
			admit(o)
			plan := Decide(*o)
			if diff := cmp.Diff(tc.want, tellPlan(o, &plan)); diff != "" {
				t.Errorf("%s: -want +got\n%s\nmessage: %s", tc.reason, diff, plan.Status.Message)
			}
		})
	}
}
