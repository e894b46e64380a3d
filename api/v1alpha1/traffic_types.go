package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Traffic says, beside the weight, which requests the canary gets. It is part of
// the record: what a proxy does follows from it and from the weight alone.
type Traffic struct {
	// match are the requests that all go to the canary, whatever the weight is. The
	// entries are alternatives.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Match []RequestMatch `json:"match,omitempty"`
	// audience are the requests among which the weight divides; the others go to
	// stable. Without it the weight divides all that match does not take.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Audience []RequestMatch `json:"audience,omitempty"`
	// sticky keeps a user on the revision that he was given.
	// +optional
	Sticky *Sticky `json:"sticky,omitempty"`
	// mirror sends copies of stable's requests to the canary.
	// +optional
	Mirror *Mirror `json:"mirror,omitempty"`
}

// RequestMatch is a condition on a request; all that is set must hold.
//
// +kubebuilder:validation:XValidation:rule="has(self.headers) || has(self.cookies) || has(self.queryParams)",message="an empty match would take every request: set headers, cookies or queryParams"
type RequestMatch struct {
	// headers, and with gRPC the metadata.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Headers []ValueMatch `json:"headers,omitempty"`
	// cookies of the request.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Cookies []ValueMatch `json:"cookies,omitempty"`
	// queryParams of the request's path.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	QueryParams []ValueMatch `json:"queryParams,omitempty"`
}

// MatchType is how a value is compared.
// +kubebuilder:validation:Enum=Exact;Prefix;Regex;Present
type MatchType string

// How a value is compared.
const (
	MatchExact  MatchType = "Exact"
	MatchPrefix MatchType = "Prefix"
	// MatchRegex is an RE2 expression that the whole value must match.
	MatchRegex MatchType = "Regex"
	// MatchPresent is any value.
	MatchPresent MatchType = "Present"
)

// ValueMatch is a condition on one named value of a request.
//
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'Present') != has(self.value)",message="a value is needed with the types Exact, Prefix and Regex, and none with Present: add or remove value"
type ValueMatch struct {
	// name of the header, cookie or query parameter. Headers are compared without
	// regard to case, cookies and query parameters with.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern="^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
	Name string `json:"name"`
	// +optional
	// +kubebuilder:default=Exact
	Type MatchType `json:"type,omitempty"`
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Value *string `json:"value,omitempty"`
}

// Sticky says by what a user is known again. Exactly one member is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.cookie) != has(self.header)",message="exactly one of cookie and header must be set"
type Sticky struct {
	// cookie is one that the proxy sets by itself.
	// +optional
	Cookie *StickyCookie `json:"cookie,omitempty"`
	// header is one that every request of a user carries, with an equal value.
	// +optional
	Header *StickyHeader `json:"header,omitempty"`
}

// StickyCookie is set by the proxy in its first answer to a user.
type StickyCookie struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern="^[A-Za-z0-9_-]+$"
	Name string `json:"name"`
	// ttl is how long browsers keep it.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('8760h')",message="must be a duration such as 1h, from 1s to 8760h"
	TTL metav1.Duration `json:"ttl,omitempty"`
}

// StickyHeader names a header whose value stands for the user.
type StickyHeader struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern="^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
	Name string `json:"name"`
}

// Mirror sends copies of requests to the canary; its answers are thrown away.
type Mirror struct {
	// percent of the requests that stable gets.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent int32 `json:"percent"`
	// methods that are copied. Without it those that change nothing: GET, HEAD and
	// OPTIONS. A copy of a write is a second write: of an order, a payment, a mail.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=9
	// +kubebuilder:validation:items:Enum=GET;HEAD;OPTIONS;POST;PUT;PATCH;DELETE;TRACE;CONNECT
	Methods []string `json:"methods,omitempty"`
}
