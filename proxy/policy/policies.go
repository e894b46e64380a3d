package policy

import (
	"cmp"
	"slices"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// Policies are the MeshPolicies of a cluster. The zero value has none.
type Policies struct {
	// byNamespace holds the oldest first.
	byNamespace map[string][]*v1alpha1.MeshPolicy
}

// New puts policies in order. It changes none of them, and keeps them.
func New(list []*v1alpha1.MeshPolicy) Policies {
	p := Policies{byNamespace: map[string][]*v1alpha1.MeshPolicy{}}
	for _, policy := range list {
		p.byNamespace[policy.Namespace] = append(p.byNamespace[policy.Namespace], policy)
	}
	for _, policies := range p.byNamespace {
		slices.SortFunc(policies, func(a, b *v1alpha1.MeshPolicy) int {
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
		})
	}
	return p
}

// Targets are the Services of a namespace that policies name, sorted.
func (p Policies) Targets(namespace string) []string {
	var names []string
	for _, policy := range p.byNamespace[namespace] {
		for _, ref := range policy.Spec.TargetRefs {
			names = append(names, ref.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Service returns what is asked of those who call a Service.
func (p Policies) Service(service ir.ServiceKey) ir.ServicePolicy {
	list := p.ranked(service.Namespace, []string{service.Name})
	var out ir.ServicePolicy
	if t := first(list, func(s *v1alpha1.MeshPolicySpec) *v1alpha1.TimeoutPolicy { return s.Timeouts }); t != nil {
		out.Timeouts = makeTimeouts(t)
	}
	if r := first(list, func(s *v1alpha1.MeshPolicySpec) *v1alpha1.RetryPolicy { return s.Retries }); r != nil {
		out.Retries = makeRetries(r)
	}
	if b := first(list, func(s *v1alpha1.MeshPolicySpec) *v1alpha1.CircuitBreakerPolicy { return s.CircuitBreaker }); b != nil {
		out.CircuitBreaker = makeCircuitBreaker(b)
	}
	if o := first(list, func(s *v1alpha1.MeshPolicySpec) *v1alpha1.OutlierDetectionPolicy { return s.OutlierDetection }); o != nil {
		out.Outlier = makeOutlier(o)
	}
	return out
}

// Pod is what holds for a pod.
type Pod struct {
	// Shape names the policies that are for the pod's Services, in the form "a+b". It
	// is empty where only policies of the whole namespace can hold.
	Shape     string
	Inbound   ir.Inbound
	Egress    ir.Egress
	Telemetry ir.Telemetry
	// Overlaps are the settings that do not hold, because an older policy, for another
	// Service of the pod, has decided.
	Overlaps []Conflict
}

// Pod returns what holds for a pod of a namespace that is behind these Services.
func (p Policies) Pod(namespace string, services []string) Pod {
	list := p.ranked(namespace, services)
	out := Pod{Shape: shapeOf(list), Inbound: ir.Inbound{MTLS: ir.Permissive}, Overlaps: overlaps(list, services)}
	if m := first(list, func(s *v1alpha1.MeshPolicySpec) *v1alpha1.MTLSPolicy { return s.MTLS }); m != nil && m.Mode == v1alpha1.MTLSStrict {
		out.Inbound.MTLS = ir.Strict
	}
	if a := first(list, func(s *v1alpha1.MeshPolicySpec) *v1alpha1.AccessPolicy { return s.Access }); a != nil {
		out.Inbound.Access = makeAccess(a)
	}
	if t := first(list, func(s *v1alpha1.MeshPolicySpec) *v1alpha1.TelemetryPolicy { return s.Telemetry }); t != nil {
		out.Telemetry.AccessLog = t.AccessLog != nil && *t.AccessLog
		if t.Tracing != nil {
			out.Telemetry.TracingPercent = uint32(t.Tracing.SamplingPercent)
		}
	}
	if e := first(list, func(s *v1alpha1.MeshPolicySpec) *v1alpha1.EgressPolicy { return s.Egress }); e != nil {
		out.Egress = makeEgress(namespace, e)
	}
	return out
}

// ranked are the policies that may hold for these Services of a namespace, those that
// win first.
func (p Policies) ranked(namespace string, services []string) []*v1alpha1.MeshPolicy {
	var named, whole []*v1alpha1.MeshPolicy
	for _, policy := range p.byNamespace[namespace] {
		switch {
		case len(policy.Spec.TargetRefs) == 0:
			whole = append(whole, policy)
		case namesAny(policy, services):
			named = append(named, policy)
		}
	}
	return append(named, whole...)
}

func namesAny(policy *v1alpha1.MeshPolicy, services []string) bool {
	return slices.ContainsFunc(policy.Spec.TargetRefs, func(ref v1alpha1.PolicyTargetRef) bool {
		return slices.Contains(services, ref.Name)
	})
}

// first is the field of the first policy that sets it.
func first[T any](list []*v1alpha1.MeshPolicy, get func(*v1alpha1.MeshPolicySpec) *T) *T {
	for _, policy := range list {
		if value := get(&policy.Spec); value != nil {
			return value
		}
	}
	return nil
}

// shapeOf names the policies for Services that decide something about pods. Those
// that do not are left out: a timeout must not move a proxy to another set.
func shapeOf(list []*v1alpha1.MeshPolicy) string {
	var names []string
	for _, policy := range list {
		if len(policy.Spec.TargetRefs) > 0 && slices.ContainsFunc(podFields, func(f field) bool { return f.set(&policy.Spec) }) {
			names = append(names, policy.Name)
		}
	}
	slices.Sort(names)
	return join(names, "+")
}
