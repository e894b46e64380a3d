package delivery

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Leg is a step of a delivery as it will be gone through, told before it begins.
type Leg struct {
	// Weight is the canary's share of the requests, out of Total.
	Weight, Total int32
	// Traffic is which requests it gets beside its weight.
	Traffic *v1alpha1.Traffic
	// Pods is the size of the canary, Replicas what the spec says about it, if it does.
	Pods     int32
	Replicas *intstr.IntOrString
	// Hold is how long the step is held from its acked weight, at least; ByPerson says
	// that somebody has to end it.
	Hold     time.Duration
	ByPerson bool
	// Returns says that the canary goes back to stable after it, Switched that it has
	// everything already.
	Returns, Switched bool
	// Checks are those that are measured in it.
	Checks []v1alpha1.Check
	// Whole says that it is what follows the last step: all requests, not held and not
	// judged.
	Whole bool
}

// Outline is what a Rollout will do with a Deployment of a size: its steps in
// order, and last the whole weight. It asks the same rules as a delivery does.
func Outline(ro *v1alpha1.Rollout, replicas int32) []Leg {
	p := &pass{Observation: Observation{Rollout: ro, Deployment: &Deployment{Replicas: replicas}}}
	p.rec = &v1alpha1.Record{Total: p.specTotal()}
	var legs []Leg
	for i, step := range p.steps() {
		p.rec.Step = int32(i) + 1
		leg := Leg{
			Weight: p.weightWanted(), Total: p.rec.Total, Traffic: step.Traffic, Pods: p.podsWanted(), Replicas: step.Replicas,
			Hold: step.heldFor(), ByPerson: step.ByPerson, Returns: step.Returns, Switched: step.Switched,
		}
		// A step in which the canary gets nothing has nothing to be judged by.
		if p.wanted().reaches() {
			leg.Checks = slices.DeleteFunc(slices.Clone(p.checksSpec()), func(c v1alpha1.Check) bool {
				return step.Checks != nil && !slices.Contains(step.Checks, c.Name)
			})
		}
		legs = append(legs, leg)
	}
	p.rec.Step++
	return append(legs, Leg{Weight: p.weightWanted(), Total: p.rec.Total, Pods: p.podsWanted(), Whole: true})
}

// Interval is the time between two measurements of a check.
func Interval(ro *v1alpha1.Rollout, c *v1alpha1.Check) time.Duration {
	return (&pass{Observation: Observation{Rollout: ro}}).interval(c)
}

// FirstMeasured is the time from a step's acked weight to a check's first
// measurement.
func FirstMeasured(ro *v1alpha1.Rollout, c *v1alpha1.Check) time.Duration {
	return (&pass{Observation: Observation{Rollout: ro}}).firstDue(c)
}

// Expected is what passes a check, as people read it.
func Expected(c *v1alpha1.Check) string { return limitsOf(c).expected() }

// Unit is that of the number that a check measures, empty where nobody knows it.
func Unit(c *v1alpha1.Check) string { return limitsOf(c).unit }

// Judge says what one measurement is by itself: Passing, Failing or NoVerdict, with
// the numbers and why.
func Judge(c *v1alpha1.Check, a *Sample) v1alpha1.CheckStatus {
	s := v1alpha1.CheckStatus{Name: c.Name}
	s.Verdict, s.Message = judge(&s, c, a)
	return s
}

// Deadline bounds every wait of a Rollout that no pause explains.
func Deadline(ro *v1alpha1.Rollout) time.Duration {
	return (&pass{Observation: Observation{Rollout: ro}}).deadline()
}

// ScaleDownDelay is how long the former revision's pods stay after a promotion.
func ScaleDownDelay(ro *v1alpha1.Rollout) time.Duration {
	return (&pass{Observation: Observation{Rollout: ro}}).scaleDownDelay()
}
