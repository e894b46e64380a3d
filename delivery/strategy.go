package delivery

import (
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Step is a traffic state to reach and hold, of whatever strategy: every strategy is
// a list of them, and after the last one the canary gets everything and is promoted.
type Step struct {
	// Weight is out of TotalWeight.
	Weight int32
	// Traffic is which requests the canary gets beside its weight, nil for none.
	Traffic *v1alpha1.Traffic
	// Replicas is the size that the spec gives the canary, nil when it follows from
	// the share of the requests.
	Replicas *intstr.IntOrString
	// Pause holds the step, nil for none.
	Pause *v1alpha1.Pause
	// ByPerson says that somebody has to promote when the pause is over.
	ByPerson bool
	// Test says that the pause is the duration of an A/B test: lost canary pods do not
	// begin it anew. Returns says that the canary goes back to stable when it is over.
	Test, Returns bool
	// Switched says that the canary has everything already, and is looked at while
	// stable is still whole: the promotion was decided before.
	Switched bool
	// Checks judge the step; nil stands for all.
	Checks []string
}

// TotalWeight is what the weights of a strategy's steps are out of.
func TotalWeight(s *v1alpha1.Strategy) int32 {
	switch {
	case s.Canary != nil && s.Canary.TotalWeight > 0:
		return s.Canary.TotalWeight
	case s.ABTest != nil && s.ABTest.TotalWeight > 0:
		return s.ABTest.TotalWeight
	}
	return defaultTotal
}

// Steps are a strategy's, in order.
func Steps(s *v1alpha1.Strategy) []Step {
	switch {
	case s.Canary != nil:
		return canarySteps(s.Canary)
	case s.BlueGreen != nil:
		return blueGreenSteps(s.BlueGreen)
	case s.ABTest != nil:
		return abTestSteps(s.ABTest)
	}
	return nil
}

// canarySteps carries on from step to step what stays until a step says otherwise:
// weight and matches. Copies are made in their own step only.
func canarySteps(c *v1alpha1.Canary) []Step {
	steps := make([]Step, len(c.Steps))
	weight, match := int32(0), []v1alpha1.RequestMatch(nil)
	for i := range c.Steps {
		s := &c.Steps[i]
		if s.Weight != nil {
			weight = *s.Weight
		}
		if s.Match != nil {
			match = s.Match
		}
		steps[i] = Step{
			Weight: weight, Replicas: s.Replicas, Pause: s.Pause, Checks: s.Checks,
			ByPerson: s.Pause != nil && s.Pause.Duration == nil,
			Traffic:  trafficOf(v1alpha1.Traffic{Match: match, Mirror: s.Mirror, Sticky: c.Sticky}),
		}
	}
	return steps
}

// blueGreenSteps is one step without weight, and, where it is to be verified, one
// with all of it.
func blueGreenSteps(b *v1alpha1.BlueGreen) []Step {
	preview := Step{Replicas: b.Replicas, Pause: pauseOf(b.Hold), ByPerson: !b.AutoPromote}
	if preview.Replicas == nil {
		whole := intstr.FromString("100%")
		preview.Replicas = &whole
	}
	traffic := v1alpha1.Traffic{Mirror: b.Mirror}
	if b.Preview != nil {
		traffic.Match = b.Preview.Match
	}
	preview.Traffic = trafficOf(traffic)
	if b.Verify == nil {
		return []Step{preview}
	}
	return []Step{preview, {Weight: defaultTotal, Pause: pauseOf(b.Verify), Switched: true}}
}

// abTestSteps is one step with an audience.
func abTestSteps(t *v1alpha1.ABTest) []Step {
	duration := t.Duration
	return []Step{{
		Weight: t.Weight, Replicas: t.Replicas,
		Pause:    &v1alpha1.Pause{Duration: &duration},
		Test:     true,
		Returns:  t.OnEnd == v1alpha1.ABTestReturn,
		ByPerson: t.OnEnd == v1alpha1.ABTestHold || t.OnEnd == "",
		Traffic:  trafficOf(v1alpha1.Traffic{Audience: t.Match, Sticky: &t.Sticky}),
	}}
}

// trafficOf is nil for what says nothing, so that equal traffic is equal in the
// record, too.
func trafficOf(t v1alpha1.Traffic) *v1alpha1.Traffic {
	if len(t.Match) == 0 && len(t.Audience) == 0 && t.Sticky == nil && t.Mirror == nil {
		return nil
	}
	if len(t.Match) == 0 {
		t.Match = nil // an empty list is not written, and must not come back as another one
	}
	return t.DeepCopy()
}

func pauseOf(h *v1alpha1.Hold) *v1alpha1.Pause {
	if h == nil {
		return nil
	}
	duration := h.Duration
	return &v1alpha1.Pause{Duration: &duration}
}

// heldFor is how long the step is held at least.
func (s *Step) heldFor() time.Duration {
	if s.Pause == nil || s.Pause.Duration == nil {
		return 0
	}
	return s.Pause.Duration.Duration
}
