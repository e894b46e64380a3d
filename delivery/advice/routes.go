package advice

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// routeRules judge how requests come to a Service: by routes of a gateway, and by
// sidecars of its clients.
var routeRules = []Rule{
	{
		Code: "XF0401", Name: "NobodyObserves", Severity: Error,
		What: "No route leads to the Service, and no namespace is meshed: there is no proxy that could divide its requests. A rollout waits with reason NoProxies, and goes back after progressDeadlineSeconds.",
		Mend: "Lead an HTTPRoute to the Service, or label the namespaces of its clients crossfade.dev/injection=enabled and restart them.",
		find: nobodyObserves,
	},
	{
		Code: "XF0402", Name: "ClientsOutside", Severity: Info,
		What: "A route leads to the Service, and its namespace is not meshed: clients within the cluster that have no sidecar pass the weights by. They get stable only, and the canary all at once at the promotion.",
		Mend: "Label the namespaces of its clients crossfade.dev/injection=enabled and restart them, or let them go through the gateway.",
		find: clientsOutside,
	},
	{
		Code: "XF0403", Name: "BackendNotFound", Severity: Error,
		What: "A route leads to a Service that does not exist: its share of the requests is answered with 500.",
		Mend: "Create the Service, or correct the backendRef.",
		find: backendNotFound,
	},
	{
		Code: "XF0404", Name: "BackendWithoutRollout", Severity: Info,
		What: "A route leads to a Service that no Rollout looks after: its Deployment changes by its own rolling update, without steps and checks.",
		Mend: "Write a Rollout for it, if its changes should go step by step.",
		find: backendWithoutRollout,
	},
	{
		Code: "XF0405", Name: "NoWeight", Severity: Error,
		What: "The weights of a route's rule sum to 0: all its requests are answered with 500.",
		Mend: "Give one of its backendRefs a weight above 0.",
		find: noWeight,
	},
	{
		Code: "XF0406", Name: "OddWeights", Severity: Info,
		What: "The weights of a route's rule do not sum to 100: they are shares of their sum, which may not be what their author meant.",
		Mend: "Let them sum to 100 (or 1000, or 1).",
		find: oddWeights,
	},
	{
		Code: "XF0407", Name: "SameMatch", Severity: Warning,
		What: "Two routes of the same gateway have the same host and the same match: the older one gets the requests, and the other one nothing.",
		Mend: "Delete one of them, or make one's matches more specific.",
		find: sameMatch,
	},
	{
		Code: "XF0408", Name: "NotGranted", Severity: Error,
		What: "A route leads to a Service of another namespace that no ReferenceGrant opens to it: its share of the requests is answered with 500.",
		Mend: "Create a ReferenceGrant in the Service's namespace, from HTTPRoutes of the route's.",
		find: notGranted,
	},
	{
		Code: "XF0409", Name: "GatewayNotFound", Severity: Error,
		What: "A route names a Gateway that does not exist: nobody serves it.",
		Mend: "Correct the parentRef; Crossfade's own Gateway is crossfade in namespace crossfade-system.",
		find: gatewayNotFound,
	},
	{
		Code: "XF0410", Name: "PortNotServed", Severity: Error,
		What: "A route leads to a port that the Service does not have: its share of the requests is answered with 500.",
		Mend: "Correct the backendRef's port; it is the Service's, not the pod's.",
		find: portNotServed,
	},
	{
		Code: "XF0411", Name: "SplitTwice", Severity: Info,
		What: "A rule divides requests by hand between Services of which one has a Rollout: the Rollout's weight is a share of that Service's share.",
		Mend: "Let the Rollout alone divide, if both Services are versions of the same program.",
		find: splitTwice,
	},
}

// backend is a reference of a route.
type backend struct {
	field           string
	namespace, name string
	port, weight    int32
	isService       bool
}

func backendsOf(route *gatewayv1.HTTPRoute) []backend {
	var out []backend
	for i := range route.Spec.Rules {
		out = append(out, backendsOfRule(route, i)...)
	}
	return out
}

