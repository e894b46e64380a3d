package rollouts

import (
	"fmt"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Headline is where a Rollout is, in a few words that change only when something
// happens: no number that is measured again and again is in it.
func Headline(r *v1alpha1.Rollout) string {
	words := []string{PhaseWord(r)}
	// Most messages of a step begin with it.
	if r.Status.StepSummary != "" && !strings.HasPrefix(r.Status.Message, "step ") {
		words = append(words, "step "+r.Status.StepSummary)
	}
	for _, c := range r.Status.Checks {
		switch c.Verdict {
		case v1alpha1.VerdictFailing, v1alpha1.VerdictFailed, v1alpha1.VerdictNoVerdict:
			words = append(words, fmt.Sprintf("check %s %s", c.Name, c.Verdict))
		case v1alpha1.VerdictPending, v1alpha1.VerdictPassing:
		}
	}
	return strings.Join(words, ", ")
}

// PhaseWord is the phase, or that no controller has looked at the Rollout.
func PhaseWord(r *v1alpha1.Rollout) string {
	if r.Status.Phase == "" {
		return "Unseen"
	}
	return string(r.Status.Phase)
}

// Total is what the weights are out of.
func Total(r *v1alpha1.Rollout) int32 {
	total := int32(0)
	switch s := r.Spec.Strategy; {
	case r.Status.Record != nil && r.Status.Record.Total > 0:
		total = r.Status.Record.Total
	case s.Canary != nil:
		total = s.Canary.TotalWeight
	case s.ABTest != nil:
		total = s.ABTest.TotalWeight
	}
	if total == 0 {
		return 100
	}
	return total
}

// Hold is how long the present step is held after its weight is confirmed; 0 where no
// clock ends it.
func Hold(r *v1alpha1.Rollout) time.Duration {
	record := r.Status.Record
	if record == nil || record.Step < 1 || record.Stage != v1alpha1.StageStepping {
		return 0
	}
	switch s, i := r.Spec.Strategy, int(record.Step)-1; {
	case s.Canary != nil && i < len(s.Canary.Steps):
		if p := s.Canary.Steps[i].Pause; p != nil && p.Duration != nil {
			return p.Duration.Duration
		}
	case s.BlueGreen != nil && i == 0 && s.BlueGreen.Hold != nil:
		return s.BlueGreen.Hold.Duration.Duration
	case s.BlueGreen != nil && i == 1 && s.BlueGreen.Verify != nil:
		return s.BlueGreen.Verify.Duration.Duration
	case s.ABTest != nil && i == 0:
		return s.ABTest.Duration.Duration
	}
	return 0
}

// Measured is what a check's last measurement said, with the range that it has to stay
// in.
func Measured(r *v1alpha1.Rollout, c v1alpha1.CheckStatus) string {
	var words []string
	if c.Value != "" {
		words = append(words, Value(c))
	}
	if c.StableValue != "" {
		words = append(words, "stable "+c.StableValue)
	}
	if limits := Limits(r, c); limits != "" {
		words = append(words, "("+limits+")")
	}
	return strings.Join(words, " ")
}
