package delivery

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// keepChecks are the verdicts so far, in the order of the spec: a check that was
// added by an edit is pending, one that was removed is forgotten.
func (p *pass) keepChecks() []v1alpha1.CheckStatus {
	kept := p.freshChecks()
	for i := range kept {
		for j := range p.Rollout.Status.Checks {
			if was := &p.Rollout.Status.Checks[j]; was.Name == kept[i].Name {
				fresh := kept[i]
				kept[i] = *was.DeepCopy()
				kept[i].Expected, kept[i].Unit = fresh.Expected, fresh.Unit
			}
		}
	}
	return kept
}

// freshChecks are those of a step that begins: nothing of another step counts.
func (p *pass) freshChecks() []v1alpha1.CheckStatus {
	var fresh []v1alpha1.CheckStatus
	spec := p.checksSpec()
	for i := range spec {
		limits := limitsOf(&spec[i])
		fresh = append(fresh, v1alpha1.CheckStatus{
			Name: spec[i].Name, Verdict: v1alpha1.VerdictPending, Expected: limits.expected(), Unit: limits.unit,
		})
	}
	return fresh
}

// renewed are the checks of a weight that is confirmed anew within its step: they
// must pass again, but what failed stays counted.
func renewed(checks []v1alpha1.CheckStatus) []v1alpha1.CheckStatus {
	again := make([]v1alpha1.CheckStatus, len(checks))
	for i, c := range checks {
		again[i] = v1alpha1.CheckStatus{
			Name: c.Name, Verdict: v1alpha1.VerdictPending, Expected: c.Expected, Unit: c.Unit,
			Failures: c.Failures, ConsecutiveFailures: c.ConsecutiveFailures,
		}
	}
	return again
}

// measured takes the answers that came since the last pass into the verdicts, and
// goes back when a check has failed.
func (p *pass) measured() bool {
	for i := range p.Samples {
		p.take(&p.Samples[i])
	}
	p.Samples = nil
	for i := range p.checks {
		s, c := &p.checks[i], p.check(i)
		if c.DryRun || !p.asks(c.Name) || s.Verdict != v1alpha1.VerdictFailed {
			continue
		}
		message := fmt.Sprintf("check %s failed: %s", s.Name, s.Message)
		p.warn(EventCheckFailed, message)
		return p.retreat(v1alpha1.ThenRolledBack, EventCheckFailed, message)
	}
	return false
}

// asks says that a check judges the present step. What it measured in another one
// says nothing about this one.
func (p *pass) asks(check string) bool {
	s := p.step()
	return s == nil || s.Checks == nil || slices.Contains(s.Checks, check)
}

// check is the spec of p.checks[i], which are always in its order.
func (p *pass) check(i int) *v1alpha1.Check { return &p.checksSpec()[i] }

// take judges one answer. An answer about another step, another revision or a time
// before the weight was confirmed says nothing about this step.
func (p *pass) take(a *Sample) {
	i := slices.IndexFunc(p.checks, func(s v1alpha1.CheckStatus) bool { return s.Name == a.Check })
	since := p.measuredSince()
	if i < 0 || !p.asks(a.Check) || a.Step != p.rec.Step || a.Revision != p.rec.Canary || since.IsZero() || a.At.Before(since) {
		return
	}
	s := &p.checks[i]
	at := metav1.NewMicroTime(a.At.UTC().Truncate(time.Microsecond))
	s.MeasuredAt = &at
	s.Value, s.StableValue, s.Requests = "", "", nil
	if outcome, message := judge(s, p.check(i), a); outcome != v1alpha1.VerdictNoVerdict {
		s.VerdictAt = &at
		settle(s, p.check(i), outcome, message)
	} else {
		// What passed before does not count while nobody can see (I6).
		s.Verdict, s.Message = outcome, message
	}
}

// judge says what one measurement is, Passing, Failing or NoVerdict, and why.
func judge(s *v1alpha1.CheckStatus, c *v1alpha1.Check, a *Sample) (v1alpha1.Verdict, string) {
	switch a.Outcome {
	case Completed:
		return v1alpha1.VerdictPassing, ""
	case Failed:
		return v1alpha1.VerdictFailing, a.Message
	case Number, NoData, NotANumber, NoAnswer:
	}
	value := finite(&Answer{Outcome: a.Outcome, Value: a.Value, Message: a.Message})
	switch {
	case c.TemplateRef != nil:
		return v1alpha1.VerdictNoVerdict, "its template is missing"
	case value.Outcome == NoAnswer:
		// A source that cannot be reached is never a verdict, whatever onNoData says.
		return v1alpha1.VerdictNoVerdict, value.unanswered()
	}
	if message, enough := enoughRequests(s, c, a.Requests); !enough {
		return v1alpha1.VerdictNoVerdict, message
	}
	switch {
	case value.Outcome == Number:
		s.Value = short(value.Value)
		return judgeNumber(s, c, a)
	case c.OnNoData == v1alpha1.NoDataFail:
		return v1alpha1.VerdictFailing, value.unanswered() + ", which onNoData counts as a failure"
	case c.OnNoData == v1alpha1.NoDataPass:
		return v1alpha1.VerdictPassing, value.unanswered() + ", which onNoData counts as passing"
	}
	return v1alpha1.VerdictNoVerdict, value.unanswered()
}

// enoughRequests says that the canary had minRequests at least. A source that is
// asked and does not know has none.
func enoughRequests(s *v1alpha1.CheckStatus, c *v1alpha1.Check, counted *Answer) (string, bool) {
	if counted == nil {
		return "the requests were not counted", c.MinRequests == 0
	}
	counted = finite(counted)
	if counted.Outcome == NoAnswer {
		return "requests: " + counted.unanswered(), false
	}
	n := whole(counted)
	s.Requests = &n
	return fmt.Sprintf("%d requests, fewer than minRequests %d", n, c.MinRequests), n >= int64(c.MinRequests)
}

