package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// makeEndpoints makes the endpoints of a cluster. A cluster without any has them,
// too, empty: proxies that were told of endpoints keep them until they are told of
// others.
func makeEndpoints(cluster string, endpoints []ir.Endpoint) *endpointv3.ClusterLoadAssignment {
	assignment := &endpointv3.ClusterLoadAssignment{ClusterName: cluster}
	if len(endpoints) == 0 {
		return assignment
	}
	// gRPC clients ignore a locality without a weight and refuse one without an id;
	// the weight means nothing while there is one locality.
	locality := &endpointv3.LocalityLbEndpoints{
		Locality:            &corev3.Locality{},
		LoadBalancingWeight: wrapperspb.UInt32(1),
		LbEndpoints:         makeHosts(endpoints),
	}
	assignment.Endpoints = []*endpointv3.LocalityLbEndpoints{locality}
	return assignment
}

// makeHosts makes one host of each endpoint, and says of those with a sidecar that
// they have one.
func makeHosts(endpoints []ir.Endpoint) []*endpointv3.LbEndpoint {
	hosts := make([]*endpointv3.LbEndpoint, 0, len(endpoints))
	for _, e := range endpoints {
		host := &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
				Endpoint: &endpointv3.Endpoint{Address: makeAddress(e.IP, e.Port)},
			},
		}
		if e.Meshed {
			host.Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{transportMatch: meshedMetadata()}}
		}
		hosts = append(hosts, host)
	}
	return hosts
}

func makeAddress(host string, port uint32) *corev3.Address {
	return &corev3.Address{
		Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{
				Address:       host,
				PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
			},
		},
	}
}
