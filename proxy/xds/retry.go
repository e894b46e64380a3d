package xds

import (
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// makeRetryPolicy repeats what a pod cannot have seen, and nothing else: requests
// that are not idempotent are safe. Each retry goes to another pod, and picks the
// cluster anew, so that a canary whose last pod has just died costs the user
// nothing; such failures are counted by upstream_cx_connect_fail.
func makeRetryPolicy() (*routev3.RetryPolicy, error) {
	predicate, err := anypb.New(&previoushostsv3.PreviousHostsPredicate{})
	if err != nil {
		return nil, err
	}
	return &routev3.RetryPolicy{
		RetryOn:               "connect-failure,refused-stream,reset-before-request",
		NumRetries:            wrapperspb.UInt32(2),
		RefreshClusterOnRetry: true,
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
