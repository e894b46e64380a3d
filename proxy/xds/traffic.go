package xds

import (
	"fmt"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// dialect is who reads routes.
type dialect bool

const (
	envoy dialect = false
	// grpcClient is a gRPC client that routes by itself. It compares headers only: what it
	// does not know it leaves out of a route, which then fits more requests than it
	// should, and it neither copies requests nor chooses clusters by hash.
	grpcClient dialect = true
)

// division is what is needed to make the routes of a group of backends.
type division struct {
	dialect dialect
	// name and match are those of the rule that leads to the backends.
	name  string
	match *routev3.RouteMatch
	group group
}

// routes divides the requests between the revisions: first those that a match gives to
// the canary, then those that the weights divide, then the rest. The first route that
// fits decides. All list all revisions, so that a cluster comes before any route needs
// it and goes after the last one did.
func (d division) routes() []*routev3.Route {
	t := d.group.traffic
	if t == nil {
		return []*routev3.Route{d.route("", d.match, shares(d.group.parts))}
	}
	var routes []*routev3.Route
	for i, m := range t.Match {
		if match := d.narrow(m); match != nil {
			routes = append(routes, d.route(fmt.Sprintf("match-%d", i), match, d.all(t.Canary)))
		}
	}
	if !t.Restricted {
		return append(routes, d.weighed("", d.match)...)
	}
	for i, m := range t.Audience {
		if match := d.narrow(m); match != nil {
			routes = append(routes, d.weighed(fmt.Sprintf("audience-%d", i), match)...)
		}
	}
	rest := d.route("", d.match, d.all(t.Stable))
	return append(routes, d.mirror(rest, t.Mirror.Percent, 100)...)
}

// weighed are the routes of requests that the weights divide.
func (d division) weighed(suffix string, match *routev3.RouteMatch) []*routev3.Route {
	t, list := d.group.traffic, shares(d.group.parts)
	if d.dialect == grpcClient || t.Sticky == (ir.Sticky{}) {
		if t.Mirror.IsZero() {
			return []*routev3.Route{d.route(suffix, match, list)}
		}
		list, stable := d.stableFirst(list)
		return d.mirror(d.route(suffix, match, list), t.Mirror.Percent*stable/100, fineSum)
	}
	percent := t.Mirror.Percent
	if d.weightOf(list, t.Stable) == 0 {
		percent = 0
	}
	var routes []*routev3.Route
	for _, r := range makeSticky(d.route(suffix, match, list), t.Sticky) {
		routes = append(routes, d.mirror(r, percent, 100)...)
	}
	return routes
}

// route makes one route.
func (d division) route(suffix string, match *routev3.RouteMatch, list []share) *routev3.Route {
	return &routev3.Route{Name: join(d.name, suffix), Match: match, Action: makeForward(list)}
}

func join(name, suffix string) string {
	if name == "" || suffix == "" {
		return name + suffix
	}
	return name + "/" + suffix
}

// all gives all requests that are divided to one revision. The sum stays what it is.
func (d division) all(revision string) []share {
	parts := slices.Clone(d.group.parts)
	for i, p := range parts {
		if p.port.Traffic != d.group.traffic || p.weight == 0 {
			continue
		}
		parts[i].port.Revisions = allTo(p.port.Revisions, revision, p.total)
	}
	return shares(parts)
}

// allTo gives one revision the whole weight.
func allTo(revisions []ir.Revision, name string, total uint32) []ir.Revision {
	revisions = slices.Clone(revisions)
	for i := range revisions {
		revisions[i].Weight = 0
		if revisions[i].Name == name {
			revisions[i].Weight = total
		}
	}
	return revisions
}

// weightOf is a revision's weight.
func (d division) weightOf(list []share, revision string) uint32 {
	for _, s := range list {
		if s.cluster == d.cluster(revision, ClusterName) {
			return s.weight
		}
	}
	return 0
}

// cluster names a cluster of a revision of the Service whose requests are divided.
func (d division) cluster(revision string, name func(ir.ServiceKey, uint32, string) string) string {
	for _, p := range d.group.parts {
		if p.weight > 0 {
			return name(p.service, p.port.Number, revision)
		}
	}
	return ""
}

// narrow is the rule's condition with a further one, or nil where the reader could
// not tell such requests from others.
func (d division) narrow(m ir.RequestMatch) *routev3.RouteMatch {
	if d.dialect == grpcClient && len(m.Cookies)+len(m.QueryParams) > 0 {
		return nil
	}
	match, _ := proto.Clone(d.match).(*routev3.RouteMatch)
	for _, h := range m.Headers {
		match.Headers = append(match.Headers, makeValueHeader(h))
	}
	for _, c := range m.Cookies {
		match.Cookies = append(match.Cookies, &routev3.CookieMatcher{Name: c.Name, StringMatch: makeStringMatch(c)})
	}
	for _, q := range m.QueryParams {
		match.QueryParameters = append(match.QueryParameters, makeQueryMatch(q))
	}
	return match
}

func makeValueHeader(v ir.ValueMatch) *routev3.HeaderMatcher {
	if v.Comparison == ir.Present {
		return &routev3.HeaderMatcher{Name: v.Name, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}}
	}
	return &routev3.HeaderMatcher{
		Name: v.Name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: makeStringMatch(v)},
	}
}

func makeQueryMatch(v ir.ValueMatch) *routev3.QueryParameterMatcher {
	if v.Comparison == ir.Present {
		return &routev3.QueryParameterMatcher{
			Name: v.Name, QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: true},
		}
	}
	return &routev3.QueryParameterMatcher{
		Name: v.Name, QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_StringMatch{StringMatch: makeStringMatch(v)},
	}
}

// makeStringMatch compares a value. Only what its owner calls an expression becomes
// one.
func makeStringMatch(v ir.ValueMatch) *matcherv3.StringMatcher {
	switch v.Comparison {
	case ir.Prefix:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: v.Value}}
	case ir.Regex:
		return makeRegexMatch(v.Value)
	case ir.Present:
		return makeRegexMatch(".*") // Cookies have no other way to say it.
	case ir.Exact:
	}
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: v.Value}}
}

func makeRegexMatch(expression string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
		SafeRegex: &matcherv3.RegexMatcher{Regex: expression},
	}}
}

// withoutBadTraffic leaves out what proxies would reject in the conditions of a
// Service. A bad one would cost a gateway a whole host, of other Services, too. Then
// nobody is told apart; whom the weights were not meant for stays with stable.
func withoutBadTraffic(s ir.Service) (ir.Service, []Problem, error) {
	var problems []Problem
	for i, p := range s.Ports {
		if p.Traffic == nil {
			continue
		}
		host, err := makeServiceHost(s, p, envoy)
		if err != nil {
			return s, nil, err
		}
		found := hostChecker{table: host.GetName(), domains: map[string]string{}}.check(host)
		if len(found) == 0 {
			continue
		}
		if len(problems) == 0 {
			s.Ports = slices.Clone(s.Ports)
		}
		problems = append(problems, found...)
		if p.Traffic.Restricted {
			s.Ports[i].Revisions = allTo(p.Revisions, p.Traffic.Stable, s.Total)
		}
		s.Ports[i].Traffic = nil
	}
	return s, problems, nil
}
