package delivery

import (
	"fmt"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// templates is what the checks of a schedule are made of besides the spec.
type templates struct {
	// resolved is what the template of the check says, nil when the spec says it
	// itself; gone says that somebody deleted it.
	resolved *v1alpha1.Check
	gone     bool
}

// enough is how many requests a schedule's checks ask for, where they do.
const enough = 100

// setUpChecks makes a check of another kind out of the plain one.
func (s *sim) setUpChecks() {
	c := &s.ro.Spec.Analysis.Checks[0]
	if s.one(3) {
		c.MinRequests = enough
	}
	if s.one(3) {
		c.ConsecutiveFailures = new(int32(1 + s.r.IntN(3)))
	}
	if s.one(3) {
		s.templates.resolved = c.DeepCopy()
		*c = v1alpha1.Check{Name: c.Name, TemplateRef: &v1alpha1.TemplateRef{Name: "errors"}}
	}
}

// measuredCheck is the check as it is measured.
func (s *sim) measuredCheck() *v1alpha1.Check {
	if s.templates.resolved != nil {
		return s.templates.resolved
	}
	return &s.ro.Spec.Analysis.Checks[0]
}

// counts adds how many requests a measurement is about: too few at times, or unknown.
func (s *sim) counts(a Sample) Sample {
	if s.ro == nil || s.ro.Spec.Analysis == nil || s.measuredCheck().MinRequests == 0 {
		return a
	}
	a.Requests = &Answer{Outcome: Number, Value: float64(enough)}
	switch {
	case s.one(4):
		a.Requests.Value = float64(s.r.IntN(enough))
	case s.outage:
		a.Requests.Outcome = []Outcome{NoAnswer, NoData, Number}[s.r.IntN(3)]
	}
	return a
}

// disturbTemplateOfChecks deletes the template, or brings it back.
func (s *sim) disturbTemplateOfChecks() {
	if s.templates.resolved == nil {
		return
	}
	s.templates.gone = !s.templates.gone
	s.trace("fault", fmt.Sprintf("the template of the check is gone: %t", s.templates.gone))
}

// fill resolves the checks of an observation.
func (t *templates) fill(o *Observation) {
	switch {
	case t.resolved == nil:
	case !t.gone:
		o.Checks = []v1alpha1.Check{*t.resolved.DeepCopy()}
		o.Checks[0].Name = o.Rollout.Spec.Analysis.Checks[0].Name
	case o.Refused == nil:
		o.Refused = &Refusal{Reason: v1alpha1.ReasonTemplateNotFound, Message: "check errors: there is no AnalysisTemplate errors"}
	}
}

// judgeable says that a measurement is about enough requests, or that none are asked
// for.
func judgeable(a Sample) bool {
	return a.Requests == nil || a.Requests.Outcome == Number && a.Requests.Value >= enough
}
