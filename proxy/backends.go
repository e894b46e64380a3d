package proxy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// reasonUnsupportedBackend is the reason of ResolvedRefs for a Service without
// pods of its own to route to; the Gateway API has no word for it.
const reasonUnsupportedBackend = "UnsupportedBackend"

// maxWeight is the largest weight of a backend that the Gateway API allows.
const maxWeight = 1_000_000

// backends resolves references to Services.
type backends struct {
	services map[types.NamespacedName]*corev1.Service
	grants   []*gatewayv1.ReferenceGrant
}

// resolve returns a route without a match: the backends of a rule, and the weight
// of those that cannot be reached, with a verdict on each of them.
func (b backends) resolve(namespace string, rule int, refs []gatewayv1.HTTPBackendRef) (ir.Route, []verdict) {
	var route ir.Route
	var problems []verdict
	for i, ref := range refs {
		weight := uint32(1)
		if ref.Weight != nil {
			weight = uint32(min(max(*ref.Weight, 0), maxWeight))
		}
		backend, bad := b.find(namespace, ref.BackendObjectReference)
		if !bad.none() {
			bad.message = fmt.Sprintf("spec.rules[%d].backendRefs[%d]: %s", rule, i, bad.message)
			problems = append(problems, bad)
			route.Invalid += weight
			continue
		}
		same := slices.IndexFunc(route.Backends, func(o ir.Backend) bool {
			return o.Service == backend.Service && o.Port == backend.Port
		})
		if same >= 0 {
			route.Backends[same].Weight += weight
			continue
		}
		backend.Weight = weight
		route.Backends = append(route.Backends, backend)
	}
	slices.SortFunc(route.Backends, func(a, b ir.Backend) int {
		return cmp.Or(cmp.Compare(a.Service.Namespace, b.Service.Namespace),
			cmp.Compare(a.Service.Name, b.Service.Name), cmp.Compare(a.Port, b.Port))
	})
	return route, problems
}

// find resolves one reference; its weight is left to the caller.
func (b backends) find(from string, ref gatewayv1.BackendObjectReference) (ir.Backend, verdict) {
	if ref.Group != nil && *ref.Group != "" || ref.Kind != nil && *ref.Kind != kindService {
		return ir.Backend{}, because(gatewayv1.RouteReasonInvalidKind, "only Services can be backends")
	}
	key := types.NamespacedName{Namespace: from, Name: string(ref.Name)}
	if ref.Namespace != nil {
		key.Namespace = string(*ref.Namespace)
	}
	if key.Namespace != from && !b.granted(from, key) {
		return ir.Backend{}, because(gatewayv1.RouteReasonRefNotPermitted, fmt.Sprintf(
			"no ReferenceGrant in namespace %s lets HTTPRoutes of namespace %s refer to Service %s", key.Namespace, from, key.Name))
	}
	service := b.services[key]
	if service == nil {
		return ir.Backend{}, because(gatewayv1.RouteReasonBackendNotFound, fmt.Sprintf("there is no Service %s", key))
	}
	if !selectsPods(service) {
		return ir.Backend{}, because(reasonUnsupportedBackend, fmt.Sprintf(
			"Service %s selects no pods: only Services with a selector are supported yet", key))
	}
	if bad := checkPort(service, ref.Port); !bad.none() {
		return ir.Backend{}, bad
	}
	return ir.Backend{
		Service: ir.ServiceKey{Namespace: key.Namespace, Name: key.Name},
		Port:    uint32(*ref.Port),
	}, verdict{}
}

func checkPort(service *corev1.Service, number *gatewayv1.PortNumber) verdict {
	if number == nil {
		return because(gatewayv1.RouteReasonBackendNotFound, "a port is needed to refer to a Service")
	}
	ports := httpPorts(service)
	i := slices.IndexFunc(ports, func(p corev1.ServicePort) bool { return p.Port == *number })
	if i < 0 {
		return because(gatewayv1.RouteReasonBackendNotFound,
			fmt.Sprintf("Service %s has no TCP port %d", keyOf(service), *number))
	}
	if p := ports[i].AppProtocol; p != nil && isTLS(*p) {
		return because(gatewayv1.RouteReasonUnsupportedProtocol,
			fmt.Sprintf("port %d of Service %s has appProtocol %s: TLS to backends is not supported yet", *number, keyOf(service), *p))
	}
	return verdict{}
}

func isTLS(appProtocol string) bool {
	switch strings.ToLower(appProtocol) {
	case "https", "tls", "kubernetes.io/wss", "wss", "grpcs":
		return true
	default:
		return false
	}
}

// granted says whether the owner of the Service's namespace lets HTTPRoutes of
// another namespace refer to it.
func (b backends) granted(from string, service types.NamespacedName) bool {
	for _, grant := range b.grants {
		if grant.Namespace == service.Namespace && trusts(grant, from) && covering(grant, service.Name) {
			return true
		}
	}
	return false
}

func trusts(grant *gatewayv1.ReferenceGrant, from string) bool {
	return slices.ContainsFunc(grant.Spec.From, func(f gatewayv1.ReferenceGrantFrom) bool {
		return f.Group == gatewayv1.GroupName && f.Kind == kindHTTPRoute && string(f.Namespace) == from
	})
}

func covering(grant *gatewayv1.ReferenceGrant, service string) bool {
	return slices.ContainsFunc(grant.Spec.To, func(t gatewayv1.ReferenceGrantTo) bool {
		return t.Group == "" && t.Kind == kindService && (t.Name == nil || *t.Name == "" || string(*t.Name) == service)
	})
}
