package proxy

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

const (
	kindHTTPRoute gatewayv1.Kind = "HTTPRoute"
	kindGateway   gatewayv1.Kind = "Gateway"
	kindService   gatewayv1.Kind = "Service"
)

// listener is one listener of a Gateway, as it was judged, with the routes that
// came to it.
type listener struct {
	spec       gatewayv1.Listener
	generation int64
	refused    verdict
	// conflict is set when another listener is for the same port and host.
	conflict bool
	// kinds are the kinds of routes that may come, and badKind names one that was
	// asked for and that there is no support for.
	kinds   []gatewayv1.RouteGroupKind
	badKind string
	// namespaces are those that routes may come from; nil means all.
	namespaces map[string]bool
	attached   []attachment
}

// attachment is a route that was accepted by a listener.
type attachment struct {
	route      types.NamespacedName
	domains    []string
	candidates []candidate
}

func judgeListener(object *gatewayv1.Gateway, index int, in Input) *listener {
	l := &listener{spec: object.Spec.Listeners[index], generation: object.Generation}
	for i, other := range object.Spec.Listeners {
		l.conflict = l.conflict || i != index && other.Port == l.spec.Port &&
			strings.EqualFold(hostOf(other), hostOf(l.spec))
	}
	l.judgeKinds()
	l.refused = l.refuse(in.Options)
	var bad error
	l.namespaces, bad = allowedNamespaces(l.spec.AllowedRoutes, object.Namespace, in)
	if bad != nil && l.refused.none() {
		l.refused = because(gatewayv1.ListenerReasonUnsupportedValue, bad.Error())
	}
	return l
}

func hostOf(l gatewayv1.Listener) string {
	if l.Hostname == nil {
		return ""
	}
	return string(*l.Hostname)
}

func (l *listener) refuse(o Options) verdict {
	ports := o.Ports
	if len(ports) == 0 {
		ports = []int32{80}
	}
	switch {
	case l.spec.Protocol != gatewayv1.HTTPProtocolType:
		return because(gatewayv1.ListenerReasonUnsupportedProtocol,
			fmt.Sprintf("protocol %s is not supported yet: use HTTP", l.spec.Protocol))
	case l.spec.TLS != nil:
		return because(gatewayv1.ListenerReasonUnsupportedValue, unsupportedField("tls"))
	case !slices.Contains(ports, l.spec.Port):
		return because(gatewayv1.ListenerReasonPortUnavailable,
			fmt.Sprintf("the gateway's Service does not forward port %d, only %s", l.spec.Port, list(ports)))
	case l.conflict:
		return because(gatewayv1.ListenerReasonHostnameConflict,
			fmt.Sprintf("another listener has port %d and the same hostname", l.spec.Port))
	default:
		return verdict{}
	}
}

func list(ports []int32) string {
	words := make([]string, 0, len(ports))
	for _, p := range ports {
		words = append(words, fmt.Sprint(p))
	}
	return strings.Join(words, ", ")
}

// judgeKinds finds the kinds of routes that are both asked for and supported.
func (l *listener) judgeKinds() {
	group := gatewayv1.Group(gatewayv1.GroupName)
	supported := gatewayv1.RouteGroupKind{Group: &group, Kind: kindHTTPRoute}
	if l.spec.AllowedRoutes == nil || len(l.spec.AllowedRoutes.Kinds) == 0 {
		l.kinds = []gatewayv1.RouteGroupKind{supported}
		return
	}
	l.kinds = []gatewayv1.RouteGroupKind{}
	for _, k := range l.spec.AllowedRoutes.Kinds {
		switch {
		case k.Kind != kindHTTPRoute || k.Group != nil && *k.Group != group:
			l.badKind = string(k.Kind)
		case len(l.kinds) == 0:
			l.kinds = append(l.kinds, supported)
		}
	}
}

// allowedNamespaces are those that routes may come from; nil means all.
func allowedNamespaces(allowed *gatewayv1.AllowedRoutes, own string, in Input) (map[string]bool, error) {
	from := gatewayv1.NamespacesFromSame
	if allowed != nil && allowed.Namespaces != nil && allowed.Namespaces.From != nil {
		from = *allowed.Namespaces.From
	}
	switch from {
	case gatewayv1.NamespacesFromAll:
		return nil, nil
	case gatewayv1.NamespacesFromSame:
		return map[string]bool{own: true}, nil
	case gatewayv1.NamespacesFromSelector:
		selector, err := metav1.LabelSelectorAsSelector(allowed.Namespaces.Selector)
		if err != nil {
			return map[string]bool{}, fmt.Errorf("read allowedRoutes.namespaces.selector: %w", err)
		}
		chosen := map[string]bool{}
		for _, namespace := range in.Namespaces {
			chosen[namespace.Name] = selector.Matches(labels.Set(namespace.Labels))
		}
		return chosen, nil
	case gatewayv1.NamespacesFromNone:
		return map[string]bool{}, nil
	default:
		return map[string]bool{}, fmt.Errorf("allowedRoutes.namespaces.from %s is not supported yet", from)
	}
}

// admits says whether HTTPRoutes of a namespace may come.
func (l *listener) admits(namespace string) bool {
	return len(l.kinds) > 0 && (l.namespaces == nil || l.namespaces[namespace])
}

func (l *listener) status(gatewayRefused verdict) gatewayv1.ListenerStatus {
	status := gatewayv1.ListenerStatus{
		Name:           l.spec.Name,
		SupportedKinds: l.kinds,
		AttachedRoutes: int32(len(l.attached)),
	}
	judged, accepted := l.refused, l.refused.none()
	if accepted {
		judged = because(gatewayv1.ListenerReasonAccepted, "the listener is served")
	}
	resolved := because(gatewayv1.ListenerReasonResolvedRefs, "all references are resolved")
	if l.badKind != "" {
		resolved = because(gatewayv1.ListenerReasonInvalidRouteKinds,
			fmt.Sprintf("routes of kind %s are not supported yet: only HTTPRoute is", l.badKind))
	}
	conflict := because(gatewayv1.ListenerReasonNoConflicts, "no other listener is for the same port and hostname")
	if l.conflict {
		conflict = because(gatewayv1.ListenerReasonHostnameConflict,
			fmt.Sprintf("another listener has port %d and the same hostname", l.spec.Port))
	}
	programmed := accepted && gatewayRefused.none()
	program := because(gatewayv1.ListenerReasonProgrammed, "the gateway's proxies get this configuration")
	switch {
	case !accepted:
		program = because(gatewayv1.ListenerReasonInvalid, l.refused.message)
	case !programmed:
		program = because(gatewayv1.ListenerReasonInvalid, gatewayRefused.message)
	}
	g := l.generation
	status.Conditions = conditions(
		condition(gatewayv1.ListenerConditionAccepted, accepted, judged.reason, judged.message, g),
		condition(gatewayv1.ListenerConditionConflicted, l.conflict, conflict.reason, conflict.message, g),
		condition(gatewayv1.ListenerConditionProgrammed, programmed, program.reason, program.message, g),
		condition(gatewayv1.ListenerConditionResolvedRefs, l.badKind == "", resolved.reason, resolved.message, g),
	)
	return status
}
