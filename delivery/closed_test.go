package delivery

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery/schedule"
)

// admitted is what a step may give the canary by what the spec said when it began.
type admitted struct {
	portion
	// whole says that it was the promotion.
	whole bool
}

// checkOpen: nothing towards the canary begins while its schedule or a Freeze holds
// it, unless somebody recorded that it may; and nothing follows but what has begun
// (I13).
func (w *world) checkOpen(o *Observation, was, next *v1alpha1.Record) {
	steps := Steps(&o.Rollout.Spec.Strategy)
	promotion := func(step int32) bool { return int(step) > len(steps) || step >= 1 && steps[step-1].Switched }
	if next.Stage == v1alpha1.StagePinning && was.Stage == v1alpha1.StageStepping && !w.facts.admitted.whole {
		w.violated("I13", "a promotion that never began")
	}
	if next.Stage != v1alpha1.StageStepping {
		return
	}
	if was.Stage == v1alpha1.StageStepping && !begins(was, next) {
		if a := &w.facts.admitted; next.Weight > was.Weight && next.Weight > a.weight || w.reachesOthers(was.Traffic, next.Traffic) && w.reachesOthers(a.traffic, next.Traffic) {
			w.violated("I13", fmt.Sprintf("the canary gets %d %s; when its step began it was to get %d %s", next.Weight, portionOf(next).words(), a.weight, a.words()))
		}
		w.facts.admitted.whole = w.facts.admitted.whole && promotion(next.Step)
		return
	}
	w.facts.passed = w.facts.admitted.whole && was.Stage == v1alpha1.StageStepping && promotion(next.Step)
	w.facts.admitted = admitted{wantedOf(o, next), promotion(next.Step)}
	moment, holds := "a step begins", func(h *v1alpha1.Holds) bool { return h == nil || h.Step == nil || *h.Step }
	switch {
	case was.Stage == v1alpha1.StagePreparing:
		moment, holds = "a canary starts", func(h *v1alpha1.Holds) bool { return h == nil || h.Start == nil || *h.Start }
	case w.facts.passed:
		return // what was switched to has passed
	case promotion(next.Step):
		moment, holds = "the promotion begins", func(h *v1alpha1.Holds) bool { return h == nil || h.Promote == nil || *h.Promote }
	}
	if v := was.Override; v != nil && v.Revision == next.Canary {
		return
	}
	if s := o.Rollout.Spec.Schedule; s != nil && holds(s.Holds) && !openByHand(s, o.Now) {
		w.violated("I13", moment+" outside its windows")
	}
	for _, f := range w.freezes {
		if holds(f.Spec.Holds) && (f.Spec.From == nil || !o.Now.Before(f.Spec.From.Time)) && (f.Spec.To == nil || o.Now.Before(f.Spec.To.Time)) {
			w.violated("I13", moment+" while Freeze "+f.Name+" lasts")
		}
	}
}

// begins says that a step does. Time may stand still meanwhile.
func begins(was, next *v1alpha1.Record) bool {
	return !was.StepSince.Equal(&next.StepSince) || next.Step > was.Step || next.Admitted != was.Admitted || next.WeightSince.IsZero() && !was.WeightSince.IsZero()
}

// wantedOf is what the spec gives the canary at a record's step.
func wantedOf(o *Observation, r *v1alpha1.Record) portion {
	steps := Steps(&o.Rollout.Spec.Strategy)
	if int(r.Step) > len(steps) {
		return portion{weight: r.Total}
	}
	s := &steps[r.Step-1]
	return portion{int32(int64(s.Weight) * int64(r.Total) / int64(TotalWeight(&o.Rollout.Spec.Strategy))), s.Traffic}
}

// openByHand looks for a start minute by minute. It knows the crons of these tests
// only: numbers, stars and steps of minutes and hours, in UTC.
func openByHand(s *v1alpha1.Schedule, now time.Time) bool {
	covers := func(w *v1alpha1.Window) bool {
		fields := strings.Fields(string(w.Cron))
		for start := now.Truncate(time.Minute); start.After(now.Add(-w.Duration.Duration)); start = start.Add(-time.Minute) {
			if fieldHas(fields[0], start.Minute()) && fieldHas(fields[1], start.Hour()) {
				return true
			}
		}
		return false
	}
	open := len(s.Allow) == 0
	for i := range s.Allow {
		open = open || covers(&s.Allow[i])
	}
	for i := range s.Deny {
		open = open && !covers(&s.Deny[i])
	}
	return open
}

