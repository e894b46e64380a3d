package delivery

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// strategy chooses one at random.
func (s *sim) strategy() v1alpha1.Strategy {
	switch s.r.IntN(6) {
	case 0:
		return v1alpha1.Strategy{BlueGreen: s.blueGreen()}
	case 1:
		return v1alpha1.Strategy{ABTest: s.abTest()}
	}
	return v1alpha1.Strategy{Canary: s.canary()}
}

func (s *sim) canary() *v1alpha1.Canary {
	c := &v1alpha1.Canary{TotalWeight: 100, Steps: s.steps()}
	if s.one(4) {
		c.Sticky = &v1alpha1.Sticky{Cookie: &v1alpha1.StickyCookie{Name: "crossfade"}}
	}
	return c
}

func (s *sim) steps() []v1alpha1.Step {
	steps := make([]v1alpha1.Step, 1+s.r.IntN(4))
	weight := int32(0)
	for i := range steps {
		x := &steps[i]
		weight = min(100, weight+int32(s.r.IntN(45)))
		x.Weight = new(weight)
		switch s.r.IntN(5) {
		case 0:
			x.Pause = &v1alpha1.Pause{}
			if s.one(3) {
				x.Pause.Requires = &v1alpha1.Requires{Approvals: int32(1 + s.r.IntN(3))}
			}
		case 1, 2:
			x.Pause = &v1alpha1.Pause{Duration: s.upTo(120)}
		}
		if s.one(6) {
			n := intstr.FromString(fmt.Sprintf("%d%%", 10+s.r.IntN(90)))
			x.Replicas = &n
		}
		switch s.r.IntN(8) {
		case 0, 1:
			x.Match = s.matches()
		case 2:
			x.Match = []v1alpha1.RequestMatch{}
		case 3:
			x.Mirror = s.mirror()
		}
		if (len(x.Match) > 0 || x.Mirror != nil) && s.one(2) {
			x.Weight = nil
		}
		if s.one(8) {
			x.Checks = []string{"errors"}
		}
	}
	return steps
}

func (s *sim) upTo(seconds int) *metav1.Duration {
	return &metav1.Duration{Duration: time.Duration(1+s.r.IntN(seconds)) * time.Second}
}

func (s *sim) matches() []v1alpha1.RequestMatch {
	var list []v1alpha1.RequestMatch
	for range 1 + s.r.IntN(2) {
		list = append(list, matching(string(rune('a'+s.r.IntN(3)))))
	}
	return list
}

func (s *sim) mirror() *v1alpha1.Mirror {
	return &v1alpha1.Mirror{Percent: int32(1 + s.r.IntN(100))}
}

// matching are the requests with a header of this name.
func matching(header string) v1alpha1.RequestMatch {
	return v1alpha1.RequestMatch{Headers: []v1alpha1.ValueMatch{{Name: header, Type: v1alpha1.MatchPresent}}}
}

func (s *sim) blueGreen() *v1alpha1.BlueGreen {
	b := &v1alpha1.BlueGreen{AutoPromote: s.one(2)}
	if s.one(2) {
		b.Preview = &v1alpha1.Preview{Match: s.matches()}
	}
	if s.one(3) {
		b.Mirror = s.mirror()
	}
	if s.one(2) {
		b.Hold = &v1alpha1.Hold{Duration: *s.upTo(120)}
	}
	if !s.one(3) {
		b.Verify = &v1alpha1.Hold{Duration: *s.upTo(120)}
	}
	if s.one(3) {
		n := intstr.FromInt32(int32(1 + s.r.IntN(4)))
		b.Replicas = &n
	}
	return b
}

func (s *sim) abTest() *v1alpha1.ABTest {
	t := &v1alpha1.ABTest{
		Weight: int32(1 + s.r.IntN(100)), TotalWeight: 100, Duration: *s.upTo(600),
		Sticky: v1alpha1.Sticky{Header: &v1alpha1.StickyHeader{Name: "x-user"}},
		OnEnd:  []v1alpha1.ABTestEnd{v1alpha1.ABTestHold, v1alpha1.ABTestPromote, v1alpha1.ABTestReturn}[s.r.IntN(3)],
	}
	if s.one(2) {
		t.Match = s.matches()
	}
	return t
}

// editStrategy is an edit that the API allows: another strategy only while nothing is
// on its way, or else other values of the same one.
func (s *sim) editStrategy() {
	next := s.strategy()
	is := &s.ro.Spec.Strategy
	switch s.ro.Status.Phase {
	case v1alpha1.PhaseProgressing, v1alpha1.PhasePaused, v1alpha1.PhasePromoting, v1alpha1.PhaseRollingBack:
		switch {
		case is.Canary != nil:
			next = v1alpha1.Strategy{Canary: s.canary()}
			next.Canary.TotalWeight = is.Canary.TotalWeight
			for i := range next.Canary.Steps {
				if w := next.Canary.Steps[i].Weight; w != nil {
					*w = *w * is.Canary.TotalWeight / 100
				}
			}
		case is.BlueGreen != nil:
			next = v1alpha1.Strategy{BlueGreen: s.blueGreen()}
		default:
			next = v1alpha1.Strategy{ABTest: s.abTest()}
		}
	}
	s.edit("edits the strategy", func(ro *v1alpha1.Rollout) { ro.Spec.Strategy = next })
}

// editOnTheWay is an owner who edits a few times while a canary goes its way: that it
// comes to its steps at all takes the peace at the end of a schedule.
func (s *sim) editOnTheWay() {
	if rec := s.record(); s.edits == 0 || rec == nil || rec.Stage != v1alpha1.StageStepping || !s.one(20) {
		return
	}
	s.edits--
	if s.one(4) {
		s.editStrategy()
		return
	}
	s.editSteps()
}

// editSteps removes a step, or raises one to all requests.
func (s *sim) editSteps() {
	c := s.ro.Spec.Strategy.Canary
	if c == nil {
		return
	}
	i := s.r.IntN(len(c.Steps))
	if len(c.Steps) > 1 && !s.one(3) {
		s.edit(fmt.Sprintf("removes step %d", i+1), func(*v1alpha1.Rollout) { c.Steps = slices.Delete(slices.Clone(c.Steps), i, i+1) })
		return
	}
	s.edit(fmt.Sprintf("raises step %d to all requests", i+1), func(*v1alpha1.Rollout) {
		c.Steps = slices.Clone(c.Steps)
		c.Steps[i].Weight = new(c.TotalWeight)
	})
}

func (s *sim) editTotal() {
	c := s.ro.Spec.Strategy.Canary
	if c == nil {
		return
	}
	s.edit("edits totalWeight", func(*v1alpha1.Rollout) {
		from, to := c.TotalWeight, []int32{100, 1000}[s.r.IntN(2)]
		for i := range c.Steps {
			if w := c.Steps[i].Weight; w != nil {
				c.Steps[i].Weight = new(*w * to / from)
			}
		}
		c.TotalWeight = to
	})
}

// checkSwitch: blue-green knows no weight between nothing and everything.
func (w *world) checkSwitch(next *v1alpha1.Record) {
	if w.ro.Spec.Strategy.BlueGreen != nil && next.Weight != 0 && next.Weight != next.Total {
		w.violated("I3", fmt.Sprintf("blue-green at weight %d of %d", next.Weight, next.Total))
	}
}
