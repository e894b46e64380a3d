package xds

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// leastRetries is how many retries a budget always permits. A share of few requests
// would be none.
const leastRetries = 3

// longestEjection bounds how long a pod stays out that was taken out again and again.
const longestEjection = 5 * time.Minute

// applyClusterPolicy adds circuit breakers, the budget of retries and outlier detection
// to a cluster of a Service.
func applyClusterPolicy(c *clusterv3.Cluster, p ir.ServicePolicy) {
	for _, t := range c.GetCircuitBreakers().GetThresholds() {
		if b := p.CircuitBreaker; b != nil {
			limit(t.GetMaxConnections(), b.MaxConnections)
			limit(t.GetMaxPendingRequests(), b.MaxPendingRequests)
			limit(t.GetMaxRequests(), b.MaxRequests)
		}
		if r := p.Retries; r != nil && r.BudgetPercent > 0 {
			t.MaxRetries = nil // Envoy reads only one of the two.
			t.RetryBudget = &clusterv3.CircuitBreakers_Thresholds_RetryBudget{
				BudgetPercent:       &typev3.Percent{Value: float64(r.BudgetPercent)},
				MinRetryConcurrency: wrapperspb.UInt32(leastRetries),
			}
		}
	}
	if o := p.Outlier; o != nil {
		c.OutlierDetection = &clusterv3.OutlierDetection{
			Consecutive_5Xx:    wrapperspb.UInt32(o.Consecutive5xx),
			Interval:           durationpb.New(o.Interval),
			BaseEjectionTime:   durationpb.New(o.BaseEjection),
			MaxEjectionTime:    durationpb.New(max(longestEjection, o.BaseEjection)),
			MaxEjectionPercent: wrapperspb.UInt32(o.MaxEjectionPercent),
			// Envoy compares pods with each other, too, unless told otherwise. Nobody asked
			// for that.
			EnforcingSuccessRate: wrapperspb.UInt32(0),
			// The only pod stays: an answer with an error is not worse than none.
			AlwaysEjectOneHost: wrapperspb.Bool(false),
		}
	}
}

func limit(value *wrapperspb.UInt32Value, most uint32) {
	if value != nil && most > 0 {
		value.Value = most
	}
}

// withoutEjection is the policy for pods that must stay in the choice.
func withoutEjection(p ir.ServicePolicy, never bool) ir.ServicePolicy {
	if never {
		p.Outlier = nil
	}
	return p
}

// applyRoutePolicy gives a route the timeouts and retries of a policy, where it sets
// any. usual are the retries of the route without one.
func applyRoutePolicy(route *routev3.Route, usual *routev3.RetryPolicy, p ir.ServicePolicy) []*routev3.Route {
	if route.GetRoute() == nil {
		return []*routev3.Route{route}
	}
	if p.Timeouts != nil {
		applyTimeouts(route.GetRoute(), *p.Timeouts)
	}
	if p.Retries == nil {
		return []*routev3.Route{route}
	}
	return applyRetries(route, usual, *p.Retries)
}

func applyTimeouts(action *routev3.RouteAction, t ir.Timeouts) {
	if t.Request > 0 {
		action.Timeout = durationpb.New(t.Request)
	}
	if t.Idle > 0 {
		action.IdleTimeout = durationpb.New(t.Idle)
	}
}

// harmless are the failures that no pod can have acted on.
var harmless = []string{"connect-failure", "refused-stream", "reset-before-request"}

// idempotent are the methods of which the standard says that two requests do what one
// does.
var idempotent = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete}

// applyRetries makes two routes of one where a request may be tried again that a pod
// may have acted on: one for idempotent methods, and the rest, which is tried again
// only where nothing can have happened.
//
// The former never change the revision: an answer of the canary is the canary's, and a
// retry that goes to stable would hide its errors from its users and from those who
// judge it. So the idempotent requests of such a policy do not leave a canary whose
// last pod has just died, either; Envoy has one switch for both. By default, and for
// all other requests, they do.
func applyRetries(route *routev3.Route, usual *routev3.RetryPolicy, r ir.Retries) []*routev3.Route {
	action := route.GetRoute()
	safe, risky := sortTriggers(r)
	rest := makeRetries(usual, r, safe)
	if len(risky) == 0 || r.Attempts == 0 {
		action.RetryPolicy = rest
		return []*routev3.Route{route}
	}
	first, _ := proto.Clone(route).(*routev3.Route)
	first.Name = strings.TrimPrefix(route.GetName()+"/idempotent", "/")
	first.GetMatch().Headers = append(first.GetMatch().GetHeaders(), matchMethods(idempotent))
	policy := makeRetries(usual, r, append(safe, risky...))
	policy.RefreshClusterOnRetry = false
	first.GetRoute().RetryPolicy = policy
	action.RetryPolicy = rest
	return []*routev3.Route{first, route}
}

// sortTriggers divides what is tried again into what is harmless for every request, and
// what only for idempotent ones. A try that took too long is one that is reset.
func sortTriggers(r ir.Retries) (safe, risky []string) {
	for _, trigger := range r.On {
		if slices.Contains(harmless, trigger) {
			safe = append(safe, trigger)
		} else {
			risky = append(risky, trigger)
		}
	}
	if r.PerTry > 0 && !slices.Contains(risky, "reset") {
		risky = append(risky, "reset")
	}
	return safe, risky
}

// makeRetries makes a policy like the usual one, with other triggers. One without any
// says that nothing is tried again, which the host's would be otherwise, and how long
// the only try may take. A number of 0 beside it is what gRPC clients refuse.
func makeRetries(usual *routev3.RetryPolicy, r ir.Retries, triggers []string) *routev3.RetryPolicy {
	policy := &routev3.RetryPolicy{}
	if r.PerTry > 0 {
		policy.PerTryTimeout = durationpb.New(r.PerTry)
	}
	if r.Attempts == 0 || len(triggers) == 0 {
		return policy
	}
	proto.Merge(policy, usual)
	policy.NumRetries = wrapperspb.UInt32(r.Attempts)
	var on []string
	for _, trigger := range triggers {
		if status, ok := statusCode(trigger); ok {
			policy.RetriableStatusCodes = append(policy.RetriableStatusCodes, status)
		} else {
			on = append(on, trigger)
		}
	}
	if len(policy.GetRetriableStatusCodes()) > 0 {
		on = append(on, "retriable-status-codes")
	}
	if slices.Contains(on, "connect-failure") {
		on = append(on, "retriable-headers") // The server's sidecar tells of such a failure.
	}
	policy.RetryOn = strings.Join(on, ",")
	return policy
}

// statusCode reads three digits.
func statusCode(trigger string) (uint32, bool) {
	if len(trigger) != 3 {
		return 0, false
	}
	var code uint32
	for _, digit := range []byte(trigger) {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		code = code*10 + uint32(digit-'0')
	}
	return code, true
}

// matchMethods fits requests with any of some methods.
func matchMethods(methods []string) *routev3.HeaderMatcher {
	quoted := make([]string, len(methods))
	for i, method := range methods {
		quoted[i] = regexp.QuoteMeta(method)
	}
	return &routev3.HeaderMatcher{
		Name: ":method",
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: strings.Join(quoted, "|")}},
		}},
	}
}
