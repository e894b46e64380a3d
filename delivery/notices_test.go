package delivery

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// notified wants everything at one target and promotions at another.
func notified(o *Observation) *Observation {
	o.Rollout.Spec.Notify = []v1alpha1.Notification{
		{Target: "team"}, {Target: "boss", On: []v1alpha1.Happening{v1alpha1.HappeningPromoted, v1alpha1.HappeningRolledBack}},
	}
	return o
}

// pausedEndlessly is the first step, held until somebody promotes.
func pausedEndlessly() *Observation {
	o := steppingAt20()
	o.Rollout.Spec.Strategy.Canary.Steps[0].Pause = &v1alpha1.Pause{}
	return o
}

// holding is the first step, held for a while yet.
func holding() *Observation {
	o := steppingAt20()
	o.Rollout.Spec.Strategy.Canary.Steps[0].Pause = &v1alpha1.Pause{Duration: &metav1.Duration{Duration: time.Hour}}
	return o
}

// failedCheck is a check that has just failed.
func failedCheck() *Observation {
	o := judged()
	answer(o, Number, 0.5)
	return o
}

// joinedCanary is the moment before the canary is called stable.
func joinedCanary() *Observation {
	o := readyToSwap()
	r := record(o)
	r.Stage = v1alpha1.StageHandingOver
	o.ReplicaSets[0].Owner, o.ReplicaSets[1].Owner = OwnerHolder, OwnerDeployment
	o.ReplicaSets[1].RevisionNumber, o.Deployment.RevisionNumber = 2, 2
	o.Deployment.UpdatedReplicas = 4
	return o
}

