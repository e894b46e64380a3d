package checks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/metrics"
)

// Templates finds the template of a check in the Rollout's namespace, or in the
// cluster; nil where there is none.
type Templates func(ref v1alpha1.TemplateRef) *v1alpha1.AnalysisTemplateSpec

// Resolve fills the templates of a Rollout's checks in. What comes back has no
// templateRef any more, in the order of the spec; or a refusal that says what to
// change. Checks without a template are taken as they are.
func Resolve(spec []v1alpha1.Check, templates Templates) ([]v1alpha1.Check, *delivery.Refusal) {
	out := make([]v1alpha1.Check, 0, len(spec))
	for i := range spec {
		c := &spec[i]
		if c.TemplateRef == nil {
			out = append(out, *c)
			continue
		}
		template := templates(*c.TemplateRef)
		if template == nil {
			return nil, refusal(v1alpha1.ReasonTemplateNotFound, c, "there is no %s: create it, or change the check's templateRef", nameOf(c.TemplateRef))
		}
		resolved, refused := fill(c, template)
		if refused != nil {
			return nil, refused
		}
		out = append(out, *resolved)
	}
	return out, nil
}

// Refers says that a check names a template.
func Refers(spec []v1alpha1.Check) bool {
	return slices.ContainsFunc(spec, func(c v1alpha1.Check) bool { return c.TemplateRef != nil })
}

func refusal(reason string, c *v1alpha1.Check, format string, args ...any) *delivery.Refusal {
	return &delivery.Refusal{Reason: reason, Message: "check " + c.Name + ": " + fmt.Sprintf(format, args...)}
}

func nameOf(ref *v1alpha1.TemplateRef) string {
	return kindOf(*ref) + " " + ref.Name
}

// kindOf is the kind with the API's default.
func kindOf(ref v1alpha1.TemplateRef) string {
	if ref.Kind == "" {
		return v1alpha1.KindAnalysisTemplate
	}
	return ref.Kind
}

// fill makes a check of its template.
func fill(c *v1alpha1.Check, template *v1alpha1.AnalysisTemplateSpec) (*v1alpha1.Check, *delivery.Refusal) {
	values, refused := argsOf(c, template)
	if refused != nil {
		return nil, refused
	}
	f := filler{values: values}
	resolved := f.check(&template.Check)
	if f.err != nil {
		return nil, refusal(v1alpha1.ReasonInvalidTemplate, c, "%s: %v", nameOf(c.TemplateRef), f.err)
	}
	if err := sources(resolved); err != "" {
		return nil, refusal(v1alpha1.ReasonInvalidTemplate, c, "%s: %s", nameOf(c.TemplateRef), err)
	}
	resolved.Name = c.Name
	override(resolved, c)
	return resolved, nil
}

// override lets the check have the last word about when and how often it is
// measured; what is measured and what passes is the template's.
func override(resolved, c *v1alpha1.Check) {
	if c.Interval != nil {
		resolved.Interval = c.Interval
	}
	if c.Window != nil {
		resolved.Window = c.Window
	}
	if c.InitialDelay != nil {
		resolved.InitialDelay = c.InitialDelay
	}
	if c.FailureLimit != nil {
		resolved.FailureLimit = c.FailureLimit
	}
	if c.ConsecutiveFailures != nil {
		resolved.ConsecutiveFailures = c.ConsecutiveFailures
	}
	if c.MinRequests != 0 {
		resolved.MinRequests = c.MinRequests
	}
	if c.OnNoData != "" {
		resolved.OnNoData = c.OnNoData
	}
	resolved.DryRun = resolved.DryRun || c.DryRun
}

// value is an argument as it is written into a query, and into every other text.
type value struct{ query, text string }

// argsOf are the values of a template's arguments: the check's, else the defaults.
func argsOf(c *v1alpha1.Check, template *v1alpha1.AnalysisTemplateSpec) (map[string]value, *delivery.Refusal) {
	given := map[string]string{}
	for _, a := range c.Args {
		given[a.Name] = a.Value
	}
	values := make(map[string]value, len(template.Args))
	var missing []string
	for i := range template.Args {
		a := &template.Args[i]
		text, ok := given[a.Name]
		delete(given, a.Name)
		reason := v1alpha1.ReasonInvalidArguments
		if !ok {
			if a.Default == nil {
				missing = append(missing, a.Name)
				continue
			}
			text, reason = *a.Default, v1alpha1.ReasonInvalidTemplate
		}
		v, err := typed(a.Type, text)
		if err != nil {
			return nil, refusal(reason, c, "argument %s of %s %v", a.Name, nameOf(c.TemplateRef), err)
		}
		values[a.Name] = v
	}
	if len(missing) > 0 {
		return nil, refusal(v1alpha1.ReasonInvalidArguments, c, "%s has no default for %s: set args", nameOf(c.TemplateRef), strings.Join(missing, ", "))
	}
	for _, a := range c.Args {
		if _, unknown := given[a.Name]; unknown {
			return nil, refusal(v1alpha1.ReasonInvalidArguments, c, "%s has no argument %q: %s", nameOf(c.TemplateRef), a.Name, known(template.Args))
		}
	}
	return values, nil
}

func known(args []v1alpha1.TemplateArg) string {
	if len(args) == 0 {
		return "it has none"
	}
	names := make([]string, len(args))
	for i := range args {
		names[i] = args[i].Name
	}
	slices.Sort(names)
	return "it has " + strings.Join(names, ", ")
}

// filler inserts arguments into texts; the first mistake is kept.
type filler struct {
	values map[string]value
	err    error
}

func (f *filler) fill(field, text string, pick func(value) string) string {
	args := make(map[string]string, len(f.values))
	for name, v := range f.values {
		args[name] = pick(v)
	}
	out, err := metrics.Fill(text, args)
	if err != nil {
		f.fail(field, err)
	}
	return out
}

func (f *filler) query(field, text string) string {
	return f.fill(field, text, func(v value) string { return v.query })
}

// text fills in a text that is no query: the fields of queries mean nothing in it.
func (f *filler) text(field, text string) string {
	out := f.fill(field, text, func(v value) string { return v.text })
	if strings.Contains(out, "{{") {
		f.fail(field, fmt.Errorf("only .Args can be inserted here, not %s", out))
	}
	return out
}

func (f *filler) fail(field string, err error) {
	if f.err == nil {
		f.err = fmt.Errorf("%s: %w", field, err)
	}
}
