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

// TestPortions compares what is left of one portion when all goes that another does
// not have: this is written without waiting for anybody.
func TestPortions(t *testing.T) {
	match := func(names ...string) []v1alpha1.RequestMatch {
		var list []v1alpha1.RequestMatch
		for _, n := range names {
			list = append(list, matching(n))
		}
		return list
	}
	matched := func(weight int32, names ...string) portion {
		return portion{weight, &v1alpha1.Traffic{Match: match(names...)}}
	}
	mirrored := func(percent int32, methods ...string) portion {
		return portion{0, &v1alpha1.Traffic{Mirror: &v1alpha1.Mirror{Percent: percent, Methods: methods}}}
	}
	tested := func(weight int32, audience ...string) portion {
		return portion{weight, &v1alpha1.Traffic{Audience: match(audience...)}}
	}
	sticky := func(weight int32, by string) portion {
		return portion{weight, &v1alpha1.Traffic{Sticky: &v1alpha1.Sticky{Header: &v1alpha1.StickyHeader{Name: by}}}}
	}
	for name, tc := range map[string]struct {
		reason           string
		have, want, left portion
		adds             bool
	}{
		"less weight":      {"at once", portion{weight: 50}, portion{weight: 20}, portion{weight: 20}, false},
		"more weight":      {"a rise", portion{weight: 20}, portion{weight: 50}, portion{weight: 20}, true},
		"one match less":   {"its users go back at once", matched(5, "a", "b"), matched(5, "b"), matched(5, "b"), false},
		"no match":         {"all go back at once", matched(5, "a"), portion{weight: 5}, portion{weight: 5}, false},
		"one match more":   {"a rise", matched(5, "a"), matched(5, "a", "b"), matched(5, "a"), true},
		"another match":    {"one at once, one by a rise", matched(0, "a"), matched(0, "b"), portion{}, true},
		"all requests":     {"are more than those that match: nobody goes to and fro", matched(20, "a"), portion{weight: 100}, matched(20, "a"), true},
		"all but a few":    {"are not all that match", matched(20, "a"), portion{weight: 99}, portion{weight: 20}, true},
		"fewer copies":     {"at once", mirrored(50), mirrored(20), mirrored(20), false},
		"more copies":      {"a rise", mirrored(20), mirrored(50), mirrored(20), true},
		"no copies":        {"at once", mirrored(20), portion{}, portion{}, false},
		"writes, too":      {"a rise", mirrored(20), mirrored(20, "GET", "POST"), mirrored(20, "GET"), true},
		"reads only":       {"at once", mirrored(20, "GET", "POST"), mirrored(20, "GET"), mirrored(20, "GET"), false},
		"other methods":    {"none of those that were", mirrored(20, "POST"), mirrored(20), portion{}, true},
		"smaller audience": {"the others go back at once", tested(50, "a", "b"), tested(50, "a"), tested(50, "a"), false},
		"some of all":      {"the others go back at once", portion{weight: 50}, tested(50, "a"), tested(50, "a"), false},
		"larger audience":  {"a rise", tested(50, "a"), tested(50, "a", "b"), tested(50, "a"), true},
		"everybody":        {"a rise", tested(50, "a"), portion{weight: 50}, tested(50, "a"), true},
		"other audience":   {"nobody, until others are confirmed", tested(50, "a"), tested(50, "b"), tested(0, "a"), true},
		"other users":      {"divides them in another way", sticky(50, "a"), sticky(50, "b"), sticky(50, "a"), true},
		"nobody to keep":   {"nothing was divided yet", sticky(0, "a"), portion{}, portion{}, false},
		"users kept":       {"those on the canary stay known until the rise", sticky(20, "a"), portion{weight: 20}, sticky(20, "a"), true},
	} {
		t.Run(name, func(t *testing.T) {
			left := lesser(tc.have, tc.want, 100)
			if !left.equals(tc.left) {
				t.Errorf("%s: left %d %s, want %d %s", tc.reason, left.weight, left.words(), tc.left.weight, tc.left.words())
			}
			if got := tc.want.adds(tc.have, 100); got != tc.adds {
				t.Errorf("%s: adds %v, want %v", tc.reason, got, tc.adds)
			}
			if again := lesser(left, tc.want, 100); !again.equals(left) {
				t.Errorf("%s: what is left is written twice: %d %s", tc.reason, again.weight, again.words())
			}
		})
	}
}

