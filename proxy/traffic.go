package proxy

import (
	"net/http"
	"slices"
	"strings"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// trafficOf is what a record says of requests beside the weight, or nil. Who wrote the
// record has refused what cannot be compared. Should such a thing be in it all the
// same, it matches nobody, which is the way to stable, and reaches no proxy.
func trafficOf(record *v1alpha1.Record) *ir.Traffic {
	t := record.Traffic
	if t == nil {
		return nil
	}
	out := &ir.Traffic{
		Stable: record.Stable, Canary: record.Canary,
		Match: matchesIn(t.Match), Restricted: len(t.Audience) > 0, Audience: matchesIn(t.Audience),
	}
	if s := t.Sticky; s != nil {
		out.Sticky = stickyOf(*s)
	}
	if m := t.Mirror; m != nil && m.Percent > 0 {
		out.Mirror = mirrorOf(*m)
	}
	return out
}

// trafficOn is what holds on a port, given which revisions have an endpoint there.
// Matches and copies lead to no canary that has none (I2): without it these requests
// follow the weights, which then are all stable's. So it is the other way round.
func (s split) trafficOn(stableServes, canaryServes bool) *ir.Traffic {
	if s.traffic == nil {
		return nil
	}
	t := *s.traffic
	if !stableServes || !canaryServes {
		t.Match, t.Restricted, t.Audience, t.Mirror = nil, false, nil, ir.Mirror{}
	}
	if len(t.Match) == 0 && !t.Restricted && t.Sticky == (ir.Sticky{}) && t.Mirror.IsZero() {
		return nil
	}
	return &t
}

func matchesIn(matches []v1alpha1.RequestMatch) []ir.RequestMatch {
	var out []ir.RequestMatch
	for _, m := range matches {
		if len(requestMistakes("match", m)) > 0 {
			continue
		}
		match := ir.RequestMatch{Headers: valuesIn(m.Headers), Cookies: valuesIn(m.Cookies), QueryParams: valuesIn(m.QueryParams)}
		for i := range match.Headers {
			match.Headers[i].Name = strings.ToLower(match.Headers[i].Name)
		}
		if !slices.ContainsFunc(out, match.Equal) {
			out = append(out, match)
		}
	}
	return out
}

func valuesIn(matches []v1alpha1.ValueMatch) []ir.ValueMatch {
	var out []ir.ValueMatch
	for _, m := range matches {
		value := ir.ValueMatch{Name: m.Name, Comparison: ir.Comparison(m.Type)}
		if m.Type == "" {
			value.Comparison = ir.Exact
		}
		if m.Value != nil {
			value.Value = *m.Value
		}
		out = append(out, value)
	}
	return out
}

func stickyOf(s v1alpha1.Sticky) ir.Sticky {
	switch {
	case s.Cookie != nil && isCookieName(s.Cookie.Name):
		return ir.Sticky{Cookie: s.Cookie.Name, TTL: s.Cookie.TTL.Duration}
	case s.Header != nil && isToken(s.Header.Name) && !isReserved(s.Header.Name):
		return ir.Sticky{Header: strings.ToLower(s.Header.Name)}
	default:
		return ir.Sticky{}
	}
}

// isCookieName says whether a cookie may be named so. The name becomes a part of a
// header of answers, so it is bounded more tightly than what requests may carry.
func isCookieName(name string) bool {
	return isToken(name) && !strings.ContainsAny(name, "%")
}

// harmlessMethods are those that change nothing. Only they are copied unless a Rollout
// asks for others.
var harmlessMethods = []string{http.MethodGet, http.MethodHead, http.MethodOptions}

// mirrorOf leaves out CONNECT, of which there are no copies.
func mirrorOf(m v1alpha1.Mirror) ir.Mirror {
	methods := m.Methods
	if len(methods) == 0 {
		methods = harmlessMethods
	}
	methods = slices.DeleteFunc(slices.Clone(methods), func(method string) bool {
		return !isToken(method) || method == http.MethodConnect
	})
	if len(methods) == 0 {
		return ir.Mirror{}
	}
	slices.Sort(methods)
	return ir.Mirror{Percent: uint32(min(m.Percent, 100)), Methods: slices.Compact(methods)}
}
