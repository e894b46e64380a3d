package controllers

import (
	"testing"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

func TestParserParsesEachGenerationOnce(t *testing.T) {
	p := newParser()
	ro := measured("x{{.Canary}}")
	ro.Generation, ro.Status.Record.Canary = 1, "c1"

	first, refusal := p.parse(ro)
	if refusal != nil || first["errors"] == nil {
		t.Fatalf("queries %v, refusal %+v", first, refusal)
	}
	if again, _ := p.parse(ro); again["errors"] != first["errors"] {
		t.Error("the same generation was parsed again")
	}

	ro.Generation, ro.Spec.Analysis.Checks[0].Prometheus.Query = 2, "y{{.Nobody}}"
	_, refusal = p.parse(ro)
	if refusal == nil || refusal.Reason != v1alpha1.ReasonInvalidQuery {
		t.Fatalf("refusal %+v, want %s", refusal, v1alpha1.ReasonInvalidQuery)
	}
	if _, again := p.parse(ro); again != refusal {
		t.Error("a refused generation was parsed again")
	}

	// Deleted and made again under its name, between two passes.
	ro.UID, ro.Spec.Analysis.Checks[0].Prometheus.Query = "u2", "z"
	if got, refusal := p.parse(ro); refusal != nil || got["errors"] == nil {
		t.Errorf("another Rollout of that name: queries %v, refusal %+v", got, refusal)
	}
}

func TestParserKeepsOnlyWhatIsMeasured(t *testing.T) {
	p := newParser()
	ro := measured("x")
	if got, refusal := p.parse(ro); len(got) != 0 || refusal != nil {
		t.Errorf("without a canary: queries %v, refusal %+v", got, refusal)
	}
	if p.known[keyOf(ro)].queries != nil {
		t.Error("queries that nothing measures are kept in memory")
	}
	ro.Status.Record.Canary = "c1"
	if got, _ := p.parse(ro); got["errors"] == nil {
		t.Error("no query for the canary that has come")
	}
	ro.Status.Record.Canary = ""
	p.parse(ro)
	if p.known[keyOf(ro)].queries != nil {
		t.Error("queries are kept after the canary has gone")
	}
	p.forget(keyOf(ro))
	if len(p.known) != 0 {
		t.Error("a Rollout that is gone is kept in memory")
	}
	p.parse(ro)
	ro.Spec.Analysis = nil
	p.parse(ro)
	if len(p.known) != 0 {
		t.Error("a Rollout without checks is kept in memory")
	}
}