// matchedOnly is a first step that gives the canary one team's requests, acked a
// minute ago, on one pod.
func matchedOnly() *Observation {
	o := judged()
	r := record(o)
	r.Weight, r.Traffic = 0, &v1alpha1.Traffic{Match: []v1alpha1.RequestMatch{matching("x-team")}}
	o.Proxies.Effective, o.Proxies.Agreed = 0, 0
	o.Rollout.Spec.Strategy.Canary.Steps = []v1alpha1.Step{{Match: r.Traffic.Match}, {Weight: new(int32(50))}}
	return o
}

// stepOf is an observation at a step of another strategy, acked a minute ago.
func stepOf(o *Observation, s v1alpha1.Strategy, step, pods int32) *Observation {
	o.Rollout.Spec.Strategy = s
	steps := Steps(&s)
	o.ReplicaSets[1] = running("xB", "B", OwnerHolder, pods, 0)
	r := record(o)
	r.Step, r.Weight, r.Traffic, r.Capacity, r.Replicas = step, steps[step-1].Weight, steps[step-1].Traffic, pods, pods
	o.Proxies.Effective, o.Proxies.Agreed = r.Weight, r.Weight
	if steps[step-1].Test {
		r.TestSince = atp(-time.Minute)
	}
	return o
}

func previewed() *Observation {
	b := &v1alpha1.BlueGreen{AutoPromote: true, Preview: &v1alpha1.Preview{Match: []v1alpha1.RequestMatch{matching("x-preview")}}, Verify: &v1alpha1.Hold{Duration: *lasting(5 * time.Minute)}}
	return stepOf(steppingAt20(), v1alpha1.Strategy{BlueGreen: b}, 1, 4)
}

func verified() *Observation {
	o := previewed()
	record(o).Promoting = true
	return stepOf(o, o.Rollout.Spec.Strategy, 2, 4)
}

func testing50(onEnd v1alpha1.ABTestEnd, duration time.Duration) func() *Observation {
	return func() *Observation {
		t := abTest(onEnd)
		t.Duration = *lasting(duration)
		return stepOf(steppingAt20(), v1alpha1.Strategy{ABTest: t}, 1, 2)
	}
}

