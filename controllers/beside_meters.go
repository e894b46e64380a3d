package controllers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/controllers/notify"
	"github.com/crossfade-dev/crossfade/controllers/outbound"
	"github.com/crossfade-dev/crossfade/delivery"
)

// besideMeters count what goes on beside the loop and what people ask for. Their labels
// are closed sets of words: whose hook or target it was says the Rollout's status.
type besideMeters struct {
	hooks    *prometheus.CounterVec
	hookTime prometheus.Histogram
	jobs     *prometheus.CounterVec
	notices  *prometheus.CounterVec
	actions  *prometheus.CounterVec
}

// Outcomes of what is counted.
const (
	outcomeYes      = "Yes"
	outcomeLater    = "Later"
	outcomeNo       = "No"
	outcomeSilent   = "Silent"
	outcomeRefused  = "Refused"
	outcomeComplete = "Complete"
	outcomeFailed   = "Failed"
	outcomeNotMade  = "NotMade"
	outcomeSent     = "Sent"
	outcomeNoTarget = "NoTarget"
)

func newBesideMeters(registry prometheus.Registerer) (*besideMeters, error) {
	m := &besideMeters{
		hooks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crossfade_hook_requests_total", Help: "Requests to hooks by outcome.",
		}, []string{"outcome"}),
		hookTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "crossfade_hook_request_seconds", Help: "Time that requests to hooks take.", Buckets: prometheus.DefBuckets,
		}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crossfade_job_runs_total", Help: "Jobs of hooks and checks by outcome, and tries to make one that failed.",
		}, []string{"of", "outcome"}),
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crossfade_notice_tries_total", Help: "Tries to tell a target of something by outcome.",
		}, []string{"outcome"}),
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crossfade_actions_total", Help: "RolloutActions that were answered, by action and phase.",
		}, []string{"action", "phase"}),
	}
	if err := registerAll(registry, m.hooks, m.hookTime, m.jobs, m.notices, m.actions); err != nil {
		return nil, err
	}
	for _, o := range []string{outcomeYes, outcomeLater, outcomeNo, outcomeSilent, outcomeRefused} {
		m.hooks.WithLabelValues(o)
	}
	for _, o := range []string{outcomeComplete, outcomeFailed, outcomeNotMade} {
		m.jobs.WithLabelValues("hook", o)
		m.jobs.WithLabelValues("check", o)
	}
	for _, o := range []string{outcomeSent, outcomeFailed, outcomeNoTarget} {
		m.notices.WithLabelValues(o)
	}
	return m, nil
}

// answers counts the Jobs that have ended. Each answer is seen by one decision.
func (m *besideMeters) answers(seen *observed) {
	for i := range seen.HookAnswers {
		a := &seen.HookAnswers[i]
		if h := hookNamed(seen.Rollout, a.Hook); h != nil && h.Job != nil {
			m.jobs.WithLabelValues("hook", jobOutcome(a.Outcome == delivery.HookYes, a.Outcome == delivery.HookNo)).Inc()
		}
	}
	for i := range seen.Samples {
		s := &seen.Samples[i]
		if c := seen.questions.check(s.Check); c != nil && c.Job != nil {
			m.jobs.WithLabelValues("check", jobOutcome(s.Outcome == delivery.Completed, s.Outcome == delivery.Failed)).Inc()
		}
	}
}

func jobOutcome(complete, failed bool) string {
	switch {
	case complete:
		return outcomeComplete
	case failed:
		return outcomeFailed
	}
	return outcomeNotMade
}

// answered counts an action whose answer is written.
func (m *besideMeters) answered(a *v1alpha1.RolloutAction, status *v1alpha1.RolloutActionStatus) {
	m.actions.WithLabelValues(string(a.Spec.Action), string(status.Phase)).Inc()
}

// meteredPoster counts the requests of hooks, and their time.
type meteredPoster struct {
	poster
	meters *besideMeters
	now    func() time.Time
}

// Post implements poster.
func (p meteredPoster) Post(ctx context.Context, t outbound.Target, body []byte, headers http.Header, timeout time.Duration) outbound.Answer {
	start := p.now()
	a := p.poster.Post(ctx, t, body, headers, timeout)
	p.meters.hookTime.Observe(p.now().Sub(start).Seconds())
	p.meters.hooks.WithLabelValues(requestOutcome(a)).Inc()
	return a
}

func requestOutcome(a outbound.Answer) string {
	if a.Refused {
		return outcomeRefused
	}
	return map[delivery.HookOutcome]string{
		delivery.HookYes: outcomeYes, delivery.HookLater: outcomeLater, delivery.HookNo: outcomeNo, delivery.HookSilent: outcomeSilent,
	}[meaning(a).Outcome]
}

// meteredSender counts the tries to tell a target.
type meteredSender struct {
	sender
	meters *besideMeters
}

// Send implements sender.
func (s meteredSender) Send(ctx context.Context, target string, m notify.Message) error {
	err := s.sender.Send(ctx, target, m)
	outcome := outcomeSent
	switch {
	case errors.Is(err, notify.ErrNoTarget):
		outcome = outcomeNoTarget
	case err != nil:
		outcome = outcomeFailed
	}
	s.meters.notices.WithLabelValues(outcome).Inc()
	return err
}
