package proxy

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// Input is the part of the cluster that decides what the proxies do. Order does
// not matter, and nothing in it is changed.
type Input struct {
	Rollouts []*v1alpha1.Rollout
	Services []*corev1.Service
	// Pods may be stripped down to namespace, name, labels, the annotation
	// crossfade.dev/exclude-inbound-ports, deletionTimestamp, the ports of containers
	// (and restartPolicy of init containers), status.phase, status.podIP,
	// status.podIPs and the condition Ready.
	Pods []*corev1.Pod
	// Namespaces are needed for their labels, by which listeners may select routes.
	Namespaces      []*corev1.Namespace
	GatewayClasses  []*gatewayv1.GatewayClass
	Gateways        []*gatewayv1.Gateway
	HTTPRoutes      []*gatewayv1.HTTPRoute
	ReferenceGrants []*gatewayv1.ReferenceGrant
	MeshPolicies    []*v1alpha1.MeshPolicy
	Options         Options
}

// Options are the administrator's choices.
type Options struct {
	// Gateway is the one Gateway that is served.
	Gateway types.NamespacedName
	// ControllerName tells our GatewayClasses from others'.
	ControllerName gatewayv1.GatewayController
	// Ports are those that the gateway's Service forwards, each to BindPort of it;
	// a listener on another port could never be reached. None means port 80 only.
	Ports []int32
	// TrustDomain is the part of all identities that they have in common. Where it is
	// empty there is no mesh: nothing is encrypted, and no sidecar is served.
	TrustDomain string
	// Collector is where sidecars send spans; the zero value turns tracing off.
	Collector ir.Collector
}

// The names that Crossfade is installed with.
const (
	DefaultControllerName = "crossfade.dev/gateway-controller"
	DefaultNamespace      = "crossfade-system"
	DefaultGateway        = "crossfade"
)

// DefaultOptions returns the names that Crossfade is installed with.
func DefaultOptions() Options {
	return Options{
		Gateway:        types.NamespacedName{Namespace: DefaultNamespace, Name: DefaultGateway},
		ControllerName: DefaultControllerName,
	}
}

// Output is what follows from an Input. Conditions have no lastTransitionTime:
// there is no clock here, and only the writer knows what was written before.
type Output struct {
	Config ir.Config
	// Sidecars has the shape (see ir.Sidecar) of each pod that has a sidecar.
	Sidecars map[types.NamespacedName]string
	// Effective says for every Rollout with a record what is rendered for it.
	Effective map[types.NamespacedName]Effective
	// GatewayClasses has the conditions of each class that is ours, by name.
	GatewayClasses map[string]gatewayv1.GatewayClassStatus
	// Gateways has the status of each Gateway of our classes. Addresses are left to
	// the writer.
	Gateways map[types.NamespacedName]gatewayv1.GatewayStatus
	// HTTPRoutes has our parents' part of the status of each route that refers to a
	// Gateway of ours. Parents of other controllers must be kept by the writer, and
	// from a route that is not listed here ours must be removed.
	HTTPRoutes map[types.NamespacedName]gatewayv1.HTTPRouteStatus
	// MeshPolicies has the conditions Accepted and Conflicted of each policy.
	MeshPolicies map[types.NamespacedName][]metav1.Condition
}

// Effective is what is rendered for one Rollout.
type Effective struct {
	// Service is the one whose requests are divided.
	Service types.NamespacedName
	// Weight is the canary's share that is rendered, the lowest of any port, out of
	// Total. It is below the record's weight while canary pods are missing, and above
	// it only when stable has no ready pod at all.
	Weight, Total uint32
	// Revisions are those that the proxies get clusters of, with whatever weight,
	// sorted. There are none when the Service is gone or has no pods to select.
	Revisions []string
	// Lacking are the ports that stable serves and the canary, though it has ready
	// pods, does not: "9000 (admin)". On these the canary's weight is 0, and so is
	// Weight, whatever the record says.
	Lacking []string
	// ByConnection are the ports, written in the same way, on which sidecars divide
	// connections: they are TCP, and no requests can be told apart.
	ByConnection []string
}

// Build says what the proxies should do. Equal inputs, in whatever order, give
// equal outputs.
func Build(in Input) Output {
	services := renderServices(in)
	gateways, statuses := renderGateways(in)
	policies := applyPolicies(in)
	policies.ask(services.rendered, stableRevisions(in))
	sidecars, shapes := renderSidecars(in, policies)
	return Output{
		Config: ir.Config{
			TrustDomain: in.Options.TrustDomain,
			IPv6:        hasIPv6(in.Services),
			Collector:   in.Options.Collector,
			Services:    services.rendered,
			Gateways:    gateways,
			Sidecars:    sidecars,
		},
		Sidecars:       shapes,
		Effective:      services.effective,
		GatewayClasses: statuses.classes,
		Gateways:       statuses.gateways,
		HTTPRoutes:     statuses.routes,
		MeshPolicies:   policies.conditions(),
	}
}

// object is what all kinds have that is needed for an order.
type object interface {
	GetNamespace() string
	GetName() string
}

// sorted returns the objects by namespace, then name. The caller's list stays as
// it is: it may be shared with an informer's cache.
func sorted[T object](objects []T) []T {
	return slices.SortedFunc(slices.Values(objects), func(a, b T) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
}

func keyOf(o object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}
