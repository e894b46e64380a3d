package rollouts

import (
	"strings"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/metrics"
)

// Check is the spec of a check, nil when the Rollout has none of that name.
func Check(r *v1alpha1.Rollout, name string) *v1alpha1.Check {
	if r.Spec.Analysis == nil {
		return nil
	}
	for i := range r.Spec.Analysis.Checks {
		if c := &r.Spec.Analysis.Checks[i]; c.Name == name {
			return c
		}
	}
	return nil
}

// Limits is the range of a check in words.
func Limits(r *v1alpha1.Rollout, name string) string {
	c := Check(r, name)
	if c == nil {
		return ""
	}
	var words []string
	if c.Min != nil {
		words = append(words, "min "+*c.Min)
	}
	if c.Max != nil {
		words = append(words, "max "+*c.Max)
	}
	return strings.Join(words, ", ")
}

// Query is what a check asks about a revision, with the names in it; empty for a
// check that asks no query.
func Query(r *v1alpha1.Rollout, name, hash string) string {
	c := Check(r, name)
	if c == nil || c.Prometheus == nil {
		return ""
	}
	query, err := metrics.ParseQuery(c.Prometheus.Query)
	if err != nil {
		// The controller refuses it, too; the words as they were written say more than
		// none.
		return c.Prometheus.Query
	}
	args := metrics.QueryArgs{Namespace: r.Namespace, Rollout: r.Name, Service: r.Spec.ServiceRef.Name, Canary: hash, Interval: r.Spec.Analysis.Interval.Duration}
	if c.Interval != nil {
		args.Interval = c.Interval.Duration
	}
	if r.Status.Record != nil {
		args.Stable = r.Status.Record.Stable
	}
	rendered, err := query.Render(args)
	if err != nil {
		return c.Prometheus.Query
	}
	return strings.TrimSpace(rendered)
}