func backendsOfRule(route *gatewayv1.HTTPRoute, i int) []backend {
	var out []backend
	for j, ref := range route.Spec.Rules[i].BackendRefs {
		b := backend{
			field:     fmt.Sprintf("spec.rules[%d].backendRefs[%d]", i, j),
			namespace: route.Namespace, name: string(ref.Name), weight: 1,
			isService: (ref.Group == nil || *ref.Group == "") && (ref.Kind == nil || *ref.Kind == "Service"),
		}
		if ref.Namespace != nil {
			b.namespace = string(*ref.Namespace)
		}
		if ref.Port != nil {
			b.port = *ref.Port
		}
		if ref.Weight != nil {
			b.weight = *ref.Weight
		}
		out = append(out, b)
	}
	return out
}

// backends calls back for each reference to a Service.
func (s *scene) backends(f func(route *gatewayv1.HTTPRoute, b backend, at Ref)) {
	for _, route := range s.Routes {
		for _, b := range backendsOf(route) {
			if b.isService {
				f(route, b, RefTo("HTTPRoute", route))
			}
		}
	}
}

// observed says whether any proxy may carry requests to a Service: a gateway's, or
// a sidecar, which any meshed namespace may have.
func (s *scene) observed(d *delivered) bool {
	if len(s.routesTo(d.service)) > 0 || !s.whole("HTTPRoute", "") || !s.whole("Namespace", "") {
		return true
	}
	for _, ns := range s.Namespaces {
		if meshed, _ := s.meshed(ns.Name); meshed {
			return true
		}
	}
	return slices.ContainsFunc(s.Deployments, func(o *appsv1.Deployment) bool {
		return o.Spec.Template.Labels[v1alpha1.LabelInject] == "true"
	})
}

func nobodyObserves(s *scene) {
	for i := range s.deliveries {
		if d := &s.deliveries[i]; d.service != nil && !s.observed(d) {
			s.found(RefTo("Rollout", d.rollout), "spec.serviceRef", "no proxy carries requests to Service %s", d.service.Name)
		}
	}
}

func clientsOutside(s *scene) {
	for _, d := range s.deliveries {
		if d.service == nil {
			continue
		}
		if meshed, known := s.meshed(d.service.Namespace); known && !meshed && len(s.routesTo(d.service)) > 0 {
			s.found(RefTo("Service", d.service), "", "namespace %s is not meshed", d.service.Namespace)
		}
	}
}

func backendNotFound(s *scene) {
	s.backends(func(_ *gatewayv1.HTTPRoute, b backend, at Ref) {
		if s.service(b.namespace, b.name) == nil && s.whole("Service", b.namespace) {
			s.found(at, b.field, "there is no Service %s in namespace %s", b.name, b.namespace)
		}
	})
}

func backendWithoutRollout(s *scene) {
	s.backends(func(_ *gatewayv1.HTTPRoute, b backend, at Ref) {
		service := s.service(b.namespace, b.name)
		if service != nil && s.whole("Rollout", b.namespace) && s.deliveryOf(service) == nil {
			s.found(at, b.field, "no Rollout looks after Service %s", b.name)
		}
	})
}

// weights sums the weights of each rule with backends.
func (s *scene) weights(f func(at Ref, field string, refs []backend, sum int64)) {
	for _, route := range s.Routes {
		for i := range route.Spec.Rules {
			refs := backendsOfRule(route, i)
			sum := int64(0)
			for _, b := range refs {
				sum += int64(b.weight)
			}
			if len(refs) > 0 {
				f(RefTo("HTTPRoute", route), fmt.Sprintf("spec.rules[%d].backendRefs", i), refs, sum)
			}
		}
	}
}

func noWeight(s *scene) {
	s.weights(func(at Ref, field string, _ []backend, sum int64) {
		if sum == 0 {
			s.found(at, field, "the weights sum to 0")
		}
	})
}

func oddWeights(s *scene) {
	s.weights(func(at Ref, field string, refs []backend, sum int64) {
		written := slices.ContainsFunc(refs, func(b backend) bool { return b.weight > 1 })
		if len(refs) > 1 && written && !slices.Contains([]int64{10, 100, 1000, 10000}, sum) {
			s.found(at, field, "the weights sum to %d", sum)
		}
	})
}

// matched is one way by which requests come into a route.
type matched struct{ gateway, host, match string }

