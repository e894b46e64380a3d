package policy

import (
	"slices"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// The API server has checked what comes here, and filled the defaults in, unless the
// object is older than the check. Numbers are bounded once more: proxies refuse a whole
// resource for one that is out of range, and 0 would stand for something else.

func makeTimeouts(t *v1alpha1.TimeoutPolicy) *ir.Timeouts {
	out := &ir.Timeouts{}
	if t.Request != nil {
		out.Request = max(t.Request.Duration, 0)
	}
	if t.Idle != nil {
		out.Idle = max(t.Idle.Duration, 0)
	}
	return out
}

func makeRetries(r *v1alpha1.RetryPolicy) *ir.Retries {
	on := slices.Concat(r.On, r.OnUnquoted)
	if len(on) == 0 {
		on = []string{v1alpha1.RetryConnectFailure, v1alpha1.RetryRefusedStream, v1alpha1.RetryResetBeforeRequest}
	}
	out := &ir.Retries{Attempts: 2, On: slices.Compact(ordered(on))}
	if r.Attempts != nil {
		out.Attempts = uint32(min(max(*r.Attempts, 0), 10))
	}
	if r.PerTryTimeout != nil {
		out.PerTry = max(r.PerTryTimeout.Duration, 0)
	}
	if r.BudgetPercent != nil {
		out.BudgetPercent = uint32(min(max(*r.BudgetPercent, 1), 100))
	}
	return out
}

func makeCircuitBreaker(b *v1alpha1.CircuitBreakerPolicy) *ir.CircuitBreaker {
	limit := func(n *int32) uint32 {
		if n == nil {
			return 0
		}
		return uint32(max(*n, 1))
	}
	return &ir.CircuitBreaker{
		MaxConnections: limit(b.MaxConnections), MaxPendingRequests: limit(b.MaxPendingRequests), MaxRequests: limit(b.MaxRequests),
	}
}

func makeOutlier(o *v1alpha1.OutlierDetectionPolicy) *ir.Outlier {
	return &ir.Outlier{
		Consecutive5xx:     uint32(max(o.Consecutive5xx, 1)),
		Interval:           o.Interval.Duration,
		BaseEjection:       o.BaseEjection.Duration,
		MaxEjectionPercent: uint32(min(max(o.MaxEjectionPercent, 1), 100)),
	}
}

// makeAccess copies the rules. Anything but the word Allow denies.
func makeAccess(a *v1alpha1.AccessPolicy) *ir.Access {
	out := &ir.Access{Default: ir.Deny}
	if a.Default == v1alpha1.AccessAllow {
		out.Default = ir.Allow
		return out
	}
	for _, rule := range a.Allow {
		made := ir.AccessRule{Methods: ordered(rule.Methods), Paths: ordered(rule.Paths)}
		for _, from := range rule.From {
			made.From = append(made.From, ir.AccessSource{Namespace: from.Namespace, ServiceAccounts: ordered(from.ServiceAccounts)})
		}
		for _, port := range ordered(rule.Ports) {
			made.Ports = append(made.Ports, uint32(port))
		}
		out.Allow = append(out.Allow, made)
	}
	return out
}

// makeEgress always knows the pod's own namespace: what belongs together is together.
func makeEgress(own string, e *v1alpha1.EgressPolicy) ir.Egress {
	out := ir.Egress{Block: e.Mode == v1alpha1.EgressBlock}
	if len(e.Namespaces) > 0 {
		out.Namespaces = slices.Compact(slices.Sorted(slices.Values(append([]string{own}, e.Namespaces...))))
	}
	return out
}

func ordered[T string | int32](list []T) []T { return slices.Sorted(slices.Values(list)) }
