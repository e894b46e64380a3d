package metrics

import (
	"fmt"
	"strings"
)

// The queries that need nobody to write them, over what every proxy counts of the
// requests that it sends: at the gateway those from outside, in the sidecars those of
// pods. Each request is counted by the first proxy that it meets and by no other. All
// are templates as users write them, so that anybody can take one over and change it;
// the revision that is measured is .Canary.
const (
	// ours selects the series of a revision.
	ours = `namespace="{{.Namespace}}",service="{{.Service}}",revision="{{.Canary}}"`

	// answers are by port. Where all of a port's attempts went on to another revision,
	// retries are all there is of them.
	answers = `sum by (port) (rate(envoy_cluster_upstream_rq_xx{` + ours + `}[{{.Interval}}]))`
	retries = `sum by (port) (rate(envoy_cluster_upstream_rq_retry{` + ours + `}[{{.Interval}}]))`

	// faults are the gRPC statuses that are the server's fault, as OpenTelemetry counts
	// them: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
	faults = `2|4|12|13|14|15`
)

// successRate counts before retries: each retry follows an attempt that failed, so
// that a canary whose errors are made good elsewhere does not look well. Of a port the
// larger of its 5xx and its failing gRPC statuses count: pods tell gRPC errors in an
// answer 200, and what Envoy answers to gRPC itself is in both.
const successRate = `100 * (1 -
  sum(
    max by (port) (
      label_replace(sum by (port) (rate(envoy_cluster_upstream_rq_xx{` + ours + `,envoy_response_code_class="5"}[{{.Interval}}])), "of", "http", "", "")
      or label_replace(sum by (port) (rate(envoy_cluster_grpc{` + ours + `,grpc_status=~"` + faults + `"}[{{.Interval}}])), "of", "grpc", "", "")
      or label_replace(0 * (` + answers + ` or ` + retries + `), "of", "none", "", "")
    )
    + (` + retries + ` or 0 * ` + answers + `)
  )
  / sum(
    (` + answers + ` or 0 * ` + retries + `)
    + (` + retries + ` or 0 * ` + answers + `)
  )
)`

// latency is of the last attempt, in milliseconds.
const latency = `histogram_quantile(%s, sum by (le) (rate(envoy_cluster_upstream_rq_time_bucket{` + ours + `}[{{.Interval}}])))`

const requestRate = `sum(rate(envoy_cluster_upstream_rq_xx{` + ours + `}[{{.Interval}}]))`

const requestCount = `sum(increase(envoy_cluster_upstream_rq_xx{` + ours + `}[{{.Interval}}]))`

// SuccessRateQuery is the share of a revision's requests that succeed, in percent.
func SuccessRateQuery() string { return successRate }

// LatencyQuery is the time, in milliseconds, within which a share of a revision's
// requests is answered. The quantile is a decimal between 0 and 1; whatever else it is
// stays out of the query.
func LatencyQuery(quantile string) (string, error) {
	if quantile == "" || strings.Trim(quantile, "0123456789.") != "" {
		return "", fmt.Errorf("write the query: quantile %q is no decimal between 0 and 1", quantile)
	}
	return fmt.Sprintf(latency, quantile), nil
}

// RequestRateQuery is how many requests a revision answers in a second.
func RequestRateQuery() string { return requestRate }

// RequestCountQuery is how many requests a revision has answered within the interval.
func RequestCountQuery() string { return requestCount }
