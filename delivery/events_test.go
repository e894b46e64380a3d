package delivery

import (
	"testing"

	"github.com/google/go-cmp/cmp"

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
