package proxy

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// router brings HTTPRoutes to the listeners of our Gateways.
type router struct {
	controller gatewayv1.GatewayController
	gateways   map[types.NamespacedName]*gateway
	backends   backends
}

func newRouter(in Input, gateways map[types.NamespacedName]*gateway) router {
	services := make(map[types.NamespacedName]*corev1.Service, len(in.Services))
	for _, s := range in.Services {
		services[keyOf(s)] = s
	}
	return router{
		controller: in.Options.ControllerName,
		gateways:   gateways,
		backends:   backends{services: services, grants: in.ReferenceGrants},
	}
}

// attach adds a route to the listeners that it may come to, and returns the status
// of each of its parents that is ours.
func (r router) attach(route *gatewayv1.HTTPRoute) []gatewayv1.RouteParentStatus {
	var parents []gatewayv1.RouteParentStatus
	var translated *translated
	for _, ref := range route.Spec.ParentRefs {
		g := r.gatewayOf(ref, route.Namespace)
		if g == nil || known(parents, ref) {
			continue
		}
		if translated == nil {
			t := r.translate(route)
			translated = &t
		}
		accepted := because(gatewayv1.RouteReasonAccepted, "the route is served")
		refused := translated.refused
		if refused.none() {
			refused = g.accept(route, ref, translated.candidates)
		}
		if !refused.none() {
			accepted = refused
		}
		resolved := translated.resolved
		generation := route.Generation
		parents = append(parents, gatewayv1.RouteParentStatus{
			ParentRef:      ref,
			ControllerName: r.controller,
			Conditions: conditions(
				condition(gatewayv1.RouteConditionAccepted, refused.none(), accepted.reason, accepted.message, generation),
				condition(gatewayv1.RouteConditionResolvedRefs,
					resolved.reason == string(gatewayv1.RouteReasonResolvedRefs), resolved.reason, resolved.message, generation),
			),
		})
	}
	return parents
}

// gatewayOf is the Gateway of ours that a route refers to, nil when it is not ours.
func (r router) gatewayOf(ref gatewayv1.ParentReference, namespace string) *gateway {
	if ref.Group != nil && *ref.Group != gatewayv1.GroupName || ref.Kind != nil && *ref.Kind != kindGateway {
		return nil
	}
	if ref.Namespace != nil {
		namespace = string(*ref.Namespace)
	}
	return r.gateways[types.NamespacedName{Namespace: namespace, Name: string(ref.Name)}]
}

func known(parents []gatewayv1.RouteParentStatus, ref gatewayv1.ParentReference) bool {
	return slices.ContainsFunc(parents, func(p gatewayv1.RouteParentStatus) bool {
		return sameParent(p.ParentRef, ref)
	})
}

func sameParent(a, b gatewayv1.ParentReference) bool {
	return a.Name == b.Name && equal(a.Group, b.Group) && equal(a.Kind, b.Kind) &&
		equal(a.Namespace, b.Namespace) && equal(a.SectionName, b.SectionName) && equal(a.Port, b.Port)
}

func equal[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// accept attaches a route to the listeners that a parentRef means, or says why it
// cannot.
func (g *gateway) accept(route *gatewayv1.HTTPRoute, ref gatewayv1.ParentReference, candidates []candidate) verdict {
	if !g.refused.none() {
		return because(gatewayv1.RouteReasonNoMatchingParent,
			fmt.Sprintf("Gateway %s is not accepted: %s", keyOf(g.object), g.refused.message))
	}
	meant := g.meant(ref)
	if len(meant) == 0 {
		return because(gatewayv1.RouteReasonNoMatchingParent, "the Gateway has no such listener that is accepted")
	}
	meant = slices.DeleteFunc(meant, func(l *listener) bool { return !l.admits(route.Namespace) })
	if len(meant) == 0 {
		return because(gatewayv1.RouteReasonNotAllowedByListeners,
			fmt.Sprintf("allowedRoutes of the listener does not let HTTPRoutes of namespace %s in", route.Namespace))
	}
	attached := false
	for _, l := range meant {
		domains := domainsOf(hostOf(l.spec), route.Spec.Hostnames)
		if len(domains) == 0 {
			continue
		}
		attached = true
		if !slices.ContainsFunc(l.attached, func(a attachment) bool { return a.route == keyOf(route) }) {
			l.attached = append(l.attached, attachment{route: keyOf(route), domains: domains, candidates: candidates})
		}
	}
	if !attached {
		return because(gatewayv1.RouteReasonNoMatchingListenerHostname,
			"no hostname of the route fits the hostname of the listener")
	}
	return verdict{}
}

// meant are the accepted listeners that a parentRef is about.
func (g *gateway) meant(ref gatewayv1.ParentReference) []*listener {
	var meant []*listener
	for _, l := range g.listeners {
		named := ref.SectionName == nil || *ref.SectionName == l.spec.Name
		ported := ref.Port == nil || *ref.Port == l.spec.Port
		if named && ported && l.refused.none() {
			meant = append(meant, l)
		}
	}
	return meant
}

// domainsOf are the hosts that a listener and a route have in common.
func domainsOf(listener string, hostnames []gatewayv1.Hostname) []string {
	if len(hostnames) == 0 {
		hostnames = []gatewayv1.Hostname{""}
	}
	var domains []string
	for _, name := range hostnames {
		if domain, ok := intersect(listener, string(name)); ok {
			domains = append(domains, domain)
		}
	}
	return domains
}

// translated is an HTTPRoute in our words: its candidates, or why it is refused,
// and whether its references resolve.
type translated struct {
	candidates []candidate
	refused    verdict
	resolved   verdict
}

func (r router) translate(route *gatewayv1.HTTPRoute) translated {
	var t translated
	if sentences := mistakes(route); len(sentences) > 0 {
		t.refused = because(gatewayv1.RouteReasonUnsupportedValue, bounded(strings.Join(sentences, "; ")))
	}
	rules := route.Spec.Rules
	if len(rules) == 0 {
		rules = make([]gatewayv1.HTTPRouteRule, 1)
	}
	var problems []verdict
	for i, rule := range rules {
		shared, bad := r.backends.resolve(route.Namespace, i, rule.BackendRefs)
		problems = append(problems, bad...)
		shared.Origin = fmt.Sprintf("%s/%s/%d", route.Namespace, route.Name, i)
		for m, match := range matchesOf(rule) {
			c := candidate{
				route:     shared,
				created:   route.CreationTimestamp.Time,
				namespace: route.Namespace,
				name:      route.Name,
				rule:      i,
				match:     m,
			}
			c.route.Match = matchOf(match)
			t.candidates = append(t.candidates, c)
		}
	}
	t.resolved = because(gatewayv1.RouteReasonResolvedRefs, "all references are resolved")
	if len(problems) > 0 {
		t.resolved = join(problems)
	}
	return t
}

// join makes one verdict of several: a condition has one reason, but every mistake
// gets its sentence.
func join(problems []verdict) verdict {
	first := problems[0]
	for _, p := range problems[1:] {
		first.message += "; " + p.message
	}
	first.message = bounded(first.message)
	return first
}

// bounded cuts a message down to what the API server takes in a condition.
func bounded(message string) string {
	const limit = 32768
	if len(message) <= limit {
		return message
	}
	return strings.ToValidUTF8(message[:limit], "")
}
