package controllers

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/metrics"
)

// fakeSource answers as told, once it is let.
type fakeSource struct {
	let     chan struct{}
	queries chan string
	answer  metrics.Sample
}

func (f *fakeSource) Query(_ context.Context, query string, _ time.Time) metrics.Sample {
	<-f.let
	f.queries <- query
	return f.answer
}

func measured(query string) *v1alpha1.Rollout {
	return &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments", UID: "u1"},
		Spec: v1alpha1.RolloutSpec{Analysis: &v1alpha1.Analysis{
			Interval: metav1.Duration{Duration: 30 * time.Second},
			Checks:   []v1alpha1.Check{{Name: "errors", Prometheus: &v1alpha1.PrometheusSource{Query: query}}},
		}},
		Status: v1alpha1.RolloutStatus{Record: &v1alpha1.Record{Service: "payments", Stable: "s1"}},
	}
}

func TestSamplerAsksOnceAndKeepsAnswersUntilSeen(t *testing.T) {
	source := &fakeSource{let: make(chan struct{}, 9), queries: make(chan string, 9), answer: metrics.Sample{Outcome: metrics.Number, Value: 0.5}}
	woken := make(chan types.NamespacedName, 9)
	at := time.Unix(1000, 0)
	s := newSampler(source, nil, func() time.Time { return at }, func(key types.NamespacedName) { woken <- key })
	ro := measured(`x{revision="{{.Canary}}",stable="{{.Stable}}"}[{{.Interval}}]`)
	due := []delivery.Measurement{{Check: "errors", Step: 2, Revision: "c1"}}
	parsed, _ := parseChecks(ro.Spec.Analysis.Checks, nil)

	s.ask(t.Context(), ro, parsed, due)
	s.ask(t.Context(), ro, parsed, due) // The pass was repeated before the answer came.
	source.let <- struct{}{}
	source.let <- struct{}{}
	if got, want := <-source.queries, `x{revision="c1",stable="s1"}[30s]`; got != want {
		t.Errorf("query %s, want %s", got, want)
	}
	if got := <-woken; got.Name != "payments" {
		t.Errorf("woke %v", got)
	}
	want := []delivery.Sample{{Check: "errors", Step: 2, Revision: "c1", At: at, Outcome: delivery.Number, Value: 0.5}}
	for range 2 { // A conflict in between must not lose it.
		if diff := cmp.Diff(want, s.answered(ro)); diff != "" {
			t.Fatalf("answers (-want +got)\n%s", diff)
		}
	}
	s.ask(t.Context(), ro, parsed, due) // Not seen yet: still the same measurement.
	if len(source.queries) != 0 {
		t.Error("asked again before the answer was seen")
	}
	s.seen(ro, want)
	if got := s.answered(ro); len(got) != 0 {
		t.Errorf("answers %v after they were seen", got)
	}
	if len(s.rollouts) != 0 {
		t.Error("a Rollout with nothing under way is kept in memory")
	}
	s.ask(t.Context(), ro, parsed, due)
	<-source.queries
}

func TestSamplerWithoutSourceNeverJudges(t *testing.T) {
	woken := make(chan types.NamespacedName, 1)
	s := newSampler(nil, nil, func() time.Time { return time.Unix(1000, 0) }, func(key types.NamespacedName) { woken <- key })
	ro := measured("x")
	parsed, _ := parseChecks(ro.Spec.Analysis.Checks, nil)
	s.ask(t.Context(), ro, parsed, []delivery.Measurement{{Check: "errors", Step: 1, Revision: "c1"}})
	<-woken
	got := s.answered(ro)
	if len(got) != 1 || got[0].Outcome != delivery.NoAnswer || got[0].Message == "" {
		t.Errorf("got %+v, want no answer and a sentence", got)
	}
}
