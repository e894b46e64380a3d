package controllers

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/metrics"
)

// queries are a Rollout's parsed query templates by their checks' names.
type queries map[string]*metrics.Query

// parser parses each generation of a Rollout's queries once. A pass only has to know
// whether they parse, so the templates themselves are kept only while there is a
// canary to measure: thousands of idle Rollouts would fill memory with them.
type parser struct {
	mu    sync.Mutex
	known map[types.NamespacedName]parsed
}

// parsed is what is known of one generation.
type parsed struct {
	uid        types.UID
	generation int64
	queries    queries
	refusal    *delivery.Refusal
}

func newParser() *parser { return &parser{known: map[types.NamespacedName]parsed{}} }

// parse returns the queries, empty without a canary, or why one of them is none.
func (p *parser) parse(ro *v1alpha1.Rollout) (queries, *delivery.Refusal) {
	if ro.Spec.Analysis == nil {
		p.forget(keyOf(ro))
		return nil, nil
	}
	measured := ro.Status.Record != nil && ro.Status.Record.Canary != ""
	p.mu.Lock()
	defer p.mu.Unlock()
	is := p.known[keyOf(ro)]
	same := is.uid == ro.UID && is.generation == ro.Generation
	if !same || measured && is.queries == nil && is.refusal == nil {
		is = parsed{uid: ro.UID, generation: ro.Generation}
		is.queries, is.refusal = parseQueries(ro.Spec.Analysis.Checks)
	}
	if !measured {
		is.queries = nil
	}
	p.known[keyOf(ro)] = is
	return is.queries, is.refusal
}

// forget drops what is known of a Rollout that is gone.
func (p *parser) forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, key)
}

func parseQueries(checks []v1alpha1.Check) (queries, *delivery.Refusal) {
	out := make(queries, len(checks))
	for _, c := range checks {
		if c.Prometheus == nil {
			continue
		}
		query, err := metrics.ParseQuery(c.Prometheus.Query)
		if err != nil {
			return nil, &delivery.Refusal{Reason: v1alpha1.ReasonInvalidQuery, Message: fmt.Sprintf("check %s: %v", c.Name, err)}
		}
		out[c.Name] = query
	}
	return out, nil
}