// judgeNumber compares a finite number with what the check allows.
func judgeNumber(s *v1alpha1.CheckStatus, c *v1alpha1.Check, a *Sample) (v1alpha1.Verdict, string) {
	limits := limitsOf(c)
	switch {
	case a.Value < limits.lowest:
		return v1alpha1.VerdictFailing, fmt.Sprintf("%s%s is below min %s", s.Value, limits.unit, limits.min)
	case a.Value > limits.highest:
		return v1alpha1.VerdictFailing, fmt.Sprintf("%s%s is above max %s", s.Value, limits.unit, limits.max)
	case a.Stable == nil:
		return v1alpha1.VerdictPassing, ""
	}
	return compareToStable(s, c, a)
}

// settle counts a measurement that gave a verdict.
func settle(s *v1alpha1.CheckStatus, c *v1alpha1.Check, outcome v1alpha1.Verdict, message string) {
	s.Verdict, s.Message = outcome, message
	if outcome == v1alpha1.VerdictPassing {
		s.ConsecutiveFailures = 0
		return
	}
	s.Failures++
	s.ConsecutiveFailures++
	s.Message = fmt.Sprintf("%s (failed measurement %d, %s)", message, s.Failures, forgives(c))
	if limit := failureLimit(c); limit != nil && s.Failures > *limit {
		s.Verdict = v1alpha1.VerdictFailed
	}
	if row := c.ConsecutiveFailures; row != nil && s.ConsecutiveFailures >= *row {
		s.Verdict = v1alpha1.VerdictFailed
	}
}

// stableAsked says that stable gets requests, too, by which the canary can be
// measured: not where it has them all.
func (p *pass) stableAsked() bool {
	return p.rec.Weight < p.rec.Total || p.rec.Traffic != nil && len(p.rec.Traffic.Audience) > 0
}

// measuredSince is since when what the canary gets is confirmed: from then on it is
// measured. A step that still waits for its pods, or at its gates, gives what the step
// before gave: what fails meanwhile counts as it does later, what passes does not.
func (p *pass) measuredSince() time.Time {
	switch {
	case p.rec.AckedAt != nil:
		return p.rec.AckedAt.Time
	case !p.weighed():
		return p.rec.StepSince.Time
	}
	return time.Time{}
}

// canReturn says that the ReplicaSets have not begun to change owners: what fails takes
// the canary back.
func (p *pass) canReturn() bool {
	switch p.rec.Stage {
	case v1alpha1.StageStepping, v1alpha1.StagePinning:
		return true
	case v1alpha1.StageHandingOver:
		return p.stable != nil && p.stable.Owner == OwnerDeployment && (p.canary == nil || p.canary.Owner != OwnerDeployment)
	case v1alpha1.StageHealthy, v1alpha1.StagePreparing, v1alpha1.StageWarm, v1alpha1.StageRetreating, v1alpha1.StageRolledBack, v1alpha1.StageRestoring:
	}
	return false
}

// measure plans the measurements that are due, as long as the canary gets requests and
// can go back. Each is planned until it has been answered, so that an answer lost in a
// crash is asked for again. It decides nothing.
func (p *pass) measure() bool {
	since := p.measuredSince()
	if !p.reached() || since.IsZero() {
		return false
	}
	for i := range p.checks {
		c := p.check(i)
		// A Job would hardly have begun when the step's own measurements follow.
		if !p.asks(c.Name) || c.Job != nil && p.rec.AckedAt == nil {
			continue
		}
		due := since.Add(p.firstDue(c))
		if m := p.checks[i].MeasuredAt; m != nil {
			due = m.Add(p.interval(c))
		}
		if p.past(due) {
			m := Measurement{Check: c.Name, Step: p.rec.Step, Revision: p.rec.Canary}
			if c.ComparedToStable != nil && p.stableAsked() {
				m.Stable = p.rec.Stable
			}
			p.plan.Measure = append(p.plan.Measure, m)
		}
	}
	return false
}

// verdictsIn says that every check that decides has passed in this step, with its
// last measurement. A step without requests has nothing to be judged by.
func (p *pass) verdictsIn() bool {
	if !p.reached() {
		return true
	}
	var waiting []string
	for i := range p.checks {
		if s := &p.checks[i]; s.Verdict != v1alpha1.VerdictPassing && !p.check(i).DryRun && p.asks(s.Name) {
			waiting = append(waiting, s.Name)
		}
	}
	if len(waiting) == 0 {
		return true
	}
	p.wait(v1alpha1.ReasonProgressing, p.holding("until these checks pass: "+join(waiting)))
	return false
}

// verdictsOverdue names the checks that have had no verdict for
// progressDeadlineSeconds.
func (p *pass) verdictsOverdue() []string {
	if p.rec.AckedAt == nil || !p.reached() {
		return nil
	}
	var overdue []string
	for i := range p.checks {
		s, c := &p.checks[i], p.check(i)
		if c.DryRun || !p.asks(c.Name) || (s.Verdict != v1alpha1.VerdictNoVerdict && s.Verdict != v1alpha1.VerdictPending) {
			continue
		}
		since := p.rec.AckedAt.Add(p.firstDue(c))
		if s.VerdictAt != nil {
			since = latest(since, s.VerdictAt.Time)
		}
		if p.past(since.Add(p.deadline())) {
			overdue = append(overdue, s.Name)
		}
	}
	return overdue
}
