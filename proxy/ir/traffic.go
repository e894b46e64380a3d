package ir

import (
	"slices"
	"time"
)

// Traffic says which requests to a port do not follow its weights alone. It leads to
// no revision without endpoints: where one of the two has none, the weights say it all.
type Traffic struct {
	// Stable and Canary are the revisions that it tells apart.
	Stable string `json:"stable"`
	Canary string `json:"canary"`
	// Match are the requests that all go to Canary, whatever its weight is. The entries
	// are alternatives.
	Match []RequestMatch `json:"match,omitempty"`
	// Restricted says that the weights divide the requests of Audience only, of which
	// there may be none, and that the others go to Stable.
	Restricted bool           `json:"restricted,omitempty"`
	Audience   []RequestMatch `json:"audience,omitempty"`
	// Sticky keeps a user on the revision that the weights gave him.
	Sticky Sticky `json:"sticky,omitzero"`
	// Mirror sends copies of Stable's requests to Canary.
	Mirror Mirror `json:"mirror,omitzero"`
}

// Reaches says whether Canary gets requests, or copies of some, beside its weight.
func (t *Traffic) Reaches() bool { return t != nil && (len(t.Match) > 0 || t.Mirror.Percent > 0) }

// Equal says whether two of them do the same with every request.
func (t *Traffic) Equal(o *Traffic) bool {
	if t == nil || o == nil {
		return t == o
	}
	return t.Stable == o.Stable && t.Canary == o.Canary && t.Restricted == o.Restricted && t.Sticky == o.Sticky &&
		t.Mirror.Equal(o.Mirror) && slices.EqualFunc(t.Match, o.Match, RequestMatch.Equal) &&
		slices.EqualFunc(t.Audience, o.Audience, RequestMatch.Equal)
}

// RequestMatch is a condition on a request; all that is set must hold.
type RequestMatch struct {
	// Headers have names in lower case.
	Headers     []ValueMatch `json:"headers,omitempty"`
	Cookies     []ValueMatch `json:"cookies,omitempty"`
	QueryParams []ValueMatch `json:"queryParams,omitempty"`
}

// Equal says whether two conditions hold for the same requests.
func (m RequestMatch) Equal(o RequestMatch) bool {
	return slices.Equal(m.Headers, o.Headers) && slices.Equal(m.Cookies, o.Cookies) && slices.Equal(m.QueryParams, o.QueryParams)
}

// Comparison is how a value is compared.
type Comparison string

// The comparisons.
const (
	Exact  Comparison = "Exact"
	Prefix Comparison = "Prefix"
	// Regex is an RE2 expression that the whole value must match.
	Regex Comparison = "Regex"
	// Present is any value, an empty one, too.
	Present Comparison = "Present"
)

// ValueMatch is a condition on one named value of a request.
type ValueMatch struct {
	Name       string     `json:"name"`
	Comparison Comparison `json:"comparison"`
	Value      string     `json:"value,omitempty"`
}

// Sticky says by what a user is known again: a cookie that proxies set, or a header.
// The zero value keeps nobody.
type Sticky struct {
	Cookie string        `json:"cookie,omitempty"`
	TTL    time.Duration `json:"ttl,omitempty"`
	Header string        `json:"header,omitempty"`
}

// Mirror says which of stable's requests are copied. The zero value copies none.
type Mirror struct {
	// Percent is 1 to 100.
	Percent uint32 `json:"percent,omitempty"`
	// Methods are those that are copied, sorted.
	Methods []string `json:"methods,omitempty"`
}

// IsZero says whether nothing is copied.
func (m Mirror) IsZero() bool { return m.Percent == 0 }

// Equal says whether two copy the same requests.
func (m Mirror) Equal(o Mirror) bool {
	return m.Percent == o.Percent && slices.Equal(m.Methods, o.Methods)
}