func TestWays(t *testing.T) {
	both := func(fs ...func(*Observation)) func(*Observation) {
		return func(o *Observation) {
			for _, f := range fs {
				f(o)
			}
		}
	}
	fresh := func(o *Observation) {
		r := record(o)
		r.Weight, r.Traffic, r.WeightSince, r.AckedAt, r.Capacity = 0, nil, metav1.MicroTime{}, nil, 0
	}
	waiting := func(o *Observation) { record(o).AckedAt = nil }
	long := func(o *Observation) {
		r := record(o)
		r.StepSince, r.WeightSince, r.ScaledAt = at(-time.Hour), at(-time.Hour), nil
	}
	nobody := func(o *Observation) { o.Proxies = Proxies{Current: true} }
	matches := func(names ...string) func(*Observation) {
		return func(o *Observation) {
			s := &o.Rollout.Spec.Strategy.Canary.Steps[0]
			s.Match = []v1alpha1.RequestMatch{}
			for _, n := range names {
				s.Match = append(s.Match, matching(n))
			}
			s.Weight = new(int32(0))
		}
	}
	passing := func(o *Observation) { measuredBefore(o, v1alpha1.VerdictPassing, time.Second) }
	hold := func(d time.Duration) func(*Observation) {
		return func(o *Observation) {
			o.Rollout.Spec.Strategy.BlueGreen.Hold = &v1alpha1.Hold{Duration: *lasting(d)}
		}
	}
	person := func(o *Observation) { o.Rollout.Spec.Strategy.BlueGreen.AutoPromote = false }
	said := func(o *Observation) { o.Rollout.Annotations = map[string]string{v1alpha1.AnnotationPromote: "xB/1"} }
	other := func(o *Observation) {
		a := o.Rollout.Spec.Analysis
		a.Checks = append(a.Checks, *a.Checks[0].DeepCopy())
		a.Checks[1].Name = "latency"
		o.Rollout.Spec.Strategy.Canary.Steps[0].Checks = []string{"errors"}
	}
	runRules(t, map[string]ruleCase{
		"match, measured":        {"a canary that gets requests is measured", matchedOnly, nil, "measures errors of xB at step 1\nasks again at 9m30s"},
		"match, no verdict yet":  {"I6", matchedOnly, func(o *Observation) { measuredBefore(o, v1alpha1.VerdictNoVerdict, time.Second) }, "Progressing, Progressing\nasks again at 9s"},
		"match, passed":          {"over", matchedOnly, passing, "records Stepping step 2, weight 0/100, not acked"},
		"match, written":         {"with the weight, in one write", matchedOnly, fresh, "records Stepping step 1, weight 0/100, matching x-team, capacity 1"},
		"match, no pods yet":     {"D8", matchedOnly, both(fresh, func(o *Observation) { o.ReplicaSets[1].Available = 0 }), "Progressing, Progressing\nasks again at 8m0s"},
		"match, no proxies":      {"nobody could observe it", matchedOnly, both(fresh, nobody), "Progressing, NoProxies\nasks again at 8m0s"},
		"match, never a proxy":   {"the deadline takes it back", matchedOnly, both(fresh, nobody, long), "records Retreating (then RolledBack; NoProxies)"},
		"match, paused":          {"paused stops what goes to the canary", matchedOnly, both(fresh, func(o *Observation) { o.Rollout.Spec.Paused = true }), "Paused, Paused"},
		"match, unacked":         {"I3", matchedOnly, both(fresh, func(o *Observation) { o.Proxies.Acked, o.Proxies.PendingSince = 1, start }), "Progressing, Progressing\nasks again at 1m0s"},
		"match, proxies gone":    {"the clock starts again", matchedOnly, nobody, "records Stepping step 1, weight 0/100, not acked"},
		"match, nobody confirms": {"nobody has confirmed anything", matchedOnly, both(waiting, nobody), "Progressing, Progressing\nasks again at 8m30s"},
		"match, overdue": {"D7", matchedOnly, func(o *Observation) {
			measuredBefore(o, v1alpha1.VerdictNoVerdict, time.Second).VerdictAt = nil
			record(o).AckedAt = atp(-time.Hour)
		}, "Paused, NoVerdict\nasks again at 9s"},
		"match, failed": {"traffic goes with the weight, in one write", matchedOnly, func(o *Observation) { answer(o, Number, 0.5) }, "records Retreating, no others (then RolledBack; CheckFailed)"},
		"match, failed, stable dead": {"I2: nothing goes back to nobody", matchedOnly, func(o *Observation) {
			answer(o, Number, 0.5)
			o.ReplicaSets[0].Ready = 0
		}, "records Retreating (then RolledBack; CheckFailed)"},
		"match, stable alive again": {"what waited for stable goes back now", goingBack, func(o *Observation) {
			record(o).Traffic = &v1alpha1.Traffic{Match: []v1alpha1.RequestMatch{matching("x-team")}}
		}, "records Retreating, no others"},
		"match removed":        {"its users go back at once", matchedOnly, both(matches(), func(o *Observation) { o.Proxies.Acked, o.Proxies.PendingSince = 1, start }), "records Stepping step 1, weight 0/100, no others, not acked"},
		"match not understood": {"nothing moves", matchedOnly, both(matches("("), func(o *Observation) { o.Refused = &Refusal{Reason: v1alpha1.ReasonInvalidMatch, Message: "m"} }), "Paused, InvalidMatch\nasks again at 9m30s"},
		"match added":          {"judged first", matchedOnly, matches("x-team", "x-beta"), "measures errors of xB at step 1\nasks again at 9m30s"},
		"match added, passed":  {"the step begins again", matchedOnly, both(matches("x-team", "x-beta"), passing), "records Stepping step 1, weight 0/100, not acked"},
		"next step, not written": {"nobody goes to and fro meanwhile", matchedOnly, both(func(o *Observation) {
			r := record(o)
			r.Step, r.WeightSince, r.AckedAt = 2, metav1.MicroTime{}, nil
			o.Rollout.Spec.Strategy.Canary.Steps[1].Match = []v1alpha1.RequestMatch{}
		}), "records Stepping step 2, size 2"},

		"other check missing": {"it does not judge this step", matchedOnly, both(other, passing), "records Stepping step 2, weight 0/100, not acked"},
		"other check failed": {"nor does what it said before", matchedOnly, both(other, func(o *Observation) {
			passing(o)
			o.Rollout.Status.Checks = append(o.Rollout.Status.Checks, v1alpha1.CheckStatus{Name: "latency", Verdict: v1alpha1.VerdictFailed})
		}), "records Stepping step 2, weight 0/100, not acked"},
		"other check answered": {"an answer to what nobody asks", matchedOnly, both(other, func(o *Observation) {
			passing(o)
			o.Samples = []Sample{{Check: "latency", Step: 1, Revision: "xB", At: start, Outcome: Number, Value: 1}}
		}), "records Stepping step 2, weight 0/100, not acked"},
		"other check, measured": {"nor is it measured", matchedOnly, other, "measures errors of xB at step 1\nasks again at 9m30s"},

		"blue-green, held":           {"not over yet", previewed, hold(2 * time.Minute), "Progressing, Progressing\nasks again at 1m0s"},
		"blue-green, over":           {"the switch", previewed, hold(time.Minute), "records Stepping step 2, weight 0/100, not acked"},
		"blue-green, by a person":    {"after the hold, too", previewed, both(hold(time.Minute), person), "Paused, Paused"},
		"blue-green, promoted":       {"somebody did", previewed, both(hold(time.Minute), person, said), "records Stepping step 2, weight 0/100, not acked"},
		"blue-green, promoted early": {"the hold is held", previewed, both(hold(2*time.Minute), person, said), "Progressing, Progressing\nasks again at 1m0s"},
		"blue-green, approved":       {"a person's word ends the hold", previewed, both(hold(2*time.Minute), person, func(o *Observation) { record(o).Approvals = []v1alpha1.Word{{By: "ann"}} }), "records Stepping step 2, weight 0/100, not acked"},
		"verified, not long enough":  {"stable is whole meanwhile", verified, nil, "Progressing, Progressing\nasks again at 4m0s"},
		"verified":                   {"then it is promoted", verified, func(o *Observation) { record(o).AckedAt = atp(-5 * time.Minute) }, "records Stepping step 3, weight 100/100, not acked"},
		"switching, pods missing": {"whole before it gets everything", previewed, func(o *Observation) {
			r := record(o)
			r.Step, r.Promoting, r.WeightSince, r.AckedAt = 2, true, metav1.MicroTime{}, nil
			o.ReplicaSets[1].Available = 3
		}, "Progressing, Progressing\nasks again at 8m0s"},

		"test runs":           {"not over yet", testing50(v1alpha1.ABTestHold, time.Hour), nil, "Progressing, Progressing\nasks again at 59m0s"},
		"test over, Hold":     {"somebody decides", testing50(v1alpha1.ABTestHold, time.Minute), nil, "Paused, Paused"},
		"test over, promoted": {"somebody has", testing50(v1alpha1.ABTestHold, time.Minute), said, "records Stepping step 2, weight 50/100, not acked"},
		"test over, Promote":  {"by itself", testing50(v1alpha1.ABTestPromote, time.Minute), nil, "records Stepping step 2, weight 50/100, not acked"},
		"test over, Return":   {"back to stable", testing50(v1alpha1.ABTestReturn, time.Minute), nil, "records Retreating, weight 0/100, no others (then RolledBack; ABTestEnded)"},
		"test over, unacked":  {"to stable nothing is waited for", testing50(v1alpha1.ABTestReturn, time.Minute), both(waiting, func(o *Observation) { o.Proxies.Acked, o.Proxies.PendingSince = 1, start; o.Rollout.Spec.Paused = true }), "records Retreating, weight 0/100, no others (then RolledBack; ABTestEnded)"},
		"test, not confirmed": {"it has not begun", testing50(v1alpha1.ABTestReturn, time.Minute), both(waiting, func(o *Observation) { record(o).TestSince = nil }), "records Stepping step 1, acked"},
		"test, approved":      {"somebody promoted it while it ran", testing50(v1alpha1.ABTestReturn, time.Minute), func(o *Observation) { record(o).Approvals = []v1alpha1.Word{{By: "ann"}} }, "records Stepping step 2, weight 50/100, not acked"},
		"test, pods lost":     {"two days are not begun anew", testing50(v1alpha1.ABTestPromote, time.Minute), func(o *Observation) { record(o).AckedAt = atp(-time.Second) }, "records Stepping step 2, weight 50/100, not acked"},
	})
}

