package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
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
	now    func() time.Time
	// done wakes the Rollout whose answer has come.
	done func(types.NamespacedName)

	mu       sync.Mutex
	rollouts map[types.UID]*measurements
}

// measurements of one Rollout: those asked for, and the answers that no decision
// has seen yet.
type measurements struct {
	asked   map[delivery.Measurement]bool
	answers []delivery.Sample
}

func newSampler(source querySource, now func() time.Time, done func(types.NamespacedName)) *sampler {
	return &sampler{source: source, now: now, done: done, rollouts: map[types.UID]*measurements{}}
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
		delete(m.asked, delivery.Measurement{Check: sample.Check, Step: sample.Step, Revision: sample.Revision})
	}
	m.answers = m.answers[min(len(samples), len(m.answers)):]
	if len(m.asked) == 0 && len(m.answers) == 0 {
		delete(s.rollouts, ro.UID)
	}
}

// ask starts the measurements that are not under way yet.
func (s *sampler) ask(ctx context.Context, ro *v1alpha1.Rollout, parsed queries, due []delivery.Measurement) {
	for _, d := range due {
		if s.claim(ro.UID, d) {
			go s.measure(ctx, ro, parsed[d.Check], d)
		}
	}
}

func (s *sampler) claim(uid types.UID, d delivery.Measurement) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.rollouts[uid]
	if m == nil {
		m = &measurements{asked: map[delivery.Measurement]bool{}}
		s.rollouts[uid] = m
	}
	if m.asked[d] {
		return false
	}
	m.asked[d] = true
	return true
}

func (s *sampler) measure(ctx context.Context, ro *v1alpha1.Rollout, parsed *metrics.Query, d delivery.Measurement) {
	sample := delivery.Sample{Check: d.Check, Step: d.Step, Revision: d.Revision, At: s.now(), Outcome: delivery.NoAnswer}
	query, err := renderQuery(ro, parsed, d)
	switch {
	case err != nil:
		sample.Message = err.Error()
	case s.source == nil:
		sample.Message = "no Prometheus is configured: start the controller with --prometheus-url"
	default:
		answer := s.source.Query(ctx, query, sample.At)
		sample.Outcome, sample.Value, sample.Message = outcomeOf(answer.Outcome), answer.Value, answer.Message
	}
	s.mu.Lock()
	if m := s.rollouts[ro.UID]; m != nil {
		m.answers = append(m.answers, sample)
	}
	s.mu.Unlock()
	s.done(keyOf(ro))
}

// renderQuery fills a check's query in. None is there when the checks were refused
// while the measurement was due.
func renderQuery(ro *v1alpha1.Rollout, query *metrics.Query, d delivery.Measurement) (string, error) {
	if query == nil {
		return "", fmt.Errorf("render the query: check %s has none that can be asked", d.Check)
	}
	interval := ro.Spec.Analysis.Interval.Duration
	for _, c := range ro.Spec.Analysis.Checks {
		if c.Name == d.Check && c.Interval != nil {
			interval = c.Interval.Duration
		}
	}
	return query.Render(metrics.QueryArgs{
		Namespace: ro.Namespace, Rollout: ro.Name, Service: serviceName(ro),
		Stable: ro.Status.Record.Stable, Canary: d.Revision, Interval: interval,
	})
}

// outcomeOf reduces what a source can answer to what matters to a verdict: a
// number, nothing, no number, or no answer at all.
func outcomeOf(o metrics.Outcome) delivery.Outcome {
	switch o {
	case metrics.Number:
		return delivery.Number
	case metrics.NoData:
		return delivery.NoData
	case metrics.NotANumber:
		return delivery.NotANumber
	case metrics.ManySeries, metrics.QueryError, metrics.Unreachable, metrics.TimedOut:
		return delivery.NoAnswer
	default:
		return delivery.NoAnswer
	}
}
