package xds

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// ruledRoute is a route with what the Services that it leads to ask of their callers.
type ruledRoute struct {
	route  *routev3.Route
	policy ir.ServicePolicy
}

// makeServiceHost makes the virtual host for one port of a Service.
func makeServiceHost(service ir.Service, port ir.Port, reader dialect) (*routev3.VirtualHost, error) {
	own := part{service: service.ServiceKey, port: port, total: service.Total, weight: 1}
	d := division{
		dialect: reader,
		match:   makeMatch(ir.Match{Path: ir.PathMatch{Value: "/"}}),
		group:   group{traffic: port.Traffic, parts: []part{own}},
	}
	return makeHost(RouteName(service.ServiceKey, port.Number), "*", d.ruled(service.Policy))
}

// ruled are the routes, with what the Services ask of their callers.
func (d division) ruled(policy ir.ServicePolicy) []ruledRoute {
	var routes []ruledRoute
	for _, r := range d.routes() {
		routes = append(routes, ruledRoute{route: r, policy: policy})
	}
	return routes
}

// makeGatewayHost makes a virtual host of a gateway. Services that are not there
// count as backends that cannot be reached.
func makeGatewayHost(host ir.VirtualHost, services map[ir.ServiceKey]*service) (*routev3.VirtualHost, error) {
	var routes []ruledRoute
	for _, r := range host.Routes {
		routes = append(routes, makeRoutes(r, services)...)
	}
	return makeHost(host.Domain, strings.ToLower(host.Domain), routes)
}

// makeHost gives the host the retry policy of most of its routes. Those that are
// divided, of which there are few at a time, and those that a policy speaks of have one
// of their own. Where users stay on a revision, retries do, too.
func makeHost(name, domain string, routes []ruledRoute) (*routev3.VirtualHost, error) {
	usual, err := makeRetryPolicy(false)
	if err != nil {
		return nil, err
	}
	host := &routev3.VirtualHost{
		Name: name, Domains: []string{domain}, RetryPolicy: usual,
		ResponseHeadersToRemove: []string{unsentHeader},
	}
	for _, r := range routes {
		own := usual
		if divides(r.route) && !isSticky(r.route) {
			if own, err = makeRetryPolicy(true); err != nil {
				return nil, err
			}
			r.route.GetRoute().RetryPolicy = own
		}
		host.Routes = append(host.Routes, applyRoutePolicy(r.route, own, r.policy)...)
	}
	return host, nil
}

// makeRoutes makes what Envoy needs for one route: the forwarding, and before it,
// where some backends cannot be reached, an answer 500 for their share. Envoy has no
// split between a cluster and an answer, nor timeouts that depend on the cluster, so
// the answer, and each group of backends whose Services ask for the same, is a route of
// its own that matches at random, precise to a millionth. Envoy draws one number for a
// request: the bounds follow each other, and the last route takes the rest. The split
// between revisions comes from that number, too, so it is not exact in a share that is
// smaller than some of its totals, in millionths.
func makeRoutes(r ir.Route, services map[ir.ServiceKey]*service) []ruledRoute {
	invalid, parts := reachable(r, services)
	groups := groupParts(parts)
	if len(groups) == 0 {
		return []ruledRoute{{route: &routev3.Route{Name: r.Origin, Match: makeMatch(r.Match), Action: makeRefusal()}}}
	}
	whole := invalid + weightOf(parts)
	var routes []ruledRoute
	if invalid > 0 {
		match := makeMatch(r.Match)
		match.RuntimeFraction = makeFraction(invalid, whole)
		routes = append(routes, ruledRoute{route: &routev3.Route{Name: r.Origin + "/unreachable", Match: match, Action: makeRefusal()}})
	}
	bound := invalid
	for i, g := range groups {
		match, name := makeMatch(r.Match), r.Origin
		if len(groups) > 1 {
			name += "/" + g.parts[0].service.String()
		}
		if bound += weightOf(g.parts); i < len(groups)-1 {
			match.RuntimeFraction = makeFraction(bound, whole)
		}
		routes = append(routes, division{name: name, match: match, group: g}.ruled(g.policy)...)
	}
	return routes
}

