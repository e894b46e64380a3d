package delivery

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// TestToldWithTheWrite: what no change of the record goes with is told by the write
// itself. Among Plan.Events it would be told again by every pass whose write meets a
// conflict.
func TestToldWithTheWrite(t *testing.T) {
	lost := func(o *Observation) { o.ReplicaSets[0].Ready = 0 }
	letGo := func(o *Observation) {
		o.ReplicaSets[0].Owner = OwnerDeployment
		o.Service.Pin, o.Service.Key, o.Holder = "", "", nil
		o.Deployment.Template = "C"
		deleted(o)
		record(o).Then = v1alpha1.ThenDetach
	}
	cases := map[string]struct {
		reason string
		base   func() *Observation
		change func(*Observation)
		kind   Kind
		want   *Event
	}{
		"pin moved": {
			"the guard moves it", steppingAt20, lost, Pin,
			&Event{Warning: true, Reason: EventPinMoved, Message: `the pin of Service web moves from "rA" to "xB": the revision it belongs on has no ready pod`},
		},
		"key missing": {
			"the pin is where it belongs by now, only its key is not", steppingAt20, func(o *Observation) { lost(o); o.Service.Pin, o.Service.Key = "xB", "" }, Pin, nil,
		},
		"pinned": {"nothing is wrong with that", heldB, func(o *Observation) { o.Service.Pin, o.Service.Key = "", "" }, Pin, nil},
		"unpinned": {
			"neither revision has a ready pod, another one has", steppingAt20, func(o *Observation) {
				lost(o)
				o.ReplicaSets[1].Ready, o.ReplicaSets[1].Available = 0, 1
				o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerHolder, 1, 0))
			}, Unpin,
			&Event{Warning: true, Reason: EventPinMoved, Message: `the pin of Service web moves from "rA" to "": the revision it belongs on has no ready pod`},
		},
		"stable lost": {
			"a held Deployment never makes it again", heldB, func(o *Observation) { o.ReplicaSets = nil }, LetGo,
			&Event{Warning: true, Reason: EventStableLost, Message: "the stable ReplicaSet was deleted: the held Deployment is let go and starts its template by itself"},
		},
		"let go": {
			"the template is not the stable one", puttingBack, letGo, LetGo,
			&Event{Warning: true, Reason: EventDetached, Message: "Deployment web goes on with a rolling update of its own"},
		},
		"let go of stable's": {
			"nothing restarts, nothing to warn of", puttingBack, func(o *Observation) { letGo(o); o.Deployment.Template = "B" }, LetGo, nil,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := tc.base()
			tc.change(o)
			plan := Decide(*o)
			if len(plan.Events) > 0 {
				t.Errorf("%s: told before the write: %+v", tc.reason, plan.Events)
			}
			if len(plan.Actions) == 0 || plan.Actions[0].Kind != tc.kind {
				t.Fatalf("%s: actions %+v, want a %s first", tc.reason, plan.Actions, tc.kind)
			}
			if diff := cmp.Diff(tc.want, plan.Actions[0].Tells); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

// TestWeakBudget: somebody has to know it before the canary's pods count, and once
// per rollout is enough.
func TestWeakBudget(t *testing.T) {
	const message = "canary pods count for PodDisruptionBudget api (minAvailable 3), web (minAvailable 1), too: while there are some, as many more stable pods may be evicted at once; use maxUnavailable or a percentage"
	starts := func(o *Observation) {
		o.Deployment.Template, o.Deployment.Hold, o.Deployment.Paused = "B", "running", true
	}
	cases := map[string]struct {
		reason  string
		base    func() *Observation
		change  func(*Observation)
		budgets []Budget
		events  []string
		is      bool
	}{
		"none":       {"nothing to warn of", adoptedHealthy, starts, nil, []string{EventRevisionDetected}, false},
		"starts":     {"once, with the record", adoptedHealthy, starts, []Budget{{"api", 3}, {"web", 1}}, []string{EventRevisionDetected, EventWeakBudget}, true},
		"Healthy":    {"seen before the next rollout begins", adoptedHealthy, func(*Observation) {}, []Budget{{"api", 3}, {"web", 1}}, nil, true},
		"on its way": {"told already", steppingAt20, func(*Observation) {}, []Budget{{"api", 3}, {"web", 1}}, []string{EventStepStarted}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := tc.base()
			tc.change(o)
			o.Budgets = tc.budgets
			plan := Decide(*o)
			var got []string
			for _, e := range plan.Events {
				got = append(got, e.Reason)
				if e.Reason == EventWeakBudget && e.Message != message {
					t.Errorf("event says %q", e.Message)
				}
			}
			if diff := cmp.Diff(tc.events, got); diff != "" {
				t.Errorf("%s: events -want +got\n%s", tc.reason, diff)
			}
			c := meta.FindStatusCondition(plan.Status.Conditions, v1alpha1.ConditionWeakBudget)
			if (c != nil) != tc.is {
				t.Fatalf("%s: condition %+v", tc.reason, c)
			}
			if c != nil && (c.Status != metav1.ConditionTrue || c.Reason != v1alpha1.ReasonIntegerMinAvailable || c.Message != message) {
				t.Errorf("%s: condition %+v", tc.reason, c)
			}
		})
	}
}
