package policy

import (
	"slices"
	"strings"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Conflict is a setting that does not hold for some target, because an older policy
// that is as specific has decided.
type Conflict struct {
	// Policy is the younger one, Winner the older one; both are of one namespace.
	Namespace, Policy, Winner string
	// Field is the one of the spec that both set, such as "access".
	Field string
	// Target says what for: "the namespace", or Services by name.
	Target string
}

// field is one field of the spec, that one policy decides as a whole.
type field struct {
	name string
	set  func(*v1alpha1.MeshPolicySpec) bool
}

// serviceFields decide about callers of a Service, podFields about pods.
var (
	serviceFields = []field{
		{"timeouts", func(s *v1alpha1.MeshPolicySpec) bool { return s.Timeouts != nil }},
		{"retries", func(s *v1alpha1.MeshPolicySpec) bool { return s.Retries != nil }},
		{"circuitBreaker", func(s *v1alpha1.MeshPolicySpec) bool { return s.CircuitBreaker != nil }},
		{"outlierDetection", func(s *v1alpha1.MeshPolicySpec) bool { return s.OutlierDetection != nil }},
	}
	podFields = []field{
		{"mtls", func(s *v1alpha1.MeshPolicySpec) bool { return s.MTLS != nil }},
		{"access", func(s *v1alpha1.MeshPolicySpec) bool { return s.Access != nil }},
		{"egress", func(s *v1alpha1.MeshPolicySpec) bool { return s.Egress != nil }},
		{"telemetry", func(s *v1alpha1.MeshPolicySpec) bool { return s.Telemetry != nil }},
	}
)

// fieldsOf are the fields that a policy sets, in a fixed order.
func fieldsOf(spec *v1alpha1.MeshPolicySpec) []field {
	return slices.DeleteFunc(slices.Concat(podFields, serviceFields), func(f field) bool { return !f.set(spec) })
}

// conflictsOf are the settings of a policy that an older one for the same target
// decides.
func (p Policies) conflictsOf(policy *v1alpha1.MeshPolicy) []Conflict {
	var out []Conflict
	for _, f := range fieldsOf(&policy.Spec) {
		if len(policy.Spec.TargetRefs) == 0 {
			if winner := p.winner(policy, f, ""); winner != "" {
				out = append(out, conflict(policy, f, winner, "the namespace"))
			}
		}
		for _, ref := range policy.Spec.TargetRefs {
			if winner := p.winner(policy, f, ref.Name); winner != "" {
				out = append(out, conflict(policy, f, winner, "Service "+ref.Name))
			}
		}
	}
	return out
}

// winner is the oldest policy that sets a field for a Service, or with "" for the
// namespace, if that is not the given one.
func (p Policies) winner(policy *v1alpha1.MeshPolicy, f field, service string) string {
	for _, other := range p.byNamespace[policy.Namespace] {
		same := len(other.Spec.TargetRefs) == 0
		if service != "" {
			same = namesAny(other, []string{service})
		}
		if !same || !f.set(&other.Spec) {
			continue
		}
		if other.Name == policy.Name {
			return ""
		}
		return other.Name
	}
	return ""
}

// overlaps are the settings for a pod that an older policy decides although it names
// another one of the pod's Services. list is ranked.
func overlaps(list []*v1alpha1.MeshPolicy, services []string) []Conflict {
	var out []Conflict
	for _, f := range podFields {
		var winner *v1alpha1.MeshPolicy
		for _, policy := range list {
			if len(policy.Spec.TargetRefs) == 0 || !f.set(&policy.Spec) {
				continue
			}
			if winner == nil {
				winner = policy
				continue
			}
			theirs, its := named(winner, services), named(policy, services)
			if slices.ContainsFunc(its, func(s string) bool { return slices.Contains(theirs, s) }) {
				continue // They conflict already by name.
			}
			both := ordered(append(theirs, its...))
			out = append(out, conflict(policy, f, winner.Name, "pods that are behind Services "+join(both, " and ")))
		}
	}
	return out
}

// named are those of the Services that a policy names.
func named(policy *v1alpha1.MeshPolicy, services []string) []string {
	var out []string
	for _, ref := range policy.Spec.TargetRefs {
		if slices.Contains(services, ref.Name) {
			out = append(out, ref.Name)
		}
	}
	return out
}

func conflict(policy *v1alpha1.MeshPolicy, f field, winner, target string) Conflict {
	return Conflict{Namespace: policy.Namespace, Policy: policy.Name, Winner: winner, Field: f.name, Target: target}
}

func join(names []string, separator string) string { return strings.Join(names, separator) }
