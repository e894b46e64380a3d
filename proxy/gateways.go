package proxy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// statuses is the part of an Output that is written to the Gateway API's objects.
type statuses struct {
	classes  map[string]gatewayv1.GatewayClassStatus
	gateways map[types.NamespacedName]gatewayv1.GatewayStatus
	routes   map[types.NamespacedName]gatewayv1.HTTPRouteStatus
}

// gateway is a Gateway of a class of ours, as it was judged.
type gateway struct {
	object    *gatewayv1.Gateway
	refused   verdict
	listeners []*listener
}

func renderGateways(in Input) ([]ir.Gateway, statuses) {
	out := statuses{
		classes:  judgeClasses(in),
		gateways: map[types.NamespacedName]gatewayv1.GatewayStatus{},
		routes:   map[types.NamespacedName]gatewayv1.HTTPRouteStatus{},
	}
	gateways := map[types.NamespacedName]*gateway{}
	for _, object := range in.Gateways {
		if class, ours := out.classes[string(object.Spec.GatewayClassName)]; ours {
			gateways[keyOf(object)] = judgeGateway(object, class, in)
		}
	}
	router := newRouter(in, gateways)
	for _, route := range sorted(in.HTTPRoutes) {
		if parents := router.attach(route); len(parents) > 0 {
			out.routes[keyOf(route)] = gatewayv1.HTTPRouteStatus{
				RouteStatus: gatewayv1.RouteStatus{Parents: parents},
			}
		}
	}
	var rendered []ir.Gateway
	for _, object := range sorted(in.Gateways) {
		g := gateways[keyOf(object)]
		if g == nil {
			continue
		}
		out.gateways[keyOf(object)] = g.status()
		if g.refused.none() {
			rendered = append(rendered, g.render())
		}
	}
	return rendered, out
}

func judgeClasses(in Input) map[string]gatewayv1.GatewayClassStatus {
	classes := map[string]gatewayv1.GatewayClassStatus{}
	for _, class := range in.GatewayClasses {
		if class.Spec.ControllerName != in.Options.ControllerName {
			continue
		}
		reason, message := gatewayv1.GatewayClassReasonAccepted, "Crossfade serves this class"
		if class.Spec.ParametersRef != nil {
			reason, message = gatewayv1.GatewayClassReasonInvalidParameters, "spec.parametersRef is not supported: remove it"
		}
		accepted := condition(gatewayv1.GatewayClassConditionStatusAccepted,
			reason == gatewayv1.GatewayClassReasonAccepted, reason, message, class.Generation)
		classes[class.Name] = gatewayv1.GatewayClassStatus{Conditions: conditions(accepted)}
	}
	return classes
}

func judgeGateway(object *gatewayv1.Gateway, class gatewayv1.GatewayClassStatus, in Input) *gateway {
	g := &gateway{object: object, refused: refuseGateway(object, class, in.Options)}
	for i := range object.Spec.Listeners {
		g.listeners = append(g.listeners, judgeListener(object, i, in))
	}
	return g
}

// refuseGateway says what is wrong with a Gateway as a whole.
func refuseGateway(object *gatewayv1.Gateway, class gatewayv1.GatewayClassStatus, o Options) verdict {
	if !isTrue(class.Conditions, gatewayv1.GatewayClassConditionStatusAccepted) {
		return because(gatewayv1.GatewayReasonInvalidParameters,
			fmt.Sprintf("GatewayClass %q is not accepted", object.Spec.GatewayClassName))
	}
	if keyOf(object) != o.Gateway {
		return because(gatewayv1.GatewayReasonInvalid,
			fmt.Sprintf("Crossfade serves one Gateway, %s: let routes refer to that one", o.Gateway))
	}
	if len(object.Spec.Addresses) > 0 {
		return because(gatewayv1.GatewayReasonUnsupportedAddress,
			"spec.addresses is not supported: the addresses are those of the gateway's Service")
	}
	if sentences := gatewayMistakes(object.Spec); len(sentences) > 0 {
		return because(gatewayv1.GatewayReasonInvalid, strings.Join(sentences, "; "))
	}
	return verdict{}
}

