package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshPolicy says how proxies treat the requests to some Services, and what the
// pods behind these may do: encryption, timeouts, retries, limits, access, the way
// out, logs.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=meshpolicies,shortName=mp,categories={all,crossfade}
// +kubebuilder:printcolumn:name="ACCEPTED",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="CONFLICTED",type=string,JSONPath=`.status.conditions[?(@.type=="Conflicted")].status`
// +kubebuilder:printcolumn:name="PROGRAMMED",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="MESSAGE",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].message`,priority=1
type MeshPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the user wants.
	// +required
	Spec MeshPolicySpec `json:"spec"`
	// status says what of it is in force.
	// +optional
	Status MeshPolicyStatus `json:"status,omitzero"`
}

// MeshPolicyList is a list of MeshPolicies.
//
// +kubebuilder:object:root=true
type MeshPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshPolicy `json:"items"`
}

// MeshPolicySpec is what the user wants. A field that is not set is decided by a
// less specific policy, or by the mesh's default.
//
// +kubebuilder:validation:XValidation:rule="has(self.mtls) || has(self.timeouts) || has(self.retries) || has(self.circuitBreaker) || has(self.outlierDetection) || has(self.access) || has(self.egress) || has(self.telemetry)",message="a policy must say something: set at least one of mtls, timeouts, retries, circuitBreaker, outlierDetection, access, egress and telemetry"
// +kubebuilder:validation:XValidation:rule="!has(self.retries) || !has(self.retries.perTryTimeout) || !has(self.timeouts) || !has(self.timeouts.request) || !self.retries.perTryTimeout.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || !self.timeouts.request.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.retries.perTryTimeout) <= duration(self.timeouts.request)",message="retries.perTryTimeout must not be longer than timeouts.request, which ends all tries: lower it, or raise timeouts.request"
type MeshPolicySpec struct {
	// targetRefs names the Services that the policy is for, in its own namespace.
	// Without it the policy is for the whole namespace.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	TargetRefs []PolicyTargetRef `json:"targetRefs,omitempty"`
	// mtls says which connections the pods accept.
	// +optional
	MTLS *MTLSPolicy `json:"mtls,omitempty"`
	// timeouts bound requests to the Services.
	// +optional
	Timeouts *TimeoutPolicy `json:"timeouts,omitempty"`
	// retries says which failed requests are tried again, at another pod.
	// +optional
	Retries *RetryPolicy `json:"retries,omitempty"`
	// circuitBreaker limits what each proxy has open towards each revision of a
	// Service; what is over the limit fails at once with a 503.
	// +optional
	CircuitBreaker *CircuitBreakerPolicy `json:"circuitBreaker,omitempty"`
	// outlierDetection takes pods that keep failing out of the choice for a while. It
	// is off for the canary.
	// +optional
	OutlierDetection *OutlierDetectionPolicy `json:"outlierDetection,omitempty"`
	// access says who may call the pods.
	// +optional
	Access *AccessPolicy `json:"access,omitempty"`
	// egress says what the pods may call.
	// +optional
	Egress *EgressPolicy `json:"egress,omitempty"`
	// telemetry says what the pods' proxies tell of their requests.
	// +optional
	Telemetry *TelemetryPolicy `json:"telemetry,omitempty"`
}

// PolicyTargetRef names a Service in the policy's namespace.
type PolicyTargetRef struct {
	// +optional
	// +kubebuilder:default="Service"
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self == 'Service'",message="only Services can be targets: set kind to Service, or leave targetRefs out for the whole namespace"
	Kind string `json:"kind,omitempty"`
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1035Label().validate(self).hasValue()",message="must be the name of a Service: lower-case letters, digits and '-', starting with a letter"
	Name string `json:"name"`
}

// MTLSMode says which connections a pod accepts.
// +kubebuilder:validation:Enum=Permissive;Strict
type MTLSMode string

// What a pod accepts.
const (
	// MTLSPermissive accepts mutual TLS and plaintext on the same port.
	MTLSPermissive MTLSMode = "Permissive"
	// MTLSStrict refuses whoever does not prove an identity of the mesh.
	MTLSStrict MTLSMode = "Strict"
)

// MTLSPolicy says which connections the pods accept.
type MTLSPolicy struct {
	// mode is Permissive where no policy says otherwise.
	// +required
	Mode MTLSMode `json:"mode"`
}

// TimeoutPolicy bounds requests.
//
// +kubebuilder:validation:XValidation:rule="has(self.request) || has(self.idle)",message="without a duration nothing is bounded: set request, idle or both"
type TimeoutPolicy struct {
	// request is the longest time from the end of the request to the end of the
	// answer, all tries together; the caller gets a 504 then. There is none by default.
	// Long-lived streams end with it, too.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1ms') && duration(self) <= duration('24h')",message="must be a duration such as 500ms, 5s or 1m, from 1ms to 24h; leave it out for no limit"
	Request *metav1.Duration `json:"request,omitempty"`
	// idle is how long a request, an upgraded connection, or one that is not HTTP may go
	// without a byte in either direction; 24h by default.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1ms') && duration(self) <= duration('24h')",message="must be a duration such as 30s or 5m, from 1ms to 24h; leave it out for 24h"
	Idle *metav1.Duration `json:"idle,omitempty"`
}

