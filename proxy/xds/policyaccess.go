package xds

import (
	"fmt"
	"slices"
	"strings"

	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

const httpAccessName = "envoy.filters.http.rbac"

// inboundHTTPFilters are what a request to a pod has to pass. The rules come with the
// routes: a listener that changes ends its connections, and a stream of somebody who is
// allowed before and after must not end because somebody else is not.
func inboundHTTPFilters() ([]*hcmv3.HttpFilter, error) {
	config, err := pack(&httprbacv3.RBAC{})
	if err != nil {
		return nil, err
	}
	return []*hcmv3.HttpFilter{{
		Name: httpAccessName, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: config},
	}}, nil
}

// makeInboundRoutes leads all requests to the pod's applications, by the rules.
func (m mesh) makeInboundRoutes(s ir.Sidecar) (*Resource, error) {
	in := s.Inbound
	routes := routesTo(InboundName).RouteConfig
	if percent := m.effective(s.Telemetry).TracingPercent; percent > 0 {
		routes.VirtualHosts[0].Routes[0].Tracing = makeRouteTracing(percent)
	}
	if restricts(in.Access) {
		rules, err := pack(&httprbacv3.RBACPerRoute{Rbac: &httprbacv3.RBAC{Rules: m.makeRules(in.Access.Allow)}})
		if err != nil {
			return nil, err
		}
		routes.TypedPerFilterConfig = map[string]*anypb.Any{httpAccessName: rules}
	}
	return newReferring(InboundName, routes, []string{InboundName}, nil)
}

// door is who may connect to a port of a pod where no requests can be told apart.
//
// It is made of filter chains, and not of the filter that judges requests: that one
// looks at a connection when its first bytes come, and until then a server that speaks
// first has spoken to whoever it is.
type door struct {
	// port is one that the pod listens on; 0 stands for all that have no door.
	port uint32
	// anybody says that no identity is needed; else peers are those who may connect.
	anybody bool
	peers   []*matcherv3.StringMatcher
}

// lets says whether there is anybody who may connect, with mutual TLS or without it.
func (d door) lets(mtls bool) bool { return d.anybody || mtls && len(d.peers) > 0 }

// makeDoors makes the doors of a pod, that of all other ports last. Envoy looks at the
// port first and never back: a port with a door of its own needs all of what the others
// have.
func (m mesh) makeDoors(access *ir.Access) []door {
	if !restricts(access) {
		return []door{{anybody: true}}
	}
	var ports []uint32
	for _, rule := range access.Allow {
		if ofConnections(rule) {
			ports = append(ports, rule.Ports...)
		}
	}
	slices.Sort(ports)
	var doors []door
	for _, port := range append(slices.Compact(ports), 0) {
		doors = append(doors, m.makeDoor(port, access.Allow))
	}
	return doors
}

// ofConnections says whether a rule may allow connections. One with methods or paths is
// about requests.
func ofConnections(rule ir.AccessRule) bool { return len(rule.Methods)+len(rule.Paths) == 0 }

func (m mesh) makeDoor(port uint32, rules []ir.AccessRule) door {
	made := door{port: port}
	for _, rule := range rules {
		if !ofConnections(rule) || len(rule.Ports) > 0 && !slices.Contains(rule.Ports, port) {
			continue
		}
		made.anybody = made.anybody || len(rule.From) == 0
		made.peers = append(made.peers, m.makePeers(rule.From)...)
	}
	if made.anybody {
		made.peers = nil
	}
	return made
}

// restricts says whether anything is forbidden.
func restricts(access *ir.Access) bool { return access != nil && access.Default != ir.Allow }

// comparesPaths says whether a rule depends on a request's path.
func comparesPaths(access *ir.Access) bool {
	if !restricts(access) {
		return false
	}
	for _, rule := range access.Allow {
		if len(rule.Paths) > 0 {
			return true
		}
	}
	return false
}

