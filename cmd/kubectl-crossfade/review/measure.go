package review

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/delivery/checks"
	"github.com/crossfade-dev/crossfade/metrics"
)

// asked is a Prometheus; nil where there is none.
type asked interface {
	Query(ctx context.Context, query string, at time.Time) metrics.Sample
}

// measured is a check with its queries, and what they answer now.
type measured struct {
	Check    string `json:"check"`
	Expected string `json:"expected,omitempty"`
	Interval string `json:"interval"`
	First    string `json:"firstAfter"`
	DryRun   bool   `json:"dryRun,omitempty"`
	// Revision is the one that was measured; empty when none was.
	Revision string `json:"revision,omitempty"`
	// Verdict is Passing, Failing or NoVerdict; empty when nothing was asked.
	Verdict     v1alpha1.Verdict `json:"verdict,omitempty"`
	Value       string           `json:"value,omitempty"`
	Unit        string           `json:"unit,omitempty"`
	StableValue string           `json:"stableValue,omitempty"`
	Requests    *int64           `json:"requests,omitempty"`
	Message     string           `json:"message,omitempty"`
	Queries     []query          `json:"queries,omitempty"`
}

// query is one that a check asks, and of what.
type query struct {
	Of   string `json:"of"`
	Text string `json:"query"`
}

// notRun is said of a check that is a Job: to run it would be to do something.
const notRun = "Job checks are not run by check and plan: the controller runs its Job at each measurement"

// measure renders a check's queries, and asks them once where somebody can be asked.
func measure(ctx context.Context, of asked, ro *v1alpha1.Rollout, c *v1alpha1.Check, stable, canary string, at time.Time) measured {
	m := measured{
		Check: c.Name, Expected: delivery.Expected(c), Unit: delivery.Unit(c), DryRun: c.DryRun,
		Interval: delivery.Interval(ro, c).String(), First: delivery.FirstMeasured(ro, c).String(),
	}
	if !checks.Measurable(c) {
		m.Message = notRun
		return m
	}
	queries, err := render(ro, c, stable, canary)
	if err != nil {
		m.Verdict, m.Message = v1alpha1.VerdictNoVerdict, err.Error()
		return m
	}
	sample := delivery.Sample{Check: c.Name, Revision: canary, At: at, Outcome: delivery.NoAnswer}
	for _, q := range queries {
		m.Queries = append(m.Queries, query{string(q.Of), strings.TrimSpace(q.Text)})
		if of != nil {
			checks.Take(&sample, q.Of, of.Query(ctx, q.Text, at))
		}
	}
	if of == nil {
		return m
	}
	status := delivery.Judge(c, &sample)
	m.Revision, m.Verdict, m.Message = canary, status.Verdict, status.Message
	m.Value, m.StableValue, m.Requests = status.Value, status.StableValue, status.Requests
	return m
}

func render(ro *v1alpha1.Rollout, c *v1alpha1.Check, stable, canary string) ([]checks.Query, error) {
	parsed, err := checks.Parse(c)
	if err != nil {
		return nil, err
	}
	compared := stable
	if stable == canary {
		compared = "" // A revision is not compared with itself.
	}
	return parsed.Render(checks.Args(ro, c, ro.Spec.ServiceRef.Name, stable, canary), compared)
}

// now is what was measured, in words.
func (m *measured) now() string {
	words := "no number"
	if m.Value != "" {
		words = m.Value + m.Unit
	}
	if m.StableValue != "" {
		words += fmt.Sprintf(" (stable %s%s)", m.StableValue, m.Unit)
	}
	if m.Requests != nil {
		words += fmt.Sprintf(", of %d requests", *m.Requests)
	}
	switch {
	case m.Message == "":
		return words
	case m.Value != "" && strings.HasPrefix(m.Message, m.Value):
		return m.Message
	}
	return words + ": " + m.Message
}

// writeQuery writes the query of the number that is judged, and what else is asked.
func (m *measured) writeQuery(w io.Writer, paint session.Paint) {
	if len(m.Queries) == 0 {
		return
	}
	for line := range strings.SplitSeq(m.Queries[0].Text, "\n") {
		fmt.Fprintf(w, "    %s\n", paint.Faint(line))
	}
	var also []string
	for _, q := range m.Queries[1:] {
		also = append(also, q.Of)
	}
	if len(also) > 0 {
		fmt.Fprintf(w, "    asked, too: %s (-o json has the queries)\n", strings.Join(also, ", "))
	}
}

// writeQueries writes a check's queries as they are asked.
func (m *measured) writeQueries(w io.Writer, paint session.Paint) {
	for _, q := range m.Queries {
		if len(m.Queries) > 1 {
			fmt.Fprintf(w, "    %s:\n", q.Of)
		}
		for line := range strings.SplitSeq(q.Text, "\n") {
			fmt.Fprintf(w, "    %s\n", paint.Faint(line))
		}
	}
}

func painted(v v1alpha1.Verdict, paint session.Paint) string {
	switch v {
	case v1alpha1.VerdictPassing:
		return paint.Good(string(v))
	case v1alpha1.VerdictFailing, v1alpha1.VerdictFailed:
		return paint.Bad(string(v))
	case v1alpha1.VerdictNoVerdict, v1alpha1.VerdictPending:
	}
	return paint.Warn(string(v))
}