func fieldHas(field string, n int) bool {
	every, of := strings.CutPrefix(field, "*/")
	switch k, err := strconv.Atoi(every); {
	case field == "*":
		return true
	case err != nil:
		panic("a cron that these tests do not know: " + field)
	case of:
		return n%k == 0
	default:
		return n == k
	}
}

func window(cron string, lasts time.Duration) v1alpha1.Window {
	return v1alpha1.Window{Cron: v1alpha1.Cron(cron), Duration: metav1.Duration{Duration: lasts}}
}

// schedules are windows of minutes, so that a schedule of the simulation sees many.
func (s *sim) schedules() *v1alpha1.Schedule {
	random := func() v1alpha1.Window {
		period := []int{2, 3, 5, 10, 15, 30}[s.r.IntN(6)]
		return window(fmt.Sprintf("*/%d * * * *", period), time.Duration(1+s.r.IntN(period))*time.Minute)
	}
	out := &v1alpha1.Schedule{Holds: s.holds()}
	if !s.one(4) {
		out.Allow = append(out.Allow, random())
	}
	if len(out.Allow) == 0 || s.one(3) {
		deny := random()
		// What is allowed at each quarter of an hour is not all denied.
		deny.Cron, deny.Duration.Duration = "*/15 * * * *", time.Duration(1+s.r.IntN(3))*time.Minute
		out.Deny = append(out.Deny, deny)
		if len(out.Allow) > 0 {
			out.Allow[0].Duration.Duration += 4 * time.Minute
		}
	}
	return out
}

func (s *sim) holds() *v1alpha1.Holds {
	if !s.one(4) {
		return nil
	}
	yes, no := true, false
	all := []*bool{&yes, &no, nil}
	return &v1alpha1.Holds{Start: all[s.r.IntN(3)], Step: all[s.r.IntN(3)], Promote: all[s.r.IntN(3)]}
}

// disturbSchedule is an administrator who freezes and thaws, an owner who edits his
// windows, and a person who does not want to wait.
func (s *sim) disturbSchedule() {
	switch s.r.IntN(4) {
	case 0:
		from, to := metav1.NewTime(s.now.Add(time.Duration(s.r.IntN(120))*time.Second)), metav1.NewTime(s.now.Add(time.Duration(120+s.r.IntN(1200))*time.Second))
		f := &v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("f%d", s.next())}, Spec: v1alpha1.FreezeSpec{From: &from, Reason: "simulated", Holds: s.holds()}}
		if !s.one(3) {
			f.Spec.To = &to
		}
		s.trace("admin", fmt.Sprintf("freezes everything from %s to %v", from, f.Spec.To))
		s.freezes = append(s.freezes, f)
	case 1:
		s.trace("admin", "deletes all Freezes")
		s.freezes = nil
	case 2:
		if s.ro != nil {
			s.edit("edits the windows", func(ro *v1alpha1.Rollout) {
				if ro.Spec.Schedule = nil; !s.one(3) {
					ro.Spec.Schedule = s.schedules()
				}
			})
		}
	case 3:
		if rec := s.record(); rec != nil && rec.Canary != "" && s.one(2) {
			s.trace("user", "overrides schedule and Freezes for "+rec.Canary)
			rec.Override = &v1alpha1.Override{Revision: rec.Canary, By: "jane", Reason: "now", At: metav1.NewMicroTime(s.now)}
			s.roRV = s.next()
			s.recRV = s.roRV
		}
	}
}

func soleStep(s v1alpha1.Step) func(*Observation) {
	return func(o *Observation) { o.Rollout.Spec.Strategy.Canary.Steps = []v1alpha1.Step{s} }
}

func silentFor(d time.Duration) func(*Observation) {
	return func(o *Observation) { o.Proxies.Acked, o.Proxies.PendingSince = 1, start.Add(-d) }
}

func allOf(changes ...func(*Observation)) func(*Observation) {
	return func(o *Observation) {
		for _, change := range changes {
			change(o)
		}
	}
}