func TestEndedTestSaysSo(t *testing.T) {
	o := wentBack()
	r := record(o)
	r.Reason, r.Message = EventABTestEnded, "the A/B test lasted 48h0m0s"
	s := Decide(*o).Status
	if s.Phase != v1alpha1.PhaseRolledBack || s.Conditions[3].Reason != v1alpha1.ReasonABTestEnded || strings.Contains(s.Message, "was rolled back") {
		t.Errorf("a test that ended: %s, %s, %q", s.Phase, s.Conditions[3].Reason, s.Message)
	}
	o = testing50(v1alpha1.ABTestReturn, time.Minute)()
	plan := Decide(*o)
	if len(plan.Events) != 1 || plan.Events[0].Warning || plan.Events[0].Reason != EventABTestEnded {
		t.Errorf("events of its end: %+v", plan.Events)
	}
	if h := plan.Status.History; len(h) != 1 || h[0].Outcome != v1alpha1.OutcomeTestEnded {
		t.Errorf("history of its end: %+v", h)
	}
}

// TestSizesOfWays: capacity leads the traffic, whatever it is (D8).
func TestSizesOfWays(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		step   v1alpha1.Step
		want   int32
	}{
		"match":              {"nobody knows how many match", v1alpha1.Step{Match: []v1alpha1.RequestMatch{matching("a")}}, 1},
		"copies":             {"a load like any other", v1alpha1.Step{Mirror: &v1alpha1.Mirror{Percent: 60}}, 3},
		"copies of the rest": {"50, and half of the other 50", v1alpha1.Step{Weight: new(int32(50)), Mirror: &v1alpha1.Mirror{Percent: 50}}, 3},
		"few copies":         {"one at least", v1alpha1.Step{Mirror: &v1alpha1.Mirror{Percent: 1}}, 1},
		"nothing":            {"nobody is needed", v1alpha1.Step{Weight: new(int32(0))}, 0},
		"match ended":        {"nobody is needed", v1alpha1.Step{Match: []v1alpha1.RequestMatch{}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := steppingAt20()
			o.Rollout.Spec.Strategy.Canary.Steps = []v1alpha1.Step{tc.step}
			if got := newPass(*o).podsWanted(); got != tc.want {
				t.Errorf("%s: %d pods, want %d", tc.reason, got, tc.want)
			}
		})
	}
}

