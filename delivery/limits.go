package delivery

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// limits are what a check's number must stay within, in its unit, and how people
// write them.
type limits struct {
	lowest, highest float64
	min, max, ratio string
	unit            string
}

func limitsOf(c *v1alpha1.Check) limits {
	l := limits{lowest: math.Inf(-1), highest: math.Inf(1)}
	switch {
	case c.SuccessRate != nil:
		l.unit = "%"
		l.atLeast(c.SuccessRate.Min)
	case c.RequestRate != nil:
		l.unit = "/s"
		l.atLeast(&c.RequestRate.Min)
	case c.Latency != nil:
		l.unit = "ms"
		if m := c.Latency.Max; m != nil {
			l.highest, l.max = float64(m.Duration)/float64(time.Millisecond), m.Duration.String()
		}
	default:
		l.atLeast(c.Min)
		if c.Max != nil {
			l.highest, l.max = bound(c.Max, l.highest), *c.Max
		}
	}
	if c.ComparedToStable != nil {
		l.ratio = c.ComparedToStable.MaxRatio
	}
	return l
}

func (l *limits) atLeast(text *string) {
	if text != nil {
		l.lowest, l.min = bound(text, l.lowest), *text+l.unit
	}
}

// expected is what passes, as people read it.
func (l limits) expected() string {
	var parts []string
	if l.min != "" {
		parts = append(parts, "at least "+l.min)
	}
	if l.max != "" {
		parts = append(parts, "at most "+l.max)
	}
	if l.ratio != "" {
		of := "stable's"
		if l.unit == "%" {
			of = "stable's failures"
		}
		parts = append(parts, fmt.Sprintf("at most %s times %s", l.ratio, of))
	}
	return strings.Join(parts, ", ")
}

// compareToStable judges the canary's number by stable's. Of a latency the times are
// compared. Of a success rate it is the shares that fail, for 99 % is one percent
// less than 100 % and yet infinitely worse; and stable counts as if one request at
// least had failed among as many as the canary had, so that the first error of a
// canary is no verdict about it.
func compareToStable(s *v1alpha1.CheckStatus, c *v1alpha1.Check, a *Sample) (v1alpha1.Verdict, string) {
	stable := finite(a.Stable)
	if stable.Outcome != Number {
		return v1alpha1.VerdictNoVerdict, "stable, to compare with: " + stable.unanswered()
	}
	s.StableValue = short(stable.Value)
	if c.MinRequests > 0 {
		counted := Answer{Outcome: NoAnswer}
		if a.StableRequests != nil {
			counted = *finite(a.StableRequests)
		}
		switch n := whole(&counted); {
		case counted.Outcome == NoAnswer:
			return v1alpha1.VerdictNoVerdict, "stable's requests: " + counted.unanswered()
		case n < int64(c.MinRequests):
			return v1alpha1.VerdictNoVerdict, fmt.Sprintf("stable, to compare with: %d requests, fewer than minRequests %d", n, c.MinRequests)
		}
	}
	of, ofStable := a.Value, stable.Value
	if c.SuccessRate != nil {
		of, ofStable = 100-a.Value, 100-stable.Value
	}
	with := ofStable
	if n := s.Requests; c.SuccessRate != nil && n != nil && *n > 0 {
		with = max(with, 100/float64(*n))
	}
	if of <= 0 {
		return v1alpha1.VerdictPassing, ""
	}
	if with <= 0 {
		return v1alpha1.VerdictNoVerdict, "stable, to compare with: " + s.StableValue + limitsOf(c).unit + ", of which there is no multiple"
	}
	highest := bound(&c.ComparedToStable.MaxRatio, math.Inf(1))
	if of <= highest*with {
		return v1alpha1.VerdictPassing, ""
	}
	unit, verb := limitsOf(c).unit, "is"
	if c.SuccessRate != nil {
		verb = "failed,"
	}
	return v1alpha1.VerdictFailing, fmt.Sprintf("%s%s %s %s times stable's %s%s: above maxRatio %s",
		short(of), unit, verb, short(of/with), short(ofStable), unit, c.ComparedToStable.MaxRatio)
}

// failureLimit is how many failed measurements are forgiven, nil for any number: none
// where nothing is said.
func failureLimit(c *v1alpha1.Check) *int32 {
	if c.FailureLimit == nil && c.ConsecutiveFailures == nil {
		return new(int32)
	}
	return c.FailureLimit
}

func forgives(c *v1alpha1.Check) string {
	var parts []string
	if limit := failureLimit(c); limit != nil {
		parts = append(parts, fmt.Sprintf("failureLimit %d", *limit))
	}
	if c.ConsecutiveFailures != nil {
		parts = append(parts, fmt.Sprintf("consecutiveFailures %d", *c.ConsecutiveFailures))
	}
	return strings.Join(parts, ", ")
}

// finite turns what can be compared with nothing into no number.
func finite(a *Answer) *Answer {
	if a.Outcome == Number && (math.IsNaN(a.Value) || math.IsInf(a.Value, 0)) {
		return &Answer{Outcome: NotANumber, Message: a.Message}
	}
	return a
}

// unanswered says why there is no number.
func (a *Answer) unanswered() string {
	said := "no data"
	switch a.Outcome {
	case NotANumber:
		said = "not a number"
	case NoAnswer:
		said = "no answer"
	case Number, NoData, Completed, Failed:
	}
	if a.Message != "" {
		return said + ": " + a.Message
	}
	return said
}

// whole is a count. Prometheus extrapolates to the ends of a window; nobody had 4.7
// requests.
func whole(a *Answer) int64 {
	if a.Outcome != Number {
		return 0
	}
	return int64(math.Round(a.Value))
}

// short writes a number in six digits.
func short(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
