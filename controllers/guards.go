package controllers

import (
	"context"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/controllers/outbound"
)

// Guards stand before all that leaves the controller but to the API server and the
// proxies: one for each who names the addresses.
type Guards struct {
	// Hooks lets out what users name in Rollouts.
	Hooks *outbound.Guard
	// Targets lets out what the administrator's file names.
	Targets *outbound.Guard
	// Prometheus lets out what the administrator's flag names: beside the controller, too.
	Prometheus *outbound.Guard
}

// NewGuards makes them of the administrator's choices for hooks; the API server's
// addresses are those that the caches show.
func NewGuards(cache client.Reader, o outbound.Options) (Guards, error) {
	o.Forbidden = apiServer(cache)
	hooks, err := outbound.New(o)
	if err != nil {
		return Guards{}, err
	}
	targets := hooks.Derive(func(o *outbound.Options) { o.Hosts, o.Trusted = nil, true })
	return Guards{
		Hooks: hooks, Targets: targets,
		// It only dials: whom to believe there say flags of its own, to its own transport.
		Prometheus: targets.Derive(func(o *outbound.Options) { o.Loopback = true }),
	}, nil
}

// apiServer are the addresses of the API server: of its Service and what is behind
// it, as the caches show them.
func apiServer(cache client.Reader) func(context.Context) []netip.AddrPort {
	return func(ctx context.Context) []netip.AddrPort {
		var out []netip.AddrPort
		service := &corev1.Service{}
		if err := cache.Get(ctx, types.NamespacedName{Namespace: corev1.NamespaceDefault, Name: "kubernetes"}, service); err == nil {
			for _, p := range service.Spec.Ports {
				out = append(out, atPort(append(service.Spec.ClusterIPs, service.Spec.ClusterIP), p.Port)...)
			}
		}
		list := &discoveryv1.EndpointSliceList{}
		if err := cache.List(ctx, list, client.InNamespace(corev1.NamespaceDefault), client.MatchingLabels{discoveryv1.LabelServiceName: "kubernetes"}); err == nil {
			for i := range list.Items {
				out = append(out, endpointsOf(&list.Items[i])...)
			}
		}
		return out
	}
}

func endpointsOf(slice *discoveryv1.EndpointSlice) []netip.AddrPort {
	var out []netip.AddrPort
	for _, p := range slice.Ports {
		if p.Port == nil {
			continue
		}
		for _, e := range slice.Endpoints {
			out = append(out, atPort(e.Addresses, *p.Port)...)
		}
	}
	return out
}

// atPort reads addresses; what is none, as "None" is not, is left out.
func atPort(addresses []string, port int32) []netip.AddrPort {
	var out []netip.AddrPort
	for _, text := range addresses {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, netip.AddrPortFrom(a, uint16(port)))
		}
	}
	return out
}
