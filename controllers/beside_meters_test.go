package controllers

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/controllers/notify"
	"github.com/crossfade-dev/crossfade/controllers/outbound"
	"github.com/crossfade-dev/crossfade/delivery"
)

// counted are the series that are not 0.
func counted(t *testing.T, registry prometheus.Gatherer, metric string) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for labels, value := range series(t, registry, metric) {
		if value != 0 {
			out[labels] = value
		}
	}
	return out
}

// TestBesideMeters counts one of each outcome.
func TestBesideMeters(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := newBesideMeters(registry)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	clock := func() time.Time { now = now.Add(time.Second); return now }
	for _, a := range []outbound.Answer{{Code: 204}, {Code: 409}, {Code: 500}, {}, {Refused: true}} {
		p := meteredPoster{&fakePoster{posts: make(chan posted, 1), answer: a}, m, clock}
		if got := p.Post(t.Context(), outbound.Target{}, nil, nil, time.Second); got != a {
			t.Errorf("the answer %+v became %+v", a, got)
		}
	}
	for _, err := range []error{nil, errors.New("away"), notify.ErrNoTarget} {
		f := &fakeSender{errs: make(chan error, 1), calls: make(chan error, 1)}
		f.errs <- err
		if got := (meteredSender{f, m}).Send(t.Context(), "team", notify.Message{}); !errors.Is(got, err) {
			t.Errorf("the error %v became %v", err, got)
		}
	}
	check := v1alpha1.Check{Name: "load", Job: smoke()}
	seen := &observed{questions: questions{checks: []v1alpha1.Check{check, {Name: "errors"}}}}
	seen.Rollout = withJob()
	seen.Rollout.Spec.Hooks = append(seen.Rollout.Spec.Hooks, v1alpha1.Hook{Name: "post", HTTP: &v1alpha1.HTTPHook{}})
	about := func(hook string, o delivery.HookOutcome) delivery.HookAnswer {
		return delivery.HookAnswer{Question: delivery.Question{Hook: hook}, Outcome: o}
	}
	gate := seen.Rollout.Spec.Hooks[0].Name
	seen.HookAnswers = []delivery.HookAnswer{about(gate, delivery.HookYes), about(gate, delivery.HookNo), about(gate, delivery.HookLater), about("post", delivery.HookYes), about("gone", delivery.HookYes)}
	seen.Samples = []delivery.Sample{{Check: "load", Outcome: delivery.Completed}, {Check: "load", Outcome: delivery.Failed}, {Check: "errors", Outcome: delivery.Number}}
	m.answers(seen)
	m.answered(&v1alpha1.RolloutAction{Spec: v1alpha1.RolloutActionSpec{Action: v1alpha1.ActionAbort}}, &v1alpha1.RolloutActionStatus{Phase: v1alpha1.ActionRefused})
	for metric, want := range map[string]map[string]float64{
		"crossfade_hook_requests_total": {"outcome=Yes": 1, "outcome=Later": 1, "outcome=No": 1, "outcome=Silent": 1, "outcome=Refused": 1},
		"crossfade_notice_tries_total":  {"outcome=Sent": 1, "outcome=Failed": 1, "outcome=NoTarget": 1},
		"crossfade_job_runs_total": {
			"of=hook,outcome=Complete": 1, "of=hook,outcome=Failed": 1, "of=hook,outcome=NotMade": 1,
			"of=check,outcome=Complete": 1, "of=check,outcome=Failed": 1,
		},
		"crossfade_actions_total": {"action=Abort,phase=Refused": 1},
	} {
		if diff := cmp.Diff(want, counted(t, registry, metric)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", metric, diff)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "crossfade_hook_request_seconds" && f.GetMetric()[0].GetHistogram().GetSampleSum() != 5 {
			t.Errorf("5 requests of a second each took %v", f.GetMetric()[0].GetHistogram().GetSampleSum())
		}
	}
}