// reachable are the backends of a route whose Services are there, and the weight of all
// others.
func reachable(r ir.Route, services map[ir.ServiceKey]*service) (invalid uint64, parts []part) {
	invalid = uint64(r.Invalid)
	for _, b := range r.Backends {
		port, total, ok := services[b.Service].port(b.Port)
		if !ok {
			invalid += uint64(b.Weight)
			continue
		}
		parts = append(parts, part{
			service: b.Service, port: port, total: total, weight: uint64(b.Weight), policy: services[b.Service].ir.Policy.OfRequests(),
		})
	}
	return invalid, parts
}

func makeFraction(part, whole uint64) *corev3.RuntimeFractionalPercent {
	return &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{
		Numerator: millionths(part, whole), Denominator: typev3.FractionalPercent_MILLION,
	}}
}

func makeRefusal() *routev3.Route_DirectResponse {
	return &routev3.Route_DirectResponse{
		DirectResponse: &routev3.DirectResponseAction{Status: http.StatusInternalServerError},
	}
}

func makeForward(list []share) *routev3.Route_Route {
	weighted := &routev3.WeightedCluster{}
	for _, s := range list {
		weighted.Clusters = append(weighted.Clusters, &routev3.WeightedCluster_ClusterWeight{
			Name:   s.cluster,
			Weight: wrapperspb.UInt32(s.weight),
		})
	}
	return &routev3.Route_Route{
		Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_WeightedClusters{WeightedClusters: weighted},
			// Zero is no timeout. Envoy's default would cut every answer after 15 s.
			Timeout: durationpb.New(0),
		},
	}
}

func makeMatch(m ir.Match) *routev3.RouteMatch {
	match := &routev3.RouteMatch{}
	switch {
	case m.Path.Exact:
		match.PathSpecifier = &routev3.RouteMatch_Path{Path: m.Path.Value}
	case m.Path.Value == "/":
		match.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
	default:
		match.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: m.Path.Value}
	}
	if m.Method != "" {
		match.Headers = append(match.Headers, makeHeaderMatch(ir.HeaderMatch{Name: ":method", Value: m.Method}))
	}
	for _, h := range m.Headers {
		match.Headers = append(match.Headers, makeHeaderMatch(h))
	}
	return match
}

func makeHeaderMatch(h ir.HeaderMatch) *routev3.HeaderMatcher {
	value := ir.ValueMatch{Name: h.Name, Comparison: ir.Exact, Value: h.Value}
	if h.Regex {
		value.Comparison = ir.Regex
	}
	return makeValueHeader(value)
}

// clustersOf are the clusters that routes name, with weight 0 too, sorted.
func clustersOf(config *routev3.RouteConfiguration) []string {
	return slices.Sorted(maps.Keys(weightedClusters(config)))
}

// weightedClusters are the clusters that routes name, and whether any route gives
// them requests, or copies of some.
func weightedClusters(config *routev3.RouteConfiguration) map[string]bool {
	named := map[string]bool{}
	for _, host := range config.GetVirtualHosts() {
		for _, route := range host.GetRoutes() {
			for _, c := range route.GetRoute().GetWeightedClusters().GetClusters() {
				named[c.GetName()] = named[c.GetName()] || c.GetWeight().GetValue() > 0
			}
			for _, m := range route.GetRoute().GetRequestMirrorPolicies() {
				named[m.GetCluster()] = true
			}
		}
	}
	return named
}

// splitOf says how a port's requests are divided.
func splitOf(service ir.Service, port ir.Port) Split {
	split := weightsOf(service, port)
	if t := port.Traffic; t != nil {
		split.Traffic = digest(t)
		if t.Reaches() {
			split.Reached = t.Canary
		}
	}
	return split
}

// weightsOf says how a port's connections are divided, in which no requests can be told
// apart.
func weightsOf(service ir.Service, port ir.Port) Split {
	split := Split{
		Service: service.String(),
		Port:    port.Number,
		Weights: make(map[string]uint32, len(port.Revisions)),
		Total:   service.Total,
	}
	for _, r := range port.Revisions {
		split.Weights[r.Name] = r.Weight
	}
	return split
}

// digest tells two ways to divide requests apart.
func digest(t *ir.Traffic) string {
	content, err := json.Marshal(t)
	if err != nil {
		return err.Error() // It has nothing that cannot be marshalled.
	}
	return hash(content)
}