// makeRules allows what one of the rules allows, and nothing without any.
//
// Nothing that a user wrote becomes an expression: names and paths are compared as they
// are, so that a dot is a dot.
func (m mesh) makeRules(rules []ir.AccessRule) *rbacconfigv3.RBAC {
	out := &rbacconfigv3.RBAC{Action: rbacconfigv3.RBAC_ALLOW, Policies: map[string]*rbacconfigv3.Policy{}}
	for i, rule := range rules {
		out.Policies[fmt.Sprintf("allow-%d", i)] = &rbacconfigv3.Policy{
			Permissions: []*rbacconfigv3.Permission{makePermission(rule)},
			Principals:  m.makePrincipals(rule.From),
		}
	}
	return out
}

// makePermission is what a rule allows: any of its methods on any of its paths at any of
// its ports.
func makePermission(rule ir.AccessRule) *rbacconfigv3.Permission {
	var all []*rbacconfigv3.Permission
	var methods, paths, ports []*rbacconfigv3.Permission
	for _, method := range rule.Methods {
		methods = append(methods, &rbacconfigv3.Permission{Rule: &rbacconfigv3.Permission_Header{Header: &routev3.HeaderMatcher{
			Name:                 ":method",
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: exactly(method)},
		}}})
	}
	for _, path := range rule.Paths {
		value := exactly(path)
		if prefix, found := strings.CutSuffix(path, "*"); found {
			value = beginningWith(prefix)
		}
		paths = append(paths, &rbacconfigv3.Permission{Rule: &rbacconfigv3.Permission_UrlPath{UrlPath: &matcherv3.PathMatcher{
			Rule: &matcherv3.PathMatcher_Path{Path: value},
		}}})
	}
	for _, port := range rule.Ports {
		ports = append(ports, &rbacconfigv3.Permission{Rule: &rbacconfigv3.Permission_DestinationPort{DestinationPort: port}})
	}
	for _, choice := range [][]*rbacconfigv3.Permission{methods, paths, ports} {
		if len(choice) > 0 {
			all = append(all, &rbacconfigv3.Permission{Rule: &rbacconfigv3.Permission_OrRules{
				OrRules: &rbacconfigv3.Permission_Set{Rules: choice},
			}})
		}
	}
	if len(all) == 0 {
		return &rbacconfigv3.Permission{Rule: &rbacconfigv3.Permission_Any{Any: true}}
	}
	return &rbacconfigv3.Permission{Rule: &rbacconfigv3.Permission_AndRules{
		AndRules: &rbacconfigv3.Permission_Set{Rules: all},
	}}
}

// makePrincipals are the callers, by the identities in their certificates. A connection
// in cleartext proves none, and is only allowed where anybody is.
func (m mesh) makePrincipals(from []ir.AccessSource) []*rbacconfigv3.Principal {
	if len(from) == 0 {
		return []*rbacconfigv3.Principal{{Identifier: &rbacconfigv3.Principal_Any{Any: true}}}
	}
	var out []*rbacconfigv3.Principal
	for _, peer := range m.makePeers(from) {
		out = append(out, &rbacconfigv3.Principal{Identifier: &rbacconfigv3.Principal_Authenticated_{
			Authenticated: &rbacconfigv3.Principal_Authenticated{PrincipalName: peer},
		}})
	}
	return out
}

// makePeers are the identities of callers.
func (m mesh) makePeers(from []ir.AccessSource) []*matcherv3.StringMatcher {
	var out []*matcherv3.StringMatcher
	for _, source := range from {
		prefix := fmt.Sprintf("spiffe://%s/ns/%s/sa/", m.trustDomain, source.Namespace)
		if len(source.ServiceAccounts) == 0 {
			out = append(out, beginningWith(prefix))
		}
		for _, account := range source.ServiceAccounts {
			out = append(out, exactly(prefix+account))
		}
	}
	return out
}

func exactly(value string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: value}}
}

func beginningWith(prefix string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: prefix}}
}

// pack puts a message into another one. Maps are marshalled in random order unless told
// otherwise, and here, inside of a resource, too: its version would be another one each
// time, and a listener would drain its connections for nothing.
func pack(message proto.Message) (*anypb.Any, error) {
	packed := &anypb.Any{}
	if err := anypb.MarshalFrom(packed, message, proto.MarshalOptions{Deterministic: true}); err != nil {
		return nil, fmt.Errorf("pack %T: %w", message, err)
	}
	return packed, nil
}