// TestNotices: each thing is told once, with the write that makes it so.
func TestNotices(t *testing.T) {
	cases := map[string]struct {
		reason string
		o      *Observation
		want   []string
	}{
		"nobody":      {"without spec.notify there is no outbox", failedCheck(), nil},
		"nothing":     {"nothing has happened", notified(holding()), nil},
		"started":     {"a held template", notified(func() *Observation { o := heldB(); record(o).Stage = v1alpha1.StageHealthy; return o }()), []string{"Started of xB to team"}},
		"next step":   {"a step", notified(func() *Observation { o := judged(); answer(o, Number, 0); return o }()), []string{"StepStarted of xB to team"}},
		"rolled back": {"a failed check", notified(failedCheck()), []string{"RolledBack of xB to team boss"}},
		"promoted":    {"the record names the revision stable", notified(joinedCanary()), []string{"Promoted of xB to team boss"}},
		"waiting":     {"a person is waited for", notified(pausedEndlessly()), []string{"Waiting of xB to team"}},
		"waiting on": {"the same wait is told of once", notified(func() *Observation {
			o := notified(pausedEndlessly())
			o.Rollout.Status = Decide(*o).Status
			o.Now = start.Add(time.Hour)
			return o
		}()), []string{"Waiting of xB to team"}},
		"waiting at another step": {"another step is another wait", notified(func() *Observation {
			o := notified(pausedEndlessly())
			o.Rollout.Status = Decide(*o).Status
			record(o).StepSince = at(-30 * time.Second)
			return o
		}()), []string{"Waiting of xB to team", "Waiting of xB to team"}},
		"waiting for a window": {"nobody is waited for", notified(func() *Observation {
			o := steppingAt20()
			o.Schedule = read(t, &v1alpha1.Schedule{Allow: []v1alpha1.Window{window("0 14 * * *", time.Hour)}})
			return o
		}()), nil},
		"stalled": {"somebody's mistake", notified(func() *Observation {
			o := steppingAt20()
			o.Refused = &Refusal{Reason: "InvalidQuery", Message: "a query does not parse"}
			return o
		}()), []string{"Stalled of xB to team"}},
		"full": {"the outbox is bounded, and the oldest go first", notified(func() *Observation {
			o := notified(pausedEndlessly())
			for i := range maxNotices {
				o.Rollout.Status.Notices = append(o.Rollout.Status.Notices, v1alpha1.Notice{ID: fmt.Sprint(i), On: "Started", Revision: fmt.Sprint(i), Pending: []string{"x"}})
			}
			return o
		}()), append([]string{"Started of 1 to x", "Started of 2 to x", "Started of 3 to x", "Started of 4 to x", "Started of 5 to x", "Started of 6 to x", "Started of 7 to x", "Started of 8 to x", "Started of 9 to x"}, "Waiting of xB to team")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, n := range Decide(*tc.o).Status.Notices {
				s := fmt.Sprintf("%s of %s to", n.On, n.Revision)
				for _, p := range n.Pending {
					s += " " + p
				}
				got = append(got, s)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nnotices: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

// TestTold: who was told is told no more, and who could not be told is an event.
func TestTold(t *testing.T) {
	o := notified(holding())
	o.Rollout.Status.Notices = []v1alpha1.Notice{
		{ID: "a", On: v1alpha1.HappeningPromoted, At: metav1.NewMicroTime(start), Pending: []string{"boss", "team"}},
		{ID: "b", On: v1alpha1.HappeningStarted, At: metav1.NewMicroTime(start), Pending: []string{"team"}},
	}
	o.Told = []Told{{ID: "a", Target: "team"}, {ID: "b", Target: "team", Failed: "no such target"}, {ID: "c", Target: "team", Failed: "of another time"}}
	plan := Decide(*o)
	if diff := cmp.Diff([][]string{{"boss"}, nil}, [][]string{plan.Status.Notices[0].Pending, plan.Status.Notices[1].Pending}); diff != "" {
		t.Errorf("pending: -want +got\n%s", diff)
	}
	want := []Event{{Warning: true, Reason: EventNotificationFailed, Message: "target team was not told of Started: no such target"}}
	if diff := cmp.Diff(want, plan.Events); diff != "" {
		t.Errorf("events: -want +got\n%s", diff)
	}
}

// post is the shell's part of notices in the simulation: what is being sent, what the
// targets have heard, and what has happened for them to hear.
type post struct {
	told     []Told
	sending  map[Told]bool
	heard    map[Told]int
	happened map[v1alpha1.Happening]int
}

// newPost has a target that wants to hear everything.
func newPost(ro *v1alpha1.Rollout) *post {
	ro.Spec.Notify = []v1alpha1.Notification{{Target: "team"}}
	return &post{sending: map[Told]bool{}, heard: map[Told]int{}, happened: map[v1alpha1.Happening]int{}}
}

// saw notes what a write that went through has told.
func (p *post) saw(events []Event) {
	if p == nil {
		return
	}
	for _, e := range events {
		if h := happeningOf(e.Reason); h != "" {
			p.happened[h]++
		}
	}
}

// written forgets the answers that a write has taken up.
func (p *post) written(told []Told) {
	if p == nil {
		return
	}
	for _, t := range told {
		delete(p.sending, t)
	}
	p.told = p.told[min(len(told), len(p.told)):]
}

// send lets the targets hear what the status says they have to.
func (p *post) send(ro *v1alpha1.Rollout) {
	if p == nil || ro == nil {
		return
	}
	for _, n := range ro.Status.Notices {
		for _, target := range n.Pending {
			t := Told{ID: n.ID, Target: target}
			if !p.sending[t] {
				p.sending[t] = true
				p.heard[t]++
				p.told = append(p.told, t)
			}
		}
	}
}

// crash loses what only the controller knew.
func (p *post) crash() {
	if p != nil {
		p.told, p.sending = nil, map[Told]bool{}
	}
}

// missed says which happening was told other than once; only a crash between a
// target's answer and its write may repeat one, under the same id.
func (p *post) missed() string {
	if p == nil {
		return ""
	}
	got := map[v1alpha1.Happening]int{}
	for t := range p.heard {
		for _, h := range []v1alpha1.Happening{v1alpha1.HappeningStarted, v1alpha1.HappeningStepStarted, v1alpha1.HappeningPromoted, v1alpha1.HappeningRolledBack} {
			if slices.Contains(strings.Split(t.ID, "/"), string(h)) {
				got[h]++
			}
		}
	}
	if !maps.Equal(got, p.happened) {
		return fmt.Sprintf("the target heard %v, and there happened %v", got, p.happened)
	}
	return ""
}
