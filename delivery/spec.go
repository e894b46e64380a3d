package delivery

import (
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// The defaults of the API, for objects that were stored before a default existed.
const (
	defaultTotal     = 100
	defaultAcks      = 60 * time.Second
	defaultDeadline  = 600 * time.Second
	defaultScaleDown = 30 * time.Second
)

// DefaultInterval is the time between two measurements where the spec says none.
const DefaultInterval = 30 * time.Second

func (p *pass) deadline() time.Duration {
	if s := p.Rollout.Spec.ProgressDeadlineSeconds; s > 0 {
		return time.Duration(s) * time.Second
	}
	return defaultDeadline
}

func (p *pass) ackTimeout() time.Duration {
	if t := p.Rollout.Spec.Acks.Timeout.Duration; t > 0 {
		return t
	}
	return defaultAcks
}

func (p *pass) scaleDownDelay() time.Duration {
	if s := p.Rollout.Spec.ScaleDownDelaySeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultScaleDown
}

// steps are derived once for a pass: they are asked for again and again.
func (p *pass) steps() []Step {
	if p.way == nil {
		p.way = Steps(&p.Rollout.Spec.Strategy)
	}
	return p.way
}

func (p *pass) specTotal() int32 { return TotalWeight(&p.Rollout.Spec.Strategy) }

// step is the step that the record names, nil once the whole weight is moved. A
// promotion under way has none, whatever steps an edit adds.
func (p *pass) step() *Step {
	if p.rec.Stage == v1alpha1.StagePinning || p.rec.Stage == v1alpha1.StageHandingOver {
		return nil
	}
	if steps := p.steps(); p.rec.Step >= 1 && int(p.rec.Step) <= len(steps) {
		return &steps[p.rec.Step-1]
	}
	return nil
}

// wholeStep is the number of what follows the last step.
func (p *pass) wholeStep() int32 { return int32(len(p.steps())) + 1 }

// weightWanted is the weight that the record's step asks for, out of record.total.
// A totalWeight that is edited on the way does not change the sum of the routes;
// the weights are converted, rounded down.
func (p *pass) weightWanted() int32 {
	s := p.step()
	if s == nil {
		return p.rec.Total
	}
	return min(p.rec.Total, int32(int64(s.Weight)*int64(p.rec.Total)/int64(p.specTotal())))
}

// podsWanted is how many canary pods the record's step needs: what the step says,
// else the share of the Deployment's replicas that its weight is of the requests,
// rounded up; copies of requests are a load like requests. Never more than the
// Deployment asks for, and one at least where it gets requests in whatever way.
func (p *pass) podsWanted() int32 {
	n := p.Deployment.Replicas
	s := p.step()
	if s == nil {
		return n
	}
	want := p.wanted()
	pods := share(int64(n), want.load(p.rec.Total), int64(p.rec.Total))
	if s.Replicas != nil {
		pods = size(s.Replicas, n)
	}
	if want.reaches() {
		pods = max(pods, 1)
	}
	return min(pods, n)
}

// share is n*part/whole, rounded up.
func share(n, part, whole int64) int32 {
	if whole <= 0 {
		return 0
	}
	return int32((n*part + whole - 1) / whole)
}

// size is a number of pods, or a percentage of n rounded up.
func size(v *intstr.IntOrString, n int32) int32 {
	if v.Type == intstr.Int {
		return max(0, v.IntVal)
	}
	percent, err := strconv.Atoi(strings.TrimSuffix(v.StrVal, "%"))
	if err != nil {
		return n
	}
	return share(int64(n), int64(max(0, percent)), 100)
}

// checksSpec are the checks that are asked for, with what their templates say where
// those are known.
func (o *Observation) checksSpec() []v1alpha1.Check {
	switch {
	case o.Rollout.Spec.Analysis == nil:
		return nil
	case o.Checks != nil:
		return o.Checks
	}
	return o.Rollout.Spec.Analysis.Checks
}

func (p *pass) interval(c *v1alpha1.Check) time.Duration {
	if c.Interval != nil {
		return c.Interval.Duration
	}
	if a := p.Rollout.Spec.Analysis; a != nil && a.Interval.Duration > 0 {
		return a.Interval.Duration
	}
	return DefaultInterval
}

// firstDue is the time from a step's acked weight to a check's first measurement.
func (p *pass) firstDue(c *v1alpha1.Check) time.Duration {
	if c.InitialDelay != nil {
		return c.InitialDelay.Duration
	}
	return p.interval(c)
}

// bound reads a limit of a check; a missing or unreadable one bounds nothing (the
// API refuses what cannot be read).
func bound(s *string, none float64) float64 {
	if s == nil {
		return none
	}
	v, err := strconv.ParseFloat(*s, 64)
	if err != nil {
		return none
	}
	return v
}