// TestClosed asks the gate at each of its moments.
func TestClosed(t *testing.T) {
	shut := func(holds *v1alpha1.Holds) func(*Observation) {
		return func(o *Observation) {
			o.Schedule = read(t, &v1alpha1.Schedule{Allow: []v1alpha1.Window{window("0 14 * * *", time.Hour)}, Holds: holds})
		}
	}
	yes, no := true, false
	frozen := func(o *Observation) {
		from := metav1.NewTime(start.Add(-time.Hour))
		o.Freezes = []schedule.Freeze{schedule.ReadFreeze(&v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "f"}, Spec: v1alpha1.FreezeSpec{From: &from, Reason: "incident"}})}
	}
	overridden := func(revision string) func(*Observation) {
		return func(o *Observation) { record(o).Override = &v1alpha1.Override{Revision: revision, By: "jane"} }
	}
	lastStep := func() *Observation {
		o := steppingAt20()
		soleStep(v1alpha1.Step{Weight: new(int32(20))})(o)
		return o
	}
	rising := func() *Observation {
		o := steppingAt20()
		record(o).WeightSince, record(o).AckedAt, record(o).Weight = metav1.MicroTime{}, nil, 0
		o.Proxies.Effective, o.Proxies.Agreed = 0, 0
		return o
	}
	held := "Paused, Closed\nasks again at 2h0m0s"
	runRules(t, map[string]ruleCase{
		"start":                               {"no canary outside the windows", heldBWithCanary, shut(nil), held},
		"start, open":                         {"as ever", heldBWithCanary, nil, "records Stepping of xB step 1"},
		"start, not held":                     {"the first step begins with the start: step does not hold it", heldBWithCanary, shut(&v1alpha1.Holds{Start: &no, Step: &yes}), "records Stepping of xB step 1"},
		"start, frozen":                       {"no end in sight", heldBWithCanary, frozen, "Paused, Closed"},
		"start, overridden":                   {"before it has started: by the name that it will have", heldBWithCanary, allOf(shut(nil), overridden("xB")), "records Stepping of xB step 1"},
		"step":                                {"no next step", steppingAt20, shut(nil), held},
		"step, not held":                      {"as the owner chose", steppingAt20, shut(&v1alpha1.Holds{Step: &no}), "records Stepping step 2, weight 20/100, not acked"},
		"step, frozen":                        {"no next step", steppingAt20, frozen, "Paused, Closed"},
		"step, overridden":                    {"a person said so", steppingAt20, allOf(shut(nil), frozen, overridden("xB")), "records Stepping step 2, weight 20/100, not acked"},
		"step, other overridden":              {"for another revision", steppingAt20, allOf(shut(nil), overridden("xC")), held},
		"step begun":                          {"it moves its weight after the window has closed", rising, shut(nil), "records Stepping step 1, weight 20/100"},
		"raised by hand":                      {"an edit is no way round it", steppingAt20, allOf(soleStep(v1alpha1.Step{Weight: new(int32(25))}), shut(nil)), held},
		"lowered by hand":                     {"towards stable", steppingAt20, allOf(soleStep(v1alpha1.Step{Weight: new(int32(10))}), shut(nil)), "records Stepping step 1, weight 10/100, not acked"},
		"raised before its weight is written": {"nor is one that comes early", rising, allOf(shut(nil), func(o *Observation) { record(o).Admitted = "another weight" }), held},
		"last step removed": {"what is left is the promotion", atWhole, allOf(shut(&v1alpha1.Holds{Start: &no, Step: &no}), func(o *Observation) {
			o.Rollout.Spec.Strategy.Canary.Steps[1] = v1alpha1.Step{Weight: new(int32(100))}
			record(o).Step, record(o).Promoting = 2, false
		}), held},
		"promotion":                {"not before the window", lastStep, shut(&v1alpha1.Holds{Start: &no, Step: &no}), held},
		"promotion, not held":      {"as the owner chose", lastStep, shut(&v1alpha1.Holds{Promote: &no}), "records Stepping step 2, weight 20/100, not acked"},
		"promotion begun":          {"it is finished after the window has closed", atWhole, shut(nil), "records Pinning"},
		"failed":                   {"going back waits for nothing", steppingAt20, allOf(shut(nil), frozen, silentFor(time.Minute)), "records Retreating, weight 0/100 (then RolledBack; ProxySilent)"},
		"back to stable":           {"going back waits for nothing", steppingAt20, allOf(shut(nil), frozen, func(o *Observation) { o.Deployment.Template = "A" }), "records Retreating, weight 0/100 (then Restore; Superseded)"},
		"undo while warm":          {"so does this: its override comes with it", keptWarm, allOf(shut(nil), func(o *Observation) { o.Deployment.Template = "A" }), "records Preparing, size 0, overridden by crossfade"},
		"a schedule without sense": {"nothing moves", steppingAt20, func(o *Observation) { o.Refused = &Refusal{Reason: v1alpha1.ReasonInvalidSchedule, Message: "m"} }, "Paused, InvalidSchedule"},
	})
	o := keptWarm()
	o.Deployment.Template = "A"
	if v := Decide(*o).Status.Record.Override; v == nil || v.Revision != "rA" || v.By != "crossfade" {
		t.Errorf("an undo while the former revision is warm has to be recorded as let through, got %+v", v)
	}
}

