package advice

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Severity says how much a finding matters.
type Severity string

// The severities.
const (
	// Error: it cannot work as it is.
	Error Severity = "error"
	// Warning: it works, and hurts one day.
	Warning Severity = "warning"
	// Info: worth knowing; it may be as intended.
	Info Severity = "info"
)

// Severities are all of them, the gravest first.
func Severities() []Severity { return []Severity{Error, Warning, Info} }

// AtLeast says whether it is as grave as another one.
func (s Severity) AtLeast(o Severity) bool {
	return slices.Index(Severities(), s) <= slices.Index(Severities(), o)
}

// Rule is one thing to look for.
type Rule struct {
	// Code is stable: XF and four digits, the first two of them its group's.
	Code string
	// Name is the rule in one word.
	Name string
	// Severity is that of all its findings.
	Severity Severity
	// What is found, and what it leads to.
	What string
	// Mend says what to do about it.
	Mend string
	// Alone says that it needs nothing but the Rollout's spec: the controller, too,
	// asks it, and its answer changes with the spec only.
	Alone bool

	find func(*scene)
}

// Ref names an object.
type Ref struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String is kind/namespace/name, without the namespace where there is none.
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + "/" + r.Name
	}
	return r.Kind + "/" + r.Namespace + "/" + r.Name
}

// RefTo names an object of a kind.
func RefTo(kind string, o metav1.Object) Ref {
	return Ref{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}

// Finding is what a rule has found at one object.
type Finding struct {
	Code     string   `json:"code"`
	Name     string   `json:"name"`
	Severity Severity `json:"severity"`
	Object   Ref      `json:"object"`
	// Field is where in the object, as far as it is one field.
	Field string `json:"field,omitempty"`
	// Message says what is wrong here.
	Message string `json:"message"`
	// Mend says what to do about it.
	Mend string `json:"mend"`
	// Source is the file that the object came from; empty for one of a cluster.
	Source string `json:"source,omitempty"`
}

// Judge asks all rules about a World. The findings are in the order of severity,
// object and code, so equal worlds give equal answers.
func Judge(w World) []Finding { return judge(w, Rules()) }

func judge(w World, rules []Rule) []Finding {
	s := newScene(w)
	for i := range rules {
		s.rule = &rules[i]
		s.rule.find(s)
	}
	slices.SortStableFunc(s.findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(Severities(), a.Severity), slices.Index(Severities(), b.Severity)),
			cmp.Compare(a.Object.Namespace, b.Object.Namespace),
			cmp.Compare(a.Object.Kind, b.Object.Kind),
			cmp.Compare(a.Object.Name, b.Object.Name),
			cmp.Compare(a.Code, b.Code),
		)
	})
	return s.findings
}

// Codes asks the rules that need a Rollout alone, and returns the codes of those
// that have found something graver than an info, in order, each once.
func Codes(ro *v1alpha1.Rollout) []string {
	s := newScene(World{Rollouts: []*v1alpha1.Rollout{ro}})
	var codes []string
	for _, list := range [][]Rule{rolloutRules, checkRules, scheduleRules, hookRules} {
		for i := range list {
			s.rule = &list[i]
			if before := len(s.findings); s.rule.Alone && s.rule.Severity != Info {
				if s.rule.find(s); len(s.findings) > before {
					codes = append(codes, s.rule.Code)
				}
			}
		}
	}
	return codes
}

// Rules are all rules, in the order of their codes.
func Rules() []Rule {
	return slices.Concat(fileRules, rolloutRules, checkRules, scheduleRules, matchRules, hookRules, workloadRules, serviceRules, routeRules, policyRules, capacityRules, stateRules)
}

// found notes what the rule that is asked has found.
func (s *scene) found(at Ref, field, format string, args ...any) {
	s.findings = append(s.findings, Finding{
		Code: s.rule.Code, Name: s.rule.Name, Severity: s.rule.Severity,
		Object: at, Field: field, Message: fmt.Sprintf(format, args...), Mend: s.rule.Mend,
		Source: s.Sources[at],
	})
}
