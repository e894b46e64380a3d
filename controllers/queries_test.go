package controllers

import (
	"testing"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/delivery/checks"
)

func parse(t *testing.T, p *parser, ro *v1alpha1.Rollout) (map[string]*checks.Questions, *delivery.Refusal) {
	t.Helper()
	got, refusal, err := p.parse(t.Context(), ro)
	if err != nil {
		t.Fatal(err)
	}
	return got.of, refusal
}

func TestParserParsesEachGenerationOnce(t *testing.T) {
	p := newParser(nil)
	ro := measured("x{{.Canary}}")
	ro.Generation, ro.Status.Record.Canary = 1, "c1"

	first, refusal := parse(t, p, ro)
	if refusal != nil || first["errors"] == nil {
		t.Fatalf("queries %v, refusal %+v", first, refusal)
	}
	if again, _ := parse(t, p, ro); again["errors"] != first["errors"] {
		t.Error("the same generation was parsed again")
	}

	ro.Generation, ro.Spec.Analysis.Checks[0].Prometheus.Query = 2, "y{{.Nobody}}"
	_, refusal = parse(t, p, ro)
	if refusal == nil || refusal.Reason != v1alpha1.ReasonInvalidQuery {
		t.Fatalf("refusal %+v, want %s", refusal, v1alpha1.ReasonInvalidQuery)
	}
	if _, again := parse(t, p, ro); again != refusal {
		t.Error("a refused generation was parsed again")
	}

	// Deleted and made again under its name, between two passes.
	ro.UID, ro.Spec.Analysis.Checks[0].Prometheus.Query = "u2", "z"
	if got, refusal := parse(t, p, ro); refusal != nil || got["errors"] == nil {
		t.Errorf("another Rollout of that name: queries %v, refusal %+v", got, refusal)
	}
}

func TestParserKeepsOnlyWhatIsMeasured(t *testing.T) {
	p := newParser(nil)
	ro := measured("x")
	if got, refusal := parse(t, p, ro); len(got) != 0 || refusal != nil {
		t.Errorf("without a canary: queries %v, refusal %+v", got, refusal)
	}
	if p.known[keyOf(ro)].questions.of != nil {
		t.Error("queries that nothing measures are kept in memory")
	}
	ro.Status.Record.Canary = "c1"
	if got, _ := parse(t, p, ro); got["errors"] == nil {
		t.Error("no query for the canary that has come")
	}
	ro.Status.Record.Canary = ""
	parse(t, p, ro)
	if p.known[keyOf(ro)].questions.of != nil {
		t.Error("queries are kept after the canary has gone")
	}
	p.forget(keyOf(ro))
	if len(p.known) != 0 {
		t.Error("a Rollout that is gone is kept in memory")
	}
	parse(t, p, ro)
	ro.Spec.Analysis = nil
	parse(t, p, ro)
	if len(p.known) != 0 {
		t.Error("a Rollout without checks is kept in memory")
	}
}