// TestClosedIsToldOnce: with the pass that says it in the end, and no other.
func TestClosedIsToldOnce(t *testing.T) {
	closed := func(o *Observation) int {
		n := 0
		for _, e := range Decide(*o).Events {
			if e.Reason == EventClosed {
				n++
			}
		}
		return n
	}
	o := steppingAt20()
	o.Schedule = read(t, &v1alpha1.Schedule{Allow: []v1alpha1.Window{window("0 14 * * *", time.Hour)}})
	if n := closed(o); n != 1 {
		t.Errorf("told %d times when it begins to wait, want once", n)
	}
	record(o).Full = true
	if n := closed(o); n != 1 {
		t.Errorf("two rules ask the gate: told %d times, want once", n)
	}
	silent := steppingAt20()
	silent.Schedule, record(silent).Full = o.Schedule, true
	silentFor(time.Second)(silent)
	if n := closed(silent); n != 0 {
		t.Errorf("it waits for proxies, but told %d times that it waits for a window", n)
	}
	o.Rollout.Status.Conditions = Decide(*o).Status.Conditions
	if n := closed(o); n != 0 {
		t.Errorf("told %d times again", n)
	}
}

func read(t *testing.T, s *v1alpha1.Schedule) *schedule.Schedule {
	t.Helper()
	out, err := schedule.Read(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWaits is the column of that name, with the message.
func TestWaits(t *testing.T) {
	monday := &v1alpha1.Schedule{TimeZone: "Europe/Berlin", Allow: []v1alpha1.Window{window("0 9 * * MON-FRI", 3*time.Hour)}}
	for name, tc := range map[string]struct {
		reason         string
		base           func() *Observation
		change         func(*Observation)
		waits, message string
	}{
		"window": {
			"in UTC, whatever the zone of the window", steppingAt20, func(o *Observation) { o.Schedule = read(t, monday) },
			"window until 2026-01-02 08:00Z",
			"step 1/2: 20/100 on canary xB; waits for the window Mon-Fri 09:00-12:00 Europe/Berlin; opens 2026-01-02 08:00 UTC",
		},
		"window before the start": {
			"no weight to tell yet", heldBWithCanary, func(o *Observation) { o.Schedule = read(t, monday) },
			"window until 2026-01-02 08:00Z",
			"revision xB waits for the window Mon-Fri 09:00-12:00 Europe/Berlin; opens 2026-01-02 08:00 UTC",
		},
		"pause": {
			"absolute, or every pass would write it", steppingAt20, soleStep(v1alpha1.Step{Weight: new(int32(20)), Pause: &v1alpha1.Pause{Duration: &metav1.Duration{Duration: 2 * time.Minute}}}),
			"pause until 2026-01-01 12:01:00Z", "step 1/1: 20/100 on canary xB; holding until 2026-01-01 12:01:00 UTC",
		},
		"promote": {
			"a person", steppingAt20, soleStep(v1alpha1.Step{Weight: new(int32(20)), Pause: &v1alpha1.Pause{}}), "promote",
			"step 1/1: 20/100 on canary xB; holding until somebody promotes: kubectl crossfade promote web -n shop",
		},
		"approvals": {
			"how many there are", steppingAt20, allOf(soleStep(v1alpha1.Step{Weight: new(int32(20)), Pause: &v1alpha1.Pause{Requires: &v1alpha1.Requires{Approvals: 2}}}), func(o *Observation) {
				record(o).Approvals = []v1alpha1.Word{{By: "jane"}}
			}), "approvals 1/2",
			"step 1/1: 20/100 on canary xB; holding until 2 people have promoted it (1 of 2 approvals: jane), each with kubectl crossfade promote web -n shop",
		},
		"paused": {
			"whoever has paused", steppingAt20, func(o *Observation) { o.Rollout.Spec.Paused = true }, "resume", "spec.paused is set: the rollout goes on when it is not",
		},
		"nothing": {"empty", adoptedHealthy, nil, "", "revision rA serves everybody"},
	} {
		t.Run(name, func(t *testing.T) {
			o := tc.base()
			if tc.change != nil {
				tc.change(o)
			}
			s := Decide(*o).Status
			if diff := cmp.Diff([]string{tc.waits, tc.message}, []string{s.WaitingFor, s.Message}); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func heldBWithCanary() *Observation {
	o := heldB()
	o.ReplicaSets = append(o.ReplicaSets, running("xB", "B", OwnerHolder, 0, 0))
	return o
}