func waysInto(route *gatewayv1.HTTPRoute) []matched {
	hosts := []gatewayv1.Hostname{"*"}
	if len(route.Spec.Hostnames) > 0 {
		hosts = route.Spec.Hostnames
	}
	var out []matched
	for _, parent := range route.Spec.ParentRefs {
		namespace := route.Namespace
		if parent.Namespace != nil {
			namespace = string(*parent.Namespace)
		}
		for _, host := range hosts {
			for _, rule := range route.Spec.Rules {
				matches := rule.Matches
				if len(matches) == 0 {
					matches = []gatewayv1.HTTPRouteMatch{{}}
				}
				for _, m := range matches {
					out = append(out, matched{namespace + "/" + string(parent.Name), string(host), canonical(m)})
				}
			}
		}
	}
	return out
}

// canonical is a match in a form in which equal ones are equal: what the API server
// would have added is left out.
func canonical(m gatewayv1.HTTPRouteMatch) string {
	if p := m.Path; p != nil && (p.Type == nil || *p.Type == gatewayv1.PathMatchPathPrefix) && (p.Value == nil || *p.Value == "/") {
		m.Path = nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func sameMatch(s *scene) {
	first := map[matched]*gatewayv1.HTTPRoute{}
	sorted := slices.SortedFunc(slices.Values(s.Routes), func(a, b *gatewayv1.HTTPRoute) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name))
	})
	for _, route := range sorted {
		told := false
		for _, way := range waysInto(route) {
			other := first[way]
			if other == nil {
				first[way] = route
			}
			if other != nil && other != route && !told {
				s.found(RefTo("HTTPRoute", route), "spec", "HTTPRoute %s/%s has the same host %s and the same match", other.Namespace, other.Name, way.host)
				told = true
			}
		}
	}
}

func notGranted(s *scene) {
	s.backends(func(route *gatewayv1.HTTPRoute, b backend, at Ref) {
		if b.namespace == route.Namespace || !s.whole("ReferenceGrant", b.namespace) {
			return
		}
		granted := slices.ContainsFunc(s.Grants, func(g *gatewayv1.ReferenceGrant) bool {
			from := slices.ContainsFunc(g.Spec.From, func(f gatewayv1.ReferenceGrantFrom) bool {
				return f.Kind == "HTTPRoute" && string(f.Namespace) == route.Namespace
			})
			to := slices.ContainsFunc(g.Spec.To, func(t gatewayv1.ReferenceGrantTo) bool {
				return t.Kind == "Service" && (t.Name == nil || string(*t.Name) == b.name)
			})
			return g.Namespace == b.namespace && from && to
		})
		if !granted {
			s.found(at, b.field, "no ReferenceGrant opens Service %s of namespace %s to it", b.name, b.namespace)
		}
	})
}

func gatewayNotFound(s *scene) {
	for _, route := range s.Routes {
		for i, parent := range route.Spec.ParentRefs {
			namespace := route.Namespace
			if parent.Namespace != nil {
				namespace = string(*parent.Namespace)
			}
			isGateway := parent.Kind == nil || *parent.Kind == "Gateway"
			known := slices.ContainsFunc(s.Gateways, func(g *gatewayv1.Gateway) bool { return g.Namespace == namespace && g.Name == string(parent.Name) })
			if isGateway && !known && s.whole("Gateway", namespace) {
				s.found(RefTo("HTTPRoute", route), fmt.Sprintf("spec.parentRefs[%d]", i), "there is no Gateway %s in namespace %s", parent.Name, namespace)
			}
		}
	}
}

func portNotServed(s *scene) {
	s.backends(func(_ *gatewayv1.HTTPRoute, b backend, at Ref) {
		service := s.service(b.namespace, b.name)
		if service == nil {
			return
		}
		var has []string
		for _, p := range service.Spec.Ports {
			if p.Port == b.port && isTCP(p) {
				return
			}
			has = append(has, fmt.Sprint(p.Port))
		}
		s.found(at, b.field+".port", "Service %s has no TCP port %d (it has %s)", b.name, b.port, strings.Join(has, ", "))
	})
}

func splitTwice(s *scene) {
	s.weights(func(at Ref, field string, refs []backend, _ int64) {
		for _, b := range refs {
			service := s.service(b.namespace, b.name)
			if d := s.deliveryOf(service); len(refs) > 1 && d != nil {
				s.found(at, field, "Service %s has Rollout %s, and %d backends share the rule", b.name, d.rollout.Name, len(refs))
				return
			}
		}
	})
}
