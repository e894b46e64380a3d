package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DeadlineAction says what happens when no verdict comes.
// +kubebuilder:validation:Enum=Pause;Rollback
type DeadlineAction string

// What happens when no verdict comes within progressDeadlineSeconds.
const (
	DeadlinePause    DeadlineAction = "Pause"
	DeadlineRollback DeadlineAction = "Rollback"
)

// Analysis is what is measured while a canary gets requests.
type Analysis struct {
	// interval is the time between two measurements of a check, and the default
	// window of its query.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be a duration such as 30s or 1m, from 1s to 24h"
	Interval metav1.Duration `json:"interval,omitempty"`
	// onDeadline says what happens when no verdict comes within
	// progressDeadlineSeconds.
	// +optional
	// +kubebuilder:default=Pause
	OnDeadline DeadlineAction `json:"onDeadline,omitempty"`
	// checks must all pass before a weight rises.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	Checks []Check `json:"checks"`
}

// NoDataAction says what an answer without a number counts as.
// +kubebuilder:validation:Enum=Wait;Fail;Pass
type NoDataAction string

// What an empty answer or a NaN counts as.
const (
	NoDataWait NoDataAction = "Wait"
	NoDataFail NoDataAction = "Fail"
	NoDataPass NoDataAction = "Pass"
)

