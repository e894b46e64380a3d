package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/delivery/checks"
)

// parser reads each generation of a Rollout's checks, and of the templates that they
// name, once. A pass only has to know whether they can be measured, so what was parsed
// is kept only while there is a canary to measure: thousands of idle Rollouts would
// fill memory with it.
type parser struct {
	// templates says where they are read; nil stands for no templates.
	templates client.Reader

	mu    sync.Mutex
	known map[types.NamespacedName]parsed
}

// questions are a Rollout's checks and what has to be asked for each, by their names.
type questions struct {
	checks []v1alpha1.Check
	of     map[string]*checks.Questions
}

// check is one of them; nil when there is none of that name.
func (q questions) check(name string) *v1alpha1.Check {
	i := slices.IndexFunc(q.checks, func(c v1alpha1.Check) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &q.checks[i]
}

// parsed is what is known of one generation.
type parsed struct {
	uid        types.UID
	generation int64
	// templates are the versions of those that the checks name.
	templates string
	questions questions
	refusal   *delivery.Refusal
}

func newParser(templates client.Reader) *parser {
	return &parser{templates: templates, known: map[types.NamespacedName]parsed{}}
}

// parse returns the checks with what has to be asked, empty without a canary, or why
// they cannot be measured.
func (p *parser) parse(ctx context.Context, ro *v1alpha1.Rollout) (questions, *delivery.Refusal, error) {
	if ro.Spec.Analysis == nil {
		p.forget(keyOf(ro))
		return questions{}, nil, nil
	}
	found, err := p.find(ctx, ro)
	if err != nil {
		return questions{}, nil, err
	}
	measured := ro.Status.Record != nil && ro.Status.Record.Canary != ""
	p.mu.Lock()
	defer p.mu.Unlock()
	is := p.known[keyOf(ro)]
	same := is.uid == ro.UID && is.generation == ro.Generation && is.templates == found.versions
	if !same || measured && is.questions.of == nil && is.refusal == nil {
		is = parsed{uid: ro.UID, generation: ro.Generation, templates: found.versions}
		is.questions, is.refusal = parseChecks(ro.Spec.Analysis.Checks, found.spec)
	}
	if !measured {
		is.questions = questions{}
	}
	p.known[keyOf(ro)] = is
	return is.questions, is.refusal, nil
}

// forget drops what is known of a Rollout that is gone.
func (p *parser) forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, key)
}

// found are the templates that a Rollout's checks name.
type found struct {
	specs map[v1alpha1.TemplateRef]*v1alpha1.AnalysisTemplateSpec
	// versions tells them from what they were before.
	versions string
}

func (f found) spec(ref v1alpha1.TemplateRef) *v1alpha1.AnalysisTemplateSpec { return f.specs[ref] }

// find reads the templates from the caches, at each pass anew: an edited template
// counts at once.
func (p *parser) find(ctx context.Context, ro *v1alpha1.Rollout) (found, error) {
	out := found{}
	if p.templates == nil || !checks.Refers(ro.Spec.Analysis.Checks) {
		return out, nil
	}
	out.specs = map[v1alpha1.TemplateRef]*v1alpha1.AnalysisTemplateSpec{}
	var versions []string
	for _, c := range ro.Spec.Analysis.Checks {
		if c.TemplateRef == nil {
			continue
		}
		spec, version, err := p.template(ctx, ro.Namespace, *c.TemplateRef)
		if err != nil {
			return found{}, fmt.Errorf("get template of check %s: %w", c.Name, err)
		}
		if spec != nil {
			out.specs[*c.TemplateRef] = spec
		}
		versions = append(versions, version)
	}
	out.versions = strings.Join(versions, ",")
	return out, nil
}

// template reads one; nil when there is none.
func (p *parser) template(ctx context.Context, namespace string, ref v1alpha1.TemplateRef) (*v1alpha1.AnalysisTemplateSpec, string, error) {
	if ref.Kind == v1alpha1.KindClusterAnalysisTemplate {
		t := &v1alpha1.ClusterAnalysisTemplate{}
		if err := p.templates.Get(ctx, types.NamespacedName{Name: ref.Name}, t); err != nil {
			return nil, "", client.IgnoreNotFound(err)
		}
		return &t.Spec, fmt.Sprintf("%s/%d", t.UID, t.Generation), nil
	}
	t := &v1alpha1.AnalysisTemplate{}
	if err := p.templates.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, t); err != nil {
		return nil, "", client.IgnoreNotFound(err)
	}
	return &t.Spec, fmt.Sprintf("%s/%d", t.UID, t.Generation), nil
}

func parseChecks(spec []v1alpha1.Check, templates checks.Templates) (questions, *delivery.Refusal) {
	resolved, refused := checks.Resolve(spec, templates)
	if refused != nil {
		return questions{}, refused
	}
	out := questions{checks: resolved, of: make(map[string]*checks.Questions, len(resolved))}
	for i := range resolved {
		c := &resolved[i]
		if !checks.Measurable(c) {
			continue
		}
		q, err := checks.Parse(c)
		if err != nil {
			return questions{}, &delivery.Refusal{Reason: v1alpha1.ReasonInvalidQuery, Message: fmt.Sprintf("check %s: %v", c.Name, err)}
		}
		out.of[c.Name] = q
	}
	return out, nil
}
