package xds

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

const (
	requestID = "x-request-id"
	// seedLength is how much of a request's id a user's cookie is made of. What comes
	// after it Envoy changes where it makes spans, between the choice of the cluster and
	// the answer. These are 48 random bits.
	seedLength = 13
)

// makeSticky makes the routes that keep a user where he is. The cluster is chosen by a
// hash of what he is known by, modulo the sum of the weights, in the order in which
// they are listed. The sum and the order stay, so a weight that rises takes users to
// the canary and none away from it; and all proxies choose alike.
//
// With a cookie there are two routes: for those who have it, and for those who get it
// now. The part of the request's id that becomes the cookie also decides where their
// first request goes: Envoy's own cookies leave that to chance.
//
// The number of a user is one of 0 to the sum of the weights minus one, so that
// everybody has his place before the first step.
func makeSticky(route *routev3.Route, s ir.Sticky) []*routev3.Route {
	if s.Header != "" {
		chooseBy(route, hashHeader(s.Header, ""))
		return []*routev3.Route{route}
	}
	known, _ := proto.Clone(route).(*routev3.Route)
	known.Name = join(known.GetName(), "known")
	known.Match.Cookies = append(known.GetMatch().GetCookies(), &routev3.CookieMatcher{Name: s.Cookie, StringMatch: makeRegexMatch(".+")})
	chooseBy(known, &routev3.RouteAction_HashPolicy{
		PolicySpecifier: &routev3.RouteAction_HashPolicy_Cookie_{Cookie: &routev3.RouteAction_HashPolicy_Cookie{Name: s.Cookie}},
	})
	chooseBy(route, hashHeader(requestID, fmt.Sprintf("^(.{1,%d}).*$", seedLength)))
	cookie := fmt.Sprintf("%s=%%REQ(%s):%d%%; Path=/; HttpOnly; SameSite=Lax", s.Cookie, requestID, seedLength)
	if s.TTL > 0 {
		cookie += fmt.Sprintf("; Max-Age=%d", int64(s.TTL.Seconds()))
	}
	route.ResponseHeadersToAdd = []*corev3.HeaderValueOption{{
		Header:       &corev3.HeaderValue{Key: "set-cookie", Value: cookie},
		AppendAction: corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD,
	}}
	return []*routev3.Route{known, route}
}

func chooseBy(route *routev3.Route, policy *routev3.RouteAction_HashPolicy) {
	action := route.GetRoute()
	action.HashPolicy = []*routev3.RouteAction_HashPolicy{policy}
	action.GetWeightedClusters().RandomValueSpecifier = &routev3.WeightedCluster_UseHashPolicy{UseHashPolicy: wrapperspb.Bool(true)}
}

// hashHeader hashes a header, or only the first group of an expression in it.
func hashHeader(name, expression string) *routev3.RouteAction_HashPolicy {
	header := &routev3.RouteAction_HashPolicy_Header{HeaderName: name}
	if expression != "" {
		header.RegexRewrite = &matcherv3.RegexMatchAndSubstitute{
			Pattern: &matcherv3.RegexMatcher{Regex: expression}, Substitution: `\1`,
		}
	}
	return &routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_Header_{Header: header}}
}

// isSticky says whether users are kept where they are. Then a retry must not choose
// another revision, either.
func isSticky(route *routev3.Route) bool { return len(route.GetRoute().GetHashPolicy()) > 0 }
