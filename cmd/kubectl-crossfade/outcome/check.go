package outcome

import (
	"fmt"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
)

// FailedCheck is the check that a revision was rolled back for.
type FailedCheck struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
	// Limits is the range that the value had to stay in.
	Limits  string `json:"limits,omitempty"`
	Message string `json:"message,omitempty"`
	// Query is what was asked, with the names and revisions in it. Who waits fills it in
	// at the end: the query may be in a template, which is an object of its own.
	Query string `json:"query,omitempty"`
}

// reasonCheckFailed is the record's reason when a check made a revision go back.
const reasonCheckFailed = "CheckFailed"

// failedCheck is the first that failed; nil when the revision failed otherwise.
func failedCheck(r *v1alpha1.Rollout) *FailedCheck {
	if r.Status.Record == nil || r.Status.Record.Reason != reasonCheckFailed {
		return nil
	}
	for _, c := range r.Status.Checks {
		if spec := rollouts.Check(r, c.Name); c.Verdict != v1alpha1.VerdictFailed || (spec != nil && spec.DryRun) {
			continue
		}
		return &FailedCheck{
			Name: c.Name, Value: rollouts.Value(c), Limits: rollouts.Limits(r, c), Message: c.Message,
		}
	}
	return nil
}

// String has all that somebody needs who reads a pipeline's log.
func (c *FailedCheck) String() string {
	s := "check " + c.Name
	if c.Value != "" {
		s += ": " + c.Value
	}
	if c.Limits != "" {
		s += fmt.Sprintf(" (%s)", c.Limits)
	}
	if c.Query != "" {
		s += "\nquery: " + c.Query
	}
	return s
}
