package delivery

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// keepChecks are the verdicts so far, in the order of the spec: a check that was
// added by an edit is pending, one that was removed is forgotten.
func keepChecks(ro *v1alpha1.Rollout) []v1alpha1.CheckStatus {
	var kept []v1alpha1.CheckStatus
	for _, c := range checksSpec(ro) {
		s := v1alpha1.CheckStatus{Name: c.Name, Verdict: v1alpha1.VerdictPending}
		for i := range ro.Status.Checks {
			if ro.Status.Checks[i].Name == c.Name {
				s = *ro.Status.Checks[i].DeepCopy()
			}
		}
		kept = append(kept, s)
	}
	return kept
}

// freshChecks are those of a step that begins: nothing of another step counts.
func freshChecks(ro *v1alpha1.Rollout) []v1alpha1.CheckStatus {
	var fresh []v1alpha1.CheckStatus
	for _, c := range checksSpec(ro) {
		fresh = append(fresh, v1alpha1.CheckStatus{Name: c.Name, Verdict: v1alpha1.VerdictPending})
	}
	return fresh
}

// renewed are the checks of a weight that is confirmed anew within its step: they
// must pass again, but what failed stays counted.
func renewed(checks []v1alpha1.CheckStatus) []v1alpha1.CheckStatus {
	again := make([]v1alpha1.CheckStatus, len(checks))
	for i, c := range checks {
		again[i] = v1alpha1.CheckStatus{Name: c.Name, Verdict: v1alpha1.VerdictPending, Failures: c.Failures}
	}
	return again
}

// measured takes the answers that came since the last pass into the verdicts, and
// goes back when a check has failed.
func (p *pass) measured() bool {
	for i := range p.Samples {
		p.take(&p.Samples[i])
	}
	for i := range p.checks {
		s, c := &p.checks[i], p.check(i)
		if c.DryRun || s.Verdict != v1alpha1.VerdictFailed {
			continue
		}
		message := fmt.Sprintf("check %s failed: %s", s.Name, s.Message)
		p.warn(EventCheckFailed, message)
		return p.retreat(v1alpha1.ThenRolledBack, EventCheckFailed, message)
	}
	return false
}

// check is the spec of p.checks[i], which are always in its order.
func (p *pass) check(i int) *v1alpha1.Check { return &checksSpec(p.Rollout)[i] }

// take judges one answer. An answer about another step, another revision or a time
// before the weight was confirmed says nothing about this step.
func (p *pass) take(a *Sample) {
	i := slices.IndexFunc(p.checks, func(s v1alpha1.CheckStatus) bool { return s.Name == a.Check })
	if i < 0 || a.Step != p.rec.Step || a.Revision != p.rec.Canary || p.rec.AckedAt == nil || a.At.Before(p.rec.AckedAt.Time) {
		return
	}
	s, c := &p.checks[i], p.check(i)
	at := metav1.NewMicroTime(a.At.UTC().Truncate(time.Microsecond))
	s.MeasuredAt = &at
	outcome := a.Outcome
	if outcome == Number && (math.IsNaN(a.Value) || math.IsInf(a.Value, 0)) {
		outcome = NotANumber
	}
	switch {
	case outcome == Number:
		s.Value = strconv.FormatFloat(a.Value, 'g', 6, 64)
		s.VerdictAt = &at
		judgeNumber(s, c, a.Value)
	case outcome == NoAnswer || c.OnNoData == v1alpha1.NoDataWait || c.OnNoData == "":
		// A source that cannot be reached is never a verdict, whatever onNoData
		// says; and what passed before does not count while nobody can see (I6).
		s.Verdict, s.Value, s.Message = v1alpha1.VerdictNoVerdict, "", noVerdictMessage(a, outcome)
	case c.OnNoData == v1alpha1.NoDataFail:
		s.Value, s.VerdictAt = "", &at
		count(s, c, noVerdictMessage(a, outcome)+", which onNoData counts as a failure")
	default:
		s.Value, s.VerdictAt = "", &at
		s.Verdict, s.Message = v1alpha1.VerdictPassing, noVerdictMessage(a, outcome)+", which onNoData counts as passing"
	}
}

func judgeNumber(s *v1alpha1.CheckStatus, c *v1alpha1.Check, v float64) {
	switch lowest, highest := bound(c.Min, math.Inf(-1)), bound(c.Max, math.Inf(1)); {
	case v < lowest:
		count(s, c, fmt.Sprintf("%s is below min %s", s.Value, *c.Min))
	case v > highest:
		count(s, c, fmt.Sprintf("%s is above max %s", s.Value, *c.Max))
	default:
		s.Verdict, s.Message = v1alpha1.VerdictPassing, ""
	}
}

// count adds a failed measurement; the step's failureLimit forgives some.
func count(s *v1alpha1.CheckStatus, c *v1alpha1.Check, message string) {
	s.Failures++
	s.Verdict = v1alpha1.VerdictFailing
	s.Message = fmt.Sprintf("%s (failed measurement %d, failureLimit %d)", message, s.Failures, c.FailureLimit)
	if s.Failures > c.FailureLimit {
		s.Verdict = v1alpha1.VerdictFailed
	}
}

func noVerdictMessage(a *Sample, outcome Outcome) string {
	said := "no data"
	switch outcome {
	case NotANumber:
		said = "not a number"
	case NoAnswer:
		said = "no answer"
	case Number, NoData:
	}
	if a.Message != "" {
		return said + ": " + a.Message
	}
	return said
}

// measure plans the measurements that are due. Each is planned until it has been
// answered, so that an answer lost in a crash is asked for again.
func (p *pass) measure() {
	for i := range p.checks {
		c := p.check(i)
		due := p.rec.AckedAt.Add(p.firstDue(c))
		if m := p.checks[i].MeasuredAt; m != nil {
			due = m.Add(p.interval(c))
		}
		if p.past(due) {
			p.plan.Measure = append(p.plan.Measure, Measurement{Check: c.Name, Step: p.rec.Step, Revision: p.rec.Canary})
		}
	}
}

// verdictsIn says that every check that decides has passed in this step, with its
// last measurement. A step without weight has nothing to be judged by.
func (p *pass) verdictsIn() bool {
	if p.rec.Weight == 0 {
		return true
	}
	var waiting []string
	for i := range p.checks {
		if s := &p.checks[i]; s.Verdict != v1alpha1.VerdictPassing && !p.check(i).DryRun {
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
	if p.rec.AckedAt == nil || p.rec.Weight == 0 {
		return nil
	}
	var overdue []string
	for i := range p.checks {
		s, c := &p.checks[i], p.check(i)
		if c.DryRun || (s.Verdict != v1alpha1.VerdictNoVerdict && s.Verdict != v1alpha1.VerdictPending) {
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