// TestStepsCarryOn: what stays from step to step, and what does not.
func TestStepsCarryOn(t *testing.T) {
	sticky := &v1alpha1.Sticky{Header: &v1alpha1.StickyHeader{Name: "x-user"}}
	team, beta := []v1alpha1.RequestMatch{matching("team")}, []v1alpha1.RequestMatch{matching("beta")}
	mirror := &v1alpha1.Mirror{Percent: 20}
	got := Steps(&v1alpha1.Strategy{Canary: &v1alpha1.Canary{Sticky: sticky, Steps: []v1alpha1.Step{
		{Mirror: mirror}, {Match: team}, {Weight: new(int32(10))}, {Match: beta}, {Match: []v1alpha1.RequestMatch{}}, {Weight: new(int32(50)), Pause: &v1alpha1.Pause{}},
	}}})
	want := []Step{
		{Traffic: &v1alpha1.Traffic{Mirror: mirror, Sticky: sticky}},
		{Traffic: &v1alpha1.Traffic{Match: team, Sticky: sticky}},
		{Weight: 10, Traffic: &v1alpha1.Traffic{Match: team, Sticky: sticky}},
		{Weight: 10, Traffic: &v1alpha1.Traffic{Match: beta, Sticky: sticky}},
		{Weight: 10, Traffic: &v1alpha1.Traffic{Sticky: sticky}},
		{Weight: 50, Traffic: &v1alpha1.Traffic{Sticky: sticky}, Pause: &v1alpha1.Pause{}, ByPerson: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestWeightSummary is what stands in the column WEIGHT.
func TestWeightSummary(t *testing.T) {
	match := []v1alpha1.RequestMatch{matching("x")}
	for want, tc := range map[string]struct {
		weight, total int32
		traffic       *v1alpha1.Traffic
	}{
		"0":                     {0, 0, nil},
		"25":                    {25, 100, nil},
		"250/1000":              {250, 1000, nil},
		"0 +match":              {0, 100, &v1alpha1.Traffic{Match: match}},
		"0 +mirror 20%":         {0, 100, &v1alpha1.Traffic{Mirror: &v1alpha1.Mirror{Percent: 20}}},
		"10 +match +mirror 20%": {10, 100, &v1alpha1.Traffic{Match: match, Mirror: &v1alpha1.Mirror{Percent: 20}}},
		"50 of match":           {50, 100, &v1alpha1.Traffic{Audience: match}},
		"5":                     {5, 100, &v1alpha1.Traffic{Sticky: &v1alpha1.Sticky{}}},
	} {
		if got := (portion{tc.weight, tc.traffic}).summary(tc.total); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	o := matchedOnly()
	if got := Decide(*o).Status.WeightSummary; got != "0 +match" {
		t.Errorf("a step of matches alone shows %q", got)
	}
}

// TestGatesOfWays: what holds promotions holds the switch, and nothing after it.
func TestGatesOfWays(t *testing.T) {
	frozen := func(o *Observation) {
		from := metav1.NewTime(start.Add(-time.Hour))
		o.Freezes = []schedule.Freeze{schedule.ReadFreeze(&v1alpha1.Freeze{
			ObjectMeta: metav1.ObjectMeta{Name: "f"},
			Spec:       v1alpha1.FreezeSpec{From: &from, Reason: "incident", Holds: &v1alpha1.Holds{Step: new(false), Start: new(false)}},
		})}
	}
	runRules(t, map[string]ruleCase{
		"a step":              {"promotions alone are held", matchedOnly, func(o *Observation) { measuredBefore(o, v1alpha1.VerdictPassing, time.Second); frozen(o) }, "records Stepping step 2, weight 0/100, not acked"},
		"the switch":          {"users get the canary", previewed, frozen, "Paused, Closed"},
		"after it":            {"two whole revisions would run for nothing", verified, func(o *Observation) { record(o).AckedAt = atp(-5 * time.Minute); frozen(o) }, "records Stepping step 3, weight 100/100, not acked"},
		"the end of a test":   {"users get the canary", testing50(v1alpha1.ABTestPromote, time.Minute), frozen, "Paused, Closed"},
		"a test that returns": {"to stable nothing is held", testing50(v1alpha1.ABTestReturn, time.Minute), frozen, "records Retreating, weight 0/100, no others (then RolledBack; ABTestEnded)"},
	})
}

// TestPromoteWithoutHold: a switch that waits for a person alone can be promoted by
// one, and one whose hold is over, too.
func TestPromoteWithoutHold(t *testing.T) {
	for name, hold := range map[string]*v1alpha1.Hold{"no hold": nil, "hold over": {Duration: *lasting(time.Second)}} {
		o := previewed()
		b := o.Rollout.Spec.Strategy.BlueGreen
		b.AutoPromote, b.Hold = false, hold
		o.Names = Names{Known: true, Kept: true}
		a := &v1alpha1.RolloutAction{Spec: v1alpha1.RolloutActionSpec{Action: v1alpha1.ActionPromote, Revision: "xB"}}
		a.CreationTimestamp, a.Annotations = metav1.NewTime(start), map[string]string{v1alpha1.AnnotationBy: "ann"}
		if why := newPass(*o).unfit(a); why != "" {
			t.Errorf("%s: refused: %s", name, why)
		}
	}
}
