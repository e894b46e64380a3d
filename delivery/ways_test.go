package delivery

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// TestWaysGoldens drives the strategies that are more than steps of weight.
func TestWaysGoldens(t *testing.T) { runScenarios(t, ways) }

// lasting is a duration as the API has it.
func lasting(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func (s *story) delivers(strategy v1alpha1.Strategy) { s.ro.Spec.Strategy = strategy }

// inSecondStep waits until all proxies have confirmed it.
func (s *story) inSecondStep() {
	s.t.Helper()
	s.until("step acked", func() bool { r := s.record(); return r.Step == 2 && r.AckedAt != nil })
}

func blueGreen() *v1alpha1.BlueGreen {
	return &v1alpha1.BlueGreen{
		Preview:     &v1alpha1.Preview{Match: []v1alpha1.RequestMatch{matching("x-preview")}},
		Mirror:      &v1alpha1.Mirror{Percent: 20, Methods: []string{"GET", "POST"}},
		Hold:        &v1alpha1.Hold{Duration: *lasting(10 * time.Minute)},
		AutoPromote: true,
		Verify:      &v1alpha1.Hold{Duration: *lasting(5 * time.Minute)},
	}
}

func abTest(onEnd v1alpha1.ABTestEnd) *v1alpha1.ABTest {
	return &v1alpha1.ABTest{
		Match: []v1alpha1.RequestMatch{matching("x-country")}, Weight: 50, TotalWeight: 100, OnEnd: onEnd,
		Sticky: v1alpha1.Sticky{Cookie: &v1alpha1.StickyCookie{Name: "crossfade-web", TTL: *lasting(time.Hour)}}, Duration: *lasting(48 * time.Hour),
	}
}

// mixed is the canary of issue 5: copies, then one team, then weight.
func mixed() *v1alpha1.Canary {
	return &v1alpha1.Canary{TotalWeight: 100, Steps: []v1alpha1.Step{
		{Mirror: &v1alpha1.Mirror{Percent: 60}, Pause: &v1alpha1.Pause{Duration: lasting(5 * time.Minute)}},
		{Match: []v1alpha1.RequestMatch{matching("x-team"), matching("x-beta")}, Pause: &v1alpha1.Pause{Duration: lasting(10 * time.Minute)}},
		{Weight: new(int32(10))},
		{Weight: new(int32(50)), Match: []v1alpha1.RequestMatch{}, Pause: &v1alpha1.Pause{Duration: lasting(time.Minute)}},
	}}
}

// ways are the scenarios of strategies other than steps of weight.
var ways = map[string]func(*story){
	"mirror-match-weight": func(s *story) {
		good := 0.001
		s.withCheck(&good)
		s.delivers(v1alpha1.Strategy{Canary: mixed()})
		s.adopted()
		s.canaryStarts("B")
		s.until("10 %", s.atWeight(10))
		s.until("50 %", s.atWeight(50))
		s.endsHealthy("xB")
	},
	"copies-fail": func(s *story) {
		bad := 0.5
		s.withCheck(&bad)
		s.delivers(v1alpha1.Strategy{Canary: mixed()})
		s.adopted()
		s.canaryStarts("B")
		s.rolledBack()
		s.serves("rA")
	},
	"match-canary-pods-lost": func(s *story) {
		s.delivers(v1alpha1.Strategy{Canary: mixed()})
		s.quietly("template B applied, one team's requests on canary xB acked", func() {
			s.adopted()
			s.canaryStarts("B")
			s.inSecondStep()
		})
		s.killPods("xB")
		s.run(time.Minute, func() bool { return false })
		s.heal("xB")
		s.inSecondStep()
		s.killPods("xB")
		s.rolledBack()
		s.serves("rA")
	},
	"match-deleted-mid-way": func(s *story) {
		s.delivers(v1alpha1.Strategy{Canary: mixed()})
		s.quietly("template B applied, one team's requests on canary xB acked", func() {
			s.adopted()
			s.canaryStarts("B")
			s.inSecondStep()
		})
		s.deleteRollout()
		s.until("gone", func() bool { return s.ro == nil })
		s.run(time.Minute, func() bool { return false })
	},
	"match-edited": func(s *story) {
		s.delivers(v1alpha1.Strategy{Canary: mixed()})
		s.quietly("template B applied, one team's requests on canary xB acked", func() {
			s.adopted()
			s.canaryStarts("B")
			s.inSecondStep()
		})
		s.edit("lets x-beta go, asks for x-vip", func(ro *v1alpha1.Rollout) {
			ro.Spec.Strategy.Canary.Steps[1].Match = []v1alpha1.RequestMatch{matching("x-team"), matching("x-vip")}
		})
		s.until("acked", func() bool {
			r := s.record()
			return matchWords(&r.Traffic.Match[len(r.Traffic.Match)-1]) == "x-vip" && r.AckedAt != nil
		})
		s.endsHealthy("xB")
	},
	"blue-green": func(s *story) {
		good := 0.001
		s.withCheck(&good)
		s.delivers(v1alpha1.Strategy{BlueGreen: blueGreen()})
		s.adopted()
		s.canaryStarts("B")
		s.inSecondStep()
		s.healthy()
		s.serves("xB")
	},
	"blue-green-by-a-person": func(s *story) {
		b := blueGreen()
		b.AutoPromote, b.Mirror, b.Verify = false, nil, nil
		s.delivers(v1alpha1.Strategy{BlueGreen: b})
		s.adopted()
		s.canaryStarts("B")
		s.until("paused", s.settledIn(v1alpha1.PhasePaused))
		s.run(time.Hour, func() bool { return false })
		s.annotate(v1alpha1.AnnotationPromote, "xB/1")
		s.endsHealthy("xB")
	},
	"blue-green-verify-fails": func(s *story) {
		errs := 0.001
		s.withCheck(&errs)
		s.delivers(v1alpha1.Strategy{BlueGreen: blueGreen()})
		s.quietly("template B applied, everything on canary xB acked", func() {
			s.adopted()
			s.canaryStarts("B")
			s.inSecondStep()
		})
		errs = 0.5
		s.rolledBack()
		s.serves("rA")
	},
	"ab-test-hold": func(s *story) {
		s.delivers(v1alpha1.Strategy{ABTest: abTest(v1alpha1.ABTestHold)})
		s.adopted()
		s.canaryStarts("B")
		s.run(72*time.Hour, s.settledIn(v1alpha1.PhasePaused))
		s.run(time.Hour, func() bool { return false })
		s.annotate(v1alpha1.AnnotationPromote, "xB/1")
		s.endsHealthy("xB")
	},
	"ab-test-promote": func(s *story) {
		s.delivers(v1alpha1.Strategy{ABTest: abTest(v1alpha1.ABTestPromote)})
		s.quietly("template B applied, half of those who take part on canary xB", func() {
			s.adopted()
			s.canaryStarts("B")
			s.until("50 %", s.atWeight(50))
		})
		s.run(72*time.Hour, func() bool { return s.record().Step == 2 })
		s.endsHealthy("xB")
	},
	"ab-test-return": func(s *story) {
		s.delivers(v1alpha1.Strategy{ABTest: abTest(v1alpha1.ABTestReturn)})
		s.quietly("template B applied, half of those who take part on canary xB", func() {
			s.adopted()
			s.canaryStarts("B")
			s.until("50 %", s.atWeight(50))
		})
		s.run(24*time.Hour, func() bool { return false })
		s.killPods("xB")
		s.run(time.Minute, func() bool { return false })
		s.heal("xB")
		s.run(72*time.Hour, s.settledIn(v1alpha1.PhaseRolledBack))
		s.rolledBack()
		s.edit("goes on by weight", func(ro *v1alpha1.Rollout) {
			ro.Spec.Strategy = v1alpha1.Strategy{Canary: &v1alpha1.Canary{TotalWeight: 100, Steps: []v1alpha1.Step{{Weight: new(int32(50))}}}}
		})
		s.annotate(v1alpha1.AnnotationRetry, "xB/2")
		s.endsHealthy("xB")
	},
}

// wayStories are told with a crash before each write, too (I7).
func wayStories() map[string]func(*crashing) {
	return map[string]func(*crashing){
		"blue-green": func(c *crashing) {
			b := blueGreen()
			b.Hold.Duration, b.Verify.Duration = *lasting(time.Minute), *lasting(time.Minute)
			c.ro.Spec.Strategy = v1alpha1.Strategy{BlueGreen: b}
			c.apply("B")
			c.until(v1alpha1.PhaseHealthy, "xB")
		},
		"matches, third revision": func(c *crashing) {
			c.ro.Spec.Strategy = v1alpha1.Strategy{Canary: mixed()}
			c.apply("B")
			c.goOn(func() bool { r := c.record(); return r != nil && r.Traffic != nil && len(r.Traffic.Match) > 0 })
			c.apply("A")
			c.until(v1alpha1.PhaseHealthy, "rA")
		},
		"test that returns": func(c *crashing) {
			t := abTest(v1alpha1.ABTestReturn)
			t.Duration = *lasting(time.Minute)
			c.ro.Spec.Strategy = v1alpha1.Strategy{ABTest: t}
			c.apply("B")
			c.until(v1alpha1.PhaseRolledBack, "rA")
		},
	}
}
