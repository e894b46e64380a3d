package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/delivery/checks"
	"github.com/crossfade-dev/crossfade/metrics"
)

// querySource answers one query with one number, at one time.
type querySource interface {
	Query(ctx context.Context, query string, at time.Time) metrics.Sample
}

// sampler measures what plans ask for, outside the reconcile loop: a slow
// Prometheus must not hold up a rollback of somebody else.
type sampler struct {
	source querySource
	jobs   *jobs
	now    func() time.Time
	*pending[asked, delivery.Sample]
}

// measurements are those of one Rollout.
type measurements = calls[asked, delivery.Sample]

// asked names a measurement.
type asked struct {
	check    string
	step     int32
	revision string
}

func newSampler(source querySource, j *jobs, now func() time.Time, wake func(types.NamespacedName)) *sampler {
	about := func(s delivery.Sample) asked { return asked{s.Check, s.Step, s.Revision} }
	return &sampler{source: source, jobs: j, now: now, pending: newPending(about, wake)}
}

// ask starts the measurements that are not under way yet.
func (s *sampler) ask(ctx context.Context, ro *v1alpha1.Rollout, parsed questions, due []delivery.Measurement) {
	for _, d := range due {
		if of := s.claim(ctx, ro, asked{d.Check, d.Step, d.Revision}); of != nil {
			go s.measure(of, ro, parsed, d)
		}
	}
}

func (s *sampler) measure(of *measurements, ro *v1alpha1.Rollout, parsed questions, d delivery.Measurement) {
	if c := parsed.check(d.Check); c != nil && c.Job != nil {
		s.measureByJob(of, ro, c, d)
		return
	}
	sample := delivery.Sample{Check: d.Check, Step: d.Step, Revision: d.Revision, At: s.now(), Outcome: delivery.NoAnswer}
	queries, err := render(ro, parsed, d)
	switch {
	case err != nil:
		sample.Message = err.Error()
	case s.source == nil:
		sample.Message = "no Prometheus is configured: start the controller with --prometheus-url"
	default:
		s.fetch(of.context, queries, &sample)
	}
	s.keep(of, sample)
}

// measureByJob has no answer while the Job runs: its end wakes the Rollout.
func (s *sampler) measureByJob(of *measurements, ro *v1alpha1.Rollout, c *v1alpha1.Check, d delivery.Measurement) {
	if sample := s.runCheck(of.context, ro, c, d); sample != nil {
		s.keep(of, *sample)
		return
	}
	s.release(of, asked{d.Check, d.Step, d.Revision})
	// It may have ended while another pass left it to this one.
	if s.runCheck(of.context, ro, c, d) != nil {
		s.wake(of.key)
	}
}

// fetch asks the queries of one measurement, all about the same time.
func (s *sampler) fetch(ctx context.Context, queries []checks.Query, sample *delivery.Sample) {
	for _, q := range queries {
		checks.Take(sample, q.Of, s.source.Query(ctx, q.Text, sample.At))
	}
}

// render fills a check's queries in. None is there when the checks were refused
// while the measurement was due.
func render(ro *v1alpha1.Rollout, parsed questions, d delivery.Measurement) ([]checks.Query, error) {
	c, q := parsed.check(d.Check), parsed.of[d.Check]
	if c == nil || q == nil {
		return nil, fmt.Errorf("render the query: check %s has none that can be asked", d.Check)
	}
	return q.Render(checks.Args(ro, c, serviceName(ro), ro.Status.Record.Stable, d.Revision), d.Stable)
}
