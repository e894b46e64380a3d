package controllers

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/metrics"
)

// templated is a Rollout whose check takes a template over.
func templated(namespace, name, kind string) *v1alpha1.Rollout {
	ro := measured("")
	ro.Namespace, ro.Name, ro.Generation, ro.Status.Record.Canary = namespace, name, 1, "c1"
	ro.Spec.Analysis.Checks = []v1alpha1.Check{{Name: "errors", TemplateRef: &v1alpha1.TemplateRef{Kind: kind, Name: "errors"}}}
	return ro
}

func success(lowest string) v1alpha1.AnalysisTemplateSpec {
	return v1alpha1.AnalysisTemplateSpec{Check: v1alpha1.TemplateCheck{SuccessRate: &v1alpha1.TemplateSuccessRate{Min: &lowest}}}
}

// TestParserFollowsTemplates: one that comes, is edited or goes counts at the next
// look, without a new generation of the Rollout.
func TestParserFollowsTemplates(t *testing.T) {
	for _, kind := range []string{v1alpha1.KindAnalysisTemplate, v1alpha1.KindClusterAnalysisTemplate} {
		scheme, err := NewScheme()
		if err != nil {
			t.Fatal(err)
		}
		c := fake.NewClientBuilder().WithScheme(scheme).Build()
		p := newParser(c)
		ro := templated("shop", "payments", kind)
		look := func() (string, string) {
			t.Helper()
			got, refusal, err := p.parse(t.Context(), ro)
			if err != nil {
				t.Fatal(err)
			}
			if refusal != nil {
				return "", refusal.Reason
			}
			return *got.check("errors").SuccessRate.Min, ""
		}
		object, spec := templateObject(kind)
		for _, step := range []struct {
			reason, min, refused string
			do                   func() error
		}{
			{"it is not there", "", v1alpha1.ReasonTemplateNotFound, func() error { return nil }},
			{"it comes", "99", "", func() error { *spec = success("99"); object.SetGeneration(1); return c.Create(t.Context(), object) }},
			{"it is edited", "95", "", func() error { *spec = success("95"); object.SetGeneration(2); return c.Update(t.Context(), object) }},
			{"it is spoilt", "", v1alpha1.ReasonInvalidTemplate, func() error { *spec = success("few"); object.SetGeneration(3); return c.Update(t.Context(), object) }},
			{"it goes", "", v1alpha1.ReasonTemplateNotFound, func() error { return c.Delete(t.Context(), object) }},
		} {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			got, refused := look()
			if diff := cmp.Diff([]string{step.min, step.refused}, []string{got, refused}); diff != "" {
				t.Errorf("%s: %s: -want +got\n%s", kind, step.reason, diff)
			}
		}
	}
}

func templateObject(kind string) (client.Object, *v1alpha1.AnalysisTemplateSpec) {
	if kind == v1alpha1.KindClusterAnalysisTemplate {
		o := &v1alpha1.ClusterAnalysisTemplate{}
		o.Name = "errors"
		return o, &o.Spec
	}
	o := &v1alpha1.AnalysisTemplate{}
	o.Namespace, o.Name = "shop", "errors"
	return o, &o.Spec
}

// TestTemplatesWakeRollouts: of their namespace, or of all.
func TestTemplatesWakeRollouts(t *testing.T) {
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	other := templated("shop", "carts", v1alpha1.KindAnalysisTemplate)
	other.Spec.Analysis.Checks[0].TemplateRef.Name = "latency"
	c := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&v1alpha1.Rollout{}, indexTemplate, templateNames).WithObjects(
		templated("shop", "payments", ""), templated("attic", "payments", v1alpha1.KindAnalysisTemplate), other,
		templated("shop", "search", v1alpha1.KindClusterAnalysisTemplate), templated("attic", "search", v1alpha1.KindClusterAnalysisTemplate),
	).Build()
	m := mapper{cache: c}
	names := func(list []reconcile.Request) []string {
		var out []string
		for _, r := range list {
			out = append(out, r.String())
		}
		return out
	}
	object, _ := templateObject(v1alpha1.KindAnalysisTemplate)
	if diff := cmp.Diff([]string{"shop/payments"}, names(m.template(t.Context(), object))); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	object, _ = templateObject(v1alpha1.KindClusterAnalysisTemplate)
	if diff := cmp.Diff([]string{"attic/search", "shop/search"}, names(m.clusterTemplate(t.Context(), object))); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// sourceFunc answers at once.
type sourceFunc func(query string) metrics.Sample

func (f sourceFunc) Query(_ context.Context, query string, _ time.Time) metrics.Sample {
	return f(query)
}

// TestSamplerMeasuresBoth: the canary, stable, and how many requests each number is
// about, all at one time.
func TestSamplerMeasuresBoth(t *testing.T) {
	ro := measured("")
	ro.Spec.Analysis.Checks = []v1alpha1.Check{{
		Name: "errors", Latency: &v1alpha1.Latency{Quantile: "0.9"}, ComparedToStable: &v1alpha1.Comparison{MaxRatio: "2"}, MinRequests: 10,
	}}
	source := sourceFunc(func(query string) metrics.Sample {
		v := 1.0
		if strings.Contains(query, `revision="s1"`) {
			v = 2
		}
		if strings.Contains(query, "increase(") {
			v *= 100
		}
		if v == 200 {
			return metrics.Sample{Outcome: metrics.Unreachable, Message: "away"}
		}
		return metrics.Sample{Outcome: metrics.Number, Value: v}
	})
	at := time.Unix(1000, 0)
	woken := make(chan types.NamespacedName, 9)
	parsed, refusal := parseChecks(ro.Spec.Analysis.Checks, nil)
	if refusal != nil {
		t.Fatal(refusal)
	}
	for stable, want := range map[string]delivery.Sample{
		"s1": {
			Outcome: delivery.Number, Value: 1, Requests: &delivery.Answer{Outcome: delivery.Number, Value: 100},
			Stable:         &delivery.Answer{Outcome: delivery.Number, Value: 2},
			StableRequests: &delivery.Answer{Outcome: delivery.NoAnswer, Message: "away"},
		},
		"": {Outcome: delivery.Number, Value: 1, Requests: &delivery.Answer{Outcome: delivery.Number, Value: 100}},
	} {
		s := newSampler(source, nil, func() time.Time { return at }, func(key types.NamespacedName) { woken <- key })
		s.ask(t.Context(), ro, parsed, []delivery.Measurement{{Check: "errors", Step: 2, Revision: "c1", Stable: stable}})
		<-woken
		want.Check, want.Step, want.Revision, want.At = "errors", 2, "c1", at
		got := s.answered(ro)
		if diff := cmp.Diff([]delivery.Sample{want}, got); diff != "" {
			t.Errorf("compared with %q: -want +got\n%s", stable, diff)
		}
		if s.seen(ro, got); len(s.rollouts) != 0 {
			t.Error("a measurement that was compared is never forgotten")
		}
	}
}
