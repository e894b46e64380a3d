package controllers

import (
	"context"
	"fmt"
	"sync"
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
	// done wakes the Rollout whose answer has come.
	done func(types.NamespacedName)

	mu       sync.Mutex
	rollouts map[types.UID]*measurements
}

// measurements of one Rollout: those asked for, and the answers that no decision
// has seen yet.
type measurements struct {
	asked   map[asked]bool
	answers []delivery.Sample
}

// asked names a measurement.
type asked struct {
	check    string
	step     int32
	revision string
}

func newSampler(source querySource, j *jobs, now func() time.Time, done func(types.NamespacedName)) *sampler {
	return &sampler{source: source, jobs: j, now: now, done: done, rollouts: map[types.UID]*measurements{}}
}

// answered are the answers that no decision has seen.
func (s *sampler) answered(ro *v1alpha1.Rollout) []delivery.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.rollouts[ro.UID]; m != nil {
		return append([]delivery.Sample(nil), m.answers...)
	}
	return nil
}

// seen forgets answers whose verdicts are written. Before that a crash or a
// conflict would lose them.
func (s *sampler) seen(ro *v1alpha1.Rollout, samples []delivery.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.rollouts[ro.UID]
	if m == nil {
		return
	}
	for _, sample := range samples {
		delete(m.asked, asked{sample.Check, sample.Step, sample.Revision})
	}
	m.answers = m.answers[min(len(samples), len(m.answers)):]
	if len(m.asked) == 0 && len(m.answers) == 0 {
		delete(s.rollouts, ro.UID)
	}
}

// ask starts the measurements that are not under way yet.
func (s *sampler) ask(ctx context.Context, ro *v1alpha1.Rollout, parsed questions, due []delivery.Measurement) {
	for _, d := range due {
		if s.claim(ro.UID, d) {
			go s.measure(ctx, ro, parsed, d)
		}
	}
}

func (s *sampler) claim(uid types.UID, d delivery.Measurement) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.rollouts[uid]
	if m == nil {
		m = &measurements{asked: map[asked]bool{}}
		s.rollouts[uid] = m
	}
	name := asked{d.Check, d.Step, d.Revision}
	if m.asked[name] {
		return false
	}
	m.asked[name] = true
	return true
}

func (s *sampler) measure(ctx context.Context, ro *v1alpha1.Rollout, parsed questions, d delivery.Measurement) {
	if c := parsed.check(d.Check); c != nil && c.Job != nil {
		s.measureByJob(ctx, ro, c, d)
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
		s.fetch(ctx, queries, &sample)
	}
	s.keep(ro, sample)
}

// measureByJob has no answer while the Job runs: its end wakes the Rollout.
func (s *sampler) measureByJob(ctx context.Context, ro *v1alpha1.Rollout, c *v1alpha1.Check, d delivery.Measurement) {
	if sample := s.runCheck(ctx, ro, c, d); sample != nil {
		s.keep(ro, *sample)
		return
	}
	s.mu.Lock()
	if m := s.rollouts[ro.UID]; m != nil {
		delete(m.asked, asked{d.Check, d.Step, d.Revision})
		if len(m.asked) == 0 && len(m.answers) == 0 {
			delete(s.rollouts, ro.UID)
		}
	}
	s.mu.Unlock()
	// It may have ended while another pass left it to this one.
	if s.runCheck(ctx, ro, c, d) != nil {
		s.done(keyOf(ro))
	}
}

func (s *sampler) keep(ro *v1alpha1.Rollout, sample delivery.Sample) {
	s.mu.Lock()
	if m := s.rollouts[ro.UID]; m != nil {
		m.answers = append(m.answers, sample)
	}
	s.mu.Unlock()
	s.done(keyOf(ro))
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