// RetryPolicy says which failed requests are tried again. It replaces the mesh's
// default: two more tries on connect-failure, refused-stream and
// reset-before-request.
//
// +kubebuilder:validation:XValidation:rule="!has(self.on) || !has(self.__true__)",message="on is there twice, with and without quotes: remove one of them"
type RetryPolicy struct {
	// attempts is how often a request is tried again; 0 turns retries off, the mesh's
	// own too.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	Attempts *int32 `json:"attempts,omitempty"`
	// perTryTimeout bounds each try; by default only timeouts.request does. A try that
	// it ends is tried again for idempotent methods only.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1ms') && duration(self) <= duration('24h')",message="must be a duration such as 250ms or 1s, from 1ms to 24h; leave it out for no limit of its own"
	PerTryTimeout *metav1.Duration `json:"perTryTimeout,omitempty"`
	// on is what is tried again. connect-failure, refused-stream and
	// reset-before-request are failures that no pod can have acted on, and hold for all
	// requests. reset, 5xx and status codes in quotes ("503") hold only for methods that
	// are idempotent: GET, HEAD, OPTIONS, TRACE, PUT and DELETE.
	// Without it, the first three.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:XValidation:rule="self in ['connect-failure', 'refused-stream', 'reset-before-request', 'reset', '5xx'] || self.matches('^[45][0-9][0-9]$')",message="must be connect-failure, refused-stream, reset-before-request, reset, 5xx, or a status code from \"400\" to \"599\" in quotes"
	On []string `json:"on,omitempty"`
	// "true" is on: YAML as kubectl reads it takes the key on without quotes for that
	// word. It means the same, so that both ways of writing it work.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:XValidation:rule="self in ['connect-failure', 'refused-stream', 'reset-before-request', 'reset', '5xx'] || self.matches('^[45][0-9][0-9]$')",message="must be connect-failure, refused-stream, reset-before-request, reset, 5xx, or a status code from \"400\" to \"599\" in quotes"
	OnUnquoted []string `json:"true,omitempty"`
	// budgetPercent limits the tries under way at one time, for each proxy and each
	// revision, to this share of its requests; three are always permitted. Without it
	// there is no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	BudgetPercent *int32 `json:"budgetPercent,omitempty"`
}

// What a request is tried again on that no pod can have acted on.
const (
	RetryConnectFailure     = "connect-failure"
	RetryRefusedStream      = "refused-stream"
	RetryResetBeforeRequest = "reset-before-request"
)

// CircuitBreakerPolicy limits what each proxy has open towards each revision of a
// Service.
//
// +kubebuilder:validation:XValidation:rule="has(self.maxConnections) || has(self.maxPendingRequests) || has(self.maxRequests)",message="without a number nothing is limited: set maxConnections, maxPendingRequests or maxRequests"
type CircuitBreakerPolicy struct {
	// maxConnections is the number of connections.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxConnections *int32 `json:"maxConnections,omitempty"`
	// maxPendingRequests is the number of requests that wait for a connection.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxPendingRequests *int32 `json:"maxPendingRequests,omitempty"`
	// maxRequests is the number of requests under way.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxRequests *int32 `json:"maxRequests,omitempty"`
}

// OutlierDetectionPolicy takes pods that keep failing out of the choice for a while.
type OutlierDetectionPolicy struct {
	// consecutive5xx is how many answers 5xx, or failed connections, one after the other
	// make a pod an outlier.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Consecutive5xx int32 `json:"consecutive5xx,omitempty"`
	// interval is the time between two looks at which pods may come back.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('100ms') && duration(self) <= duration('1h')",message="must be a duration such as 10s, from 100ms to 1h"
	Interval metav1.Duration `json:"interval,omitempty"`
	// baseEjection is how long a pod stays out the first time; each further time is
	// longer by as much, up to 5m or baseEjection, whichever is longer.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('100ms') && duration(self) <= duration('24h')",message="must be a duration such as 30s, from 100ms to 24h"
	BaseEjection metav1.Duration `json:"baseEjection,omitempty"`
	// maxEjectionPercent is the largest share of a revision's pods that may be out at
	// one time. Below 100 a revision that has a single pod keeps it.
	// +optional
	// +kubebuilder:default=50
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MaxEjectionPercent int32 `json:"maxEjectionPercent,omitempty"`
}

// AccessDefault says what happens to requests that no rule allows.
// +kubebuilder:validation:Enum=Allow;Deny
type AccessDefault string

// What happens to requests that no rule allows.
const (
	AccessAllow AccessDefault = "Allow"
	AccessDeny  AccessDefault = "Deny"
)