func gatewayMistakes(spec gatewayv1.GatewaySpec) []string {
	var sentences []string
	if spec.Infrastructure != nil {
		sentences = append(sentences, unsupportedField("spec.infrastructure"))
	}
	if spec.TLS != nil {
		sentences = append(sentences, unsupportedField("spec.tls"))
	}
	if spec.DefaultScope != "" && spec.DefaultScope != gatewayv1.GatewayDefaultScopeNone {
		sentences = append(sentences, unsupportedField("spec.defaultScope"))
	}
	if !closedToListenerSets(spec.AllowedListeners) {
		sentences = append(sentences, unsupportedField("spec.allowedListeners"))
	}
	return sentences
}

func closedToListenerSets(allowed *gatewayv1.AllowedListeners) bool {
	return allowed == nil || allowed.Namespaces == nil || allowed.Namespaces.From == nil ||
		*allowed.Namespaces.From == gatewayv1.NamespacesFromNone
}

func (g *gateway) status() gatewayv1.GatewayStatus {
	var status gatewayv1.GatewayStatus
	var refusedListeners []string
	for _, l := range g.listeners {
		status.Listeners = append(status.Listeners, l.status(g.refused))
		if !l.refused.none() {
			refusedListeners = append(refusedListeners, string(l.spec.Name))
		}
	}
	judged := g.refused
	accepted := judged.none()
	switch {
	case !accepted:
	case len(refusedListeners) == 0:
		judged = because(gatewayv1.GatewayReasonAccepted, "the Gateway is served")
	default:
		accepted = len(refusedListeners) < len(g.listeners)
		judged = because(gatewayv1.GatewayReasonListenersNotValid,
			"not served: listener "+strings.Join(refusedListeners, ", "))
	}
	programmed := judged
	if accepted {
		programmed = because(gatewayv1.GatewayReasonProgrammed, "the gateway's proxies get this configuration")
	} else {
		programmed.reason = string(gatewayv1.GatewayReasonInvalid)
	}
	generation := g.object.Generation
	status.Conditions = conditions(
		condition(gatewayv1.GatewayConditionAccepted, accepted, judged.reason, judged.message, generation),
		condition(gatewayv1.GatewayConditionProgrammed, accepted, programmed.reason, programmed.message, generation),
	)
	return status
}

// render merges the listeners of each port: proxies bind a port once and tell the
// listeners apart by host name.
func (g *gateway) render() ir.Gateway {
	out := ir.Gateway{Namespace: g.object.Namespace, Name: g.object.Name}
	for _, l := range g.listeners {
		port := uint32(max(l.spec.Port, 0))
		known := slices.ContainsFunc(out.Listeners, func(r ir.Listener) bool { return r.Port == port })
		if !l.refused.none() || known {
			continue
		}
		out.Listeners = append(out.Listeners, ir.Listener{
			Name:         string(l.spec.Name),
			Port:         port,
			BindPort:     BindPort(port),
			VirtualHosts: g.virtualHosts(l.spec.Port),
		})
	}
	slices.SortFunc(out.Listeners, func(a, b ir.Listener) int { return cmp.Compare(a.Port, b.Port) })
	return out
}

// BindPort is the port that a gateway's proxy binds for a port of a listener: it
// runs without the right to bind ports below 1024.
func BindPort(port uint32) uint32 {
	if port < 1024 {
		return port + 10000
	}
	return port
}

// virtualHosts are the hosts of all listeners of one port.
func (g *gateway) virtualHosts(port gatewayv1.PortNumber) []ir.VirtualHost {
	byDomain := map[string][]candidate{}
	attached := map[string]map[types.NamespacedName]bool{}
	for _, l := range g.listeners {
		if l.spec.Port != port || !l.refused.none() {
			continue
		}
		for _, a := range l.attached {
			for _, domain := range a.domains {
				// A route may come to one host through several listeners, or name it twice.
				if attached[domain] == nil {
					attached[domain] = map[types.NamespacedName]bool{}
				}
				if attached[domain][a.route] {
					continue
				}
				attached[domain][a.route] = true
				byDomain[domain] = append(byDomain[domain], a.candidates...)
			}
		}
	}
	var hosts []ir.VirtualHost
	for domain, candidates := range byDomain {
		slices.SortFunc(candidates, precedes)
		host := ir.VirtualHost{Domain: domain}
		for _, c := range candidates {
			host.Routes = append(host.Routes, c.route)
		}
		hosts = append(hosts, host)
	}
	slices.SortFunc(hosts, func(a, b ir.VirtualHost) int { return cmp.Compare(a.Domain, b.Domain) })
	return hosts
}
