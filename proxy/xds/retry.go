package xds

import (
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// unsentHeader is in the answer of a pod's sidecar that could not connect to the
// application: that has not seen the request, as if the connection to the pod had been
// refused.
const unsentHeader = "x-crossfade-unsent"

// retryUnsent are the triggers that a pod cannot have seen the request of.
const retryUnsent = "connect-failure,refused-stream,reset-before-request,retriable-headers"

// makeRetryPolicy repeats what a pod cannot have seen, and nothing else: requests
// that are not idempotent are safe. Each retry goes to another pod.
//
// With refresh it picks the cluster anew, too, so that a canary whose last pod has
// just died costs the user nothing; such failures are counted by
// upstream_cx_connect_fail. Envoy then leaves out the clusters it has tried. Where
// only weight 0 is left it stays with the one it had, but logs a warning about each
// retry, and now and then a bug of its own.
func makeRetryPolicy(refresh bool) (*routev3.RetryPolicy, error) {
	predicate, err := anypb.New(&previoushostsv3.PreviousHostsPredicate{})
	if err != nil {
		return nil, err
	}
	return &routev3.RetryPolicy{
		RetryOn:               retryUnsent,
		NumRetries:            wrapperspb.UInt32(2),
		RefreshClusterOnRetry: refresh,
		RetriableHeaders: []*routev3.HeaderMatcher{{
			Name:                 unsentHeader,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
		}},
		RetryBackOff: &routev3.RetryPolicy_RetryBackOff{
			BaseInterval: durationpb.New(time.Millisecond),
			MaxInterval:  durationpb.New(10 * time.Millisecond),
		},
		RetryHostPredicate: []*routev3.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: predicate},
		}},
		// With 5 tries, 28 requests failed where 20 let 2 fail: least-request picks two
		// pods at random, and one of them may be the same again.
		HostSelectionRetryMaxAttempts: 20,
	}, nil
}

// divides says whether a route has more than one cluster to send requests to.
func divides(route *routev3.Route) bool {
	weighted := 0
	for _, c := range route.GetRoute().GetWeightedClusters().GetClusters() {
		if c.GetWeight().GetValue() > 0 {
			weighted++
		}
	}
	return weighted > 1
}
