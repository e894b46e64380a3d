package checks

import (
	"fmt"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/metrics"
)

// Of says which number of a measurement a query is for.
type Of string

// The numbers of a measurement.
const (
	// Value is what is judged: the canary's number.
	Value Of = "value"
	// Requests counts the requests of the canary that it is about.
	Requests Of = "requests"
	// StableValue is stable's number, StableRequests counts its requests.
	StableValue    Of = "stable value"
	StableRequests Of = "stable requests"
)

// Query is one query of a check, ready to be asked.
type Query struct {
	Of   Of
	Text string
}

// Questions are what has to be asked to measure a check.
type Questions struct {
	value *metrics.Query
	// counts says that the canary's requests are counted, too, compares that stable is
	// asked the same, countsStable that its requests are counted then.
	counts, compares, countsStable bool
}

// requestCount is the same for all checks.
func requestCount() (*metrics.Query, error) { return metrics.ParseQuery(metrics.RequestCountQuery()) }

// Parse reads a check that has no templateRef any more. The error says what to
// change.
func Parse(c *v1alpha1.Check) (*Questions, error) {
	text, err := textOf(c)
	if err != nil {
		return nil, err
	}
	q := &Questions{
		counts:       c.MinRequests > 0 || c.ComparedToStable != nil && c.SuccessRate != nil,
		compares:     c.ComparedToStable != nil,
		countsStable: c.ComparedToStable != nil && c.MinRequests > 0,
	}
	q.value, err = metrics.ParseQuery(text)
	return q, err
}

// Measurable says that a check is measured by queries.
func Measurable(c *v1alpha1.Check) bool {
	return c.SuccessRate != nil || c.Latency != nil || c.RequestRate != nil || c.Prometheus != nil
}

func textOf(c *v1alpha1.Check) (string, error) {
	switch {
	case c.SuccessRate != nil:
		return metrics.SuccessRateQuery(), nil
	case c.Latency != nil:
		quantile := c.Latency.Quantile
		if quantile == "" {
			quantile = defaultQuantile
		}
		return metrics.LatencyQuery(quantile)
	case c.RequestRate != nil:
		return metrics.RequestRateQuery(), nil
	case c.Prometheus != nil:
		return c.Prometheus.Query, nil
	}
	return "", fmt.Errorf("write the query: check %s has no source that answers queries", c.Name)
}

// defaultQuantile is the API's, for objects that no API server has filled in.
const defaultQuantile = "0.99"

// Render fills in the names of a delivery. Stable is the revision to compare with,
// empty where there is none: then the check's questions about stable are left out.
func (q *Questions) Render(args metrics.QueryArgs, stable string) ([]Query, error) {
	value, err := q.value.Render(args)
	if err != nil {
		return nil, err
	}
	out := []Query{{Value, value}}
	count, err := requestCount()
	if err != nil {
		return nil, err
	}
	ofStable := args
	ofStable.Canary = stable
	compares := q.compares && stable != ""
	for _, further := range []struct {
		of     Of
		wanted bool
		query  *metrics.Query
		args   metrics.QueryArgs
	}{
		{Requests, q.counts, count, args},
		{StableValue, compares, q.value, ofStable},
		{StableRequests, compares && q.countsStable, count, ofStable},
	} {
		if !further.wanted {
			continue
		}
		text, err := further.query.Render(further.args)
		if err != nil {
			return nil, err
		}
		out = append(out, Query{further.of, text})
	}
	return out, nil
}

// Args are the names that a delivery's queries get: of the Rollout, of the Service
// whose requests are shifted, and of the revisions.
func Args(ro *v1alpha1.Rollout, c *v1alpha1.Check, service, stable, canary string) metrics.QueryArgs {
	return metrics.QueryArgs{
		Namespace: ro.Namespace, Rollout: ro.Name, Service: service,
		Stable: stable, Canary: canary, Interval: window(ro, c),
	}
}

// window is how long a measurement of a check looks back: the time between two of
// them, where nothing else is said.
func window(ro *v1alpha1.Rollout, c *v1alpha1.Check) time.Duration {
	switch a := ro.Spec.Analysis; {
	case c.Window != nil:
		return c.Window.Duration
	case c.Interval != nil:
		return c.Interval.Duration
	case a != nil && a.Interval.Duration > 0:
		return a.Interval.Duration
	}
	return delivery.DefaultInterval
}