// Check is one measured number and the range it must stay in. Exactly one source
// says what is measured.
//
// +kubebuilder:validation:XValidation:rule="[has(self.successRate), has(self.latency), has(self.requestRate), has(self.prometheus), has(self.templateRef), has(self.job)].filter(x, x).size() == 1",message="exactly one source must be set: successRate, latency, requestRate, prometheus with a query, templateRef, or job"
// +kubebuilder:validation:XValidation:rule="!(has(self.min) || has(self.max)) || has(self.prometheus)",message="min and max are for the number of a prometheus query: set successRate.min, latency.max or requestRate.min instead, or an argument of the template"
// +kubebuilder:validation:XValidation:rule="!has(self.prometheus) || has(self.min) || has(self.max)",message="without min and max nothing is judged: set min, max or both"
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || !self.min.matches('^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]{1,2})?$') || !self.max.matches('^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]{1,2})?$') || double(self.min) <= double(self.max)",message="min must not be above max: no number could pass"
// +kubebuilder:validation:XValidation:rule="!has(self.comparedToStable) || has(self.successRate) || has(self.latency)",message="comparedToStable compares a successRate or a latency: set one of the two, or compare within your query by .Stable"
// +kubebuilder:validation:XValidation:rule="!has(self.successRate) || has(self.successRate.min) || has(self.comparedToStable)",message="nothing is judged: set successRate.min, comparedToStable or both"
// +kubebuilder:validation:XValidation:rule="!has(self.latency) || has(self.latency.max) || has(self.comparedToStable)",message="nothing is judged: set latency.max, comparedToStable or both"
// +kubebuilder:validation:XValidation:rule="!has(self.args) || has(self.templateRef)",message="args are a template's: set templateRef, or leave them out"
// +kubebuilder:validation:XValidation:rule="!has(self.job) || !has(self.minRequests) && !has(self.onNoData)",message="a job passes or fails by itself: leave minRequests and onNoData out"
type Check struct {
	// name is unique within the Rollout.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="must be lower-case letters, digits and '-'"
	Name string `json:"name"`
	// successRate is the share of the canary's requests that succeed, in percent, by
	// the mesh's own statistics.
	// +optional
	SuccessRate *SuccessRate `json:"successRate,omitempty"`
	// latency is how long the canary's answers take, by the mesh's own statistics.
	// +optional
	Latency *Latency `json:"latency,omitempty"`
	// requestRate is how many requests the canary answers in a second, by the mesh's
	// own statistics.
	// +optional
	RequestRate *RequestRate `json:"requestRate,omitempty"`
	// prometheus asks the administrator's Prometheus.
	// +optional
	Prometheus *PrometheusSource `json:"prometheus,omitempty"`
	// templateRef takes the check from a template, which is read anew at each look:
	// an edited template counts from the next measurement.
	// +optional
	TemplateRef *TemplateRef `json:"templateRef,omitempty"`
	// job measures by running a Job to its end: complete passes, failed is a failed
	// measurement. A new one is made for each measurement.
	// +optional
	Job *JobSource `json:"job,omitempty"`
	// args are the template's arguments.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	Args []CheckArg `json:"args,omitempty"`
	// comparedToStable judges the canary by what is measured of stable at the same
	// time, too.
	// +optional
	ComparedToStable *Comparison `json:"comparedToStable,omitempty"`
	// min is the lowest number that passes, as a decimal in quotes; for a prometheus
	// query.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]{1,2})?$')",message="must be a decimal number in quotes, such as \"0.01\", with an exponent of two digits at most"
	Min *string `json:"min,omitempty"`
	// max is the highest number that passes, as a decimal in quotes; for a prometheus
	// query.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]{1,2})?$')",message="must be a decimal number in quotes, such as \"0.01\", with an exponent of two digits at most"
	Max *string `json:"max,omitempty"`
	// minRequests is how many requests of the canary the window must hold, by the
	// mesh's own statistics: with fewer there is no verdict.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	MinRequests int32 `json:"minRequests,omitempty"`
	// interval overrides the analysis' one.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be a duration such as 30s or 1m, from 1s to 24h"
	Interval *metav1.Duration `json:"interval,omitempty"`
	// window is how long a measurement looks back, which is {{.Interval}} in a query;
	// without it, interval. It must hold two scrapes of the proxies at least, or there
	// is no data.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be a duration such as 1m or 5m, from 1s to 24h"
	Window *metav1.Duration `json:"window,omitempty"`
	// failureLimit is how many failed measurements within a step are forgiven. Without
	// it none is, or, where consecutiveFailures is set, all but those.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	FailureLimit *int32 `json:"failureLimit,omitempty"`
	// consecutiveFailures is how many failed measurements in a row, within a step,
	// fail the check. One that passes begins the count anew, one without a verdict
	// does not.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	ConsecutiveFailures *int32 `json:"consecutiveFailures,omitempty"`
	// initialDelay is the time from a step's acked weight to its first
	// measurement; without it, one interval.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) > duration('0s') && duration(self) <= duration('24h')",message="must be a duration such as 30s or 1m, longer than 0s and at most 24h; leave it out to wait one interval"
	InitialDelay *metav1.Duration `json:"initialDelay,omitempty"`
	// onNoData says what no data and NaN count as; Wait where it is not set. An
	// unreachable Prometheus is never a verdict, whatever is said here, and neither
	// are fewer requests than minRequests.
	// +optional
	OnNoData NoDataAction `json:"onNoData,omitempty"`
	// dryRun measures and shows, but decides nothing.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}

// SuccessRate is the share of a revision's requests that succeed, in percent. A
// request fails with a 5xx, or with a gRPC status that is the server's fault
// (UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS), and
// so does each attempt that a retry made good.
type SuccessRate struct {
	// min is the lowest share that passes, in percent, as a decimal in quotes.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{1,3}([.][0-9]{1,6})?$') && double(self) > 1.0 && double(self) <= 100.0",message="must be a percentage in quotes, above \"1\" and at most \"100\": \"99.5\", not \"0.995\""
	Min *string `json:"min,omitempty"`
}

// Latency is how long a revision's answers take, from the request to the last byte
// of the answer.
type Latency struct {
	// quantile is the share of the requests that are answered within max, as a
	// decimal in quotes: "0.99" is the 99th percentile.
	// +optional
	// +kubebuilder:default="0.99"
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^0[.][0-9]{1,6}$') && double(self) > 0.0",message="must be a decimal in quotes between \"0\" and \"1\", such as \"0.99\" for the 99th percentile"
	Quantile string `json:"quantile,omitempty"`
	// max is the longest time that passes.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1ms') && duration(self) < duration('30s')",message="must be a duration such as 500ms, from 1ms to less than 30s, where the proxies' histograms end"
	Max *metav1.Duration `json:"max,omitempty"`
}

// RequestRate is how many requests a revision answers in a second.
type RequestRate struct {
	// min is the lowest rate that passes, in requests per second, as a decimal in
	// quotes.
	// +required
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{1,9}([.][0-9]{1,6})?$') && double(self) > 0.0",message="must be a number of requests per second in quotes, above \"0\", such as \"0.5\""
	Min string `json:"min"`
}

// Comparison judges the canary by stable.
type Comparison struct {
	// maxRatio is how many times stable's number the canary's may be, as a decimal in
	// quotes: of a latency the time, of a successRate the share of requests that
	// fail. Stable without requests is no verdict; where the canary gets all requests
	// there is nothing to compare with, and only min or max is judged.
	// +required
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{1,4}([.][0-9]{1,6})?$') && double(self) > 0.0",message="must be a decimal number in quotes, above \"0\", such as \"1.5\""
	MaxRatio string `json:"maxRatio"`
}

// PrometheusSource is a query that must answer with one number.
type PrometheusSource struct {
	// query is PromQL, and a Go template with the fields .Namespace .Rollout
	// .Service .Stable .Canary and .Interval.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Query string `json:"query"`
}