// AccessPolicy says who may call the pods. What is not allowed gets a 403; a TCP
// connection is closed.
//
// +kubebuilder:validation:XValidation:rule="self.default == 'Deny' || !has(self.allow)",message="where everything is allowed, rules allow nothing more: set default to Deny, or remove allow"
type AccessPolicy struct {
	// default is for requests that no rule allows. Allow lifts a less specific policy's
	// Deny.
	// +required
	Default AccessDefault `json:"default"`
	// allow are the rules; one that fits is enough.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Allow []AccessRule `json:"allow,omitempty"`
}

// AccessRule allows the requests for which all that it says is true.
//
// +kubebuilder:validation:XValidation:rule="has(self.from) || has(self.methods) || has(self.paths) || has(self.ports)",message="an empty rule would allow everything: set from, methods, paths or ports, or set default to Allow"
type AccessRule struct {
	// from are the callers. Without it anybody fits, those without an identity of the
	// mesh too.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	From []AccessSource `json:"from,omitempty"`
	// methods are of HTTP. A rule with methods never fits a TCP connection.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=9
	// +kubebuilder:validation:items:Enum=GET;HEAD;POST;PUT;PATCH;DELETE;OPTIONS;TRACE;CONNECT
	Methods []string `json:"methods,omitempty"`
	// paths fit exactly, or with one * at their end everything that begins so:
	// /api/* does not fit /api. The query does not count. A rule with paths never fits a
	// TCP connection.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^/[^*?#]*[*]?$')",message="must begin with / and may have one * at its end, such as /healthz or /api/*; the query cannot be matched"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('//|/[.][.]?(/|$)|[^]!-$&-[^-~]')",message="could never fit, because paths are normalised before they are compared: write it without '//', '/./', '/../', '%', '\\' and characters outside of ASCII"
	Paths []string `json:"paths,omitempty"`
	// ports are those that the pods listen on, not those of the Service.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=65535
	Ports []int32 `json:"ports,omitempty"`
}

// AccessSource is a set of callers, by the identity that they prove.
type AccessSource struct {
	// namespace is the callers' one.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be the name of a namespace: lower-case letters, digits and '-'"
	Namespace string `json:"namespace"`
	// serviceAccounts are those of the callers' pods. Without it all of the namespace
	// fit.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="must be the name of a ServiceAccount: lower-case letters, digits, '-' and '.'"
	ServiceAccounts []string `json:"serviceAccounts,omitempty"`
}

// EgressMode says what happens to connections to what the mesh does not know.
// +kubebuilder:validation:Enum=Allow;Block
type EgressMode string

// What happens to connections to what the mesh does not know.
const (
	EgressAllow EgressMode = "Allow"
	EgressBlock EgressMode = "Block"
)

// EgressPolicy says what the pods may call.
type EgressPolicy struct {
	// mode is for destinations that the pods' proxies do not know: Allow lets them
	// through unchanged, Block closes the connection.
	// +optional
	// +kubebuilder:default=Allow
	Mode EgressMode `json:"mode,omitempty"`
	// namespaces are those whose Services the pods' proxies know, besides the pods' own
	// namespace. Without it they know all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="must be the name of a namespace: lower-case letters, digits and '-'"
	Namespaces []string `json:"namespaces,omitempty"`
}

// TelemetryPolicy says what the pods' proxies tell of their requests.
//
// +kubebuilder:validation:XValidation:rule="has(self.accessLog) || has(self.tracing)",message="without accessLog and tracing nothing is said: set one of them"
type TelemetryPolicy struct {
	// accessLog writes a line of JSON for each request and connection to the standard
	// output of the proxy's container.
	// +optional
	AccessLog *bool `json:"accessLog,omitempty"`
	// tracing sends spans to the administrator's collector.
	// +optional
	Tracing *TracingPolicy `json:"tracing,omitempty"`
}

// TracingPolicy says how many requests are traced.
type TracingPolicy struct {
	// samplingPercent is the share of the requests that nobody has decided about yet.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	SamplingPercent int32 `json:"samplingPercent"`
}

// MeshPolicyStatus says what of a policy is in force.
type MeshPolicyStatus struct {
	// observedGeneration is the generation that the conditions are about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are Accepted, Conflicted and Programmed.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Conditions of a MeshPolicy.
const (
	// ConditionAccepted is True when every target is there.
	ConditionAccepted = "Accepted"
	// ConditionConflicted is True when an older policy for the same target has set a
	// field of this one, and wins.
	ConditionConflicted = "Conflicted"
	// ConditionProgrammed is True when every proxy that the policy concerns has acked it;
	// its lastTransitionTime is when the last one did.
	ConditionProgrammed = "Programmed"
)

// Reasons of the conditions of a MeshPolicy.
const (
	ReasonAccepted       = "Accepted"
	ReasonTargetNotFound = "TargetNotFound"
	ReasonOlderWins      = "OlderWins"
	ReasonNoConflict     = "NoConflict"
	ReasonAcked          = "Acked"
	ReasonPending        = "Pending"
)
