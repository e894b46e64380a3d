package xds

import (
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

const (
	tcpProxyName = "envoy.filters.network.tcp_proxy"
	// AllRevisions stands for the revision in the name of the one cluster that all
	// connections to a port of a Service go to which are only bytes. It cannot be a
	// pod-template-hash, which has no dash.
	AllRevisions = "-tcp"
	// idleMesh is how long a connection inside the mesh may go without a byte. Without
	// a mesh nobody would cut it at all; but one whose peer vanished must go some day.
	idleMesh = 24 * time.Hour
)

// makeTCPCluster makes the cluster of all revisions behind one port, for connections
// in which no requests can be told apart. The weights of the revisions are with the
// endpoints: a weight in a listener would end the listener's connections when it
// moves, and these must outlive it.
func (m mesh) makeTCPCluster(name string, service ir.Service) (*clusterv3.Cluster, error) {
	cluster := makeEDSCluster(name)
	cluster.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{
		LocalityConfigSpecifier: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig_{
			LocalityWeightedLbConfig: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig{},
		},
	}
	// It has all revisions, and must not change when one of them becomes stable.
	applyClusterPolicy(cluster, withoutEjection(service.Policy, service.PerRevision))
	return cluster, m.secure(cluster, service.Namespace, alpnTCP)
}

// makeTCPEndpoints makes the endpoints of all revisions, one locality for each, with
// its share of the new connections. One without a weight gets none, but is listed, so
// that connections to its pods stay; one without endpoints is listed, so that whoever
// has acked these bytes has acked these weights.
func makeTCPEndpoints(cluster string, revisions []ir.Revision) *endpointv3.ClusterLoadAssignment {
	assignment := &endpointv3.ClusterLoadAssignment{ClusterName: cluster}
	for _, r := range revisions {
		locality := &endpointv3.LocalityLbEndpoints{
			Locality:    &corev3.Locality{SubZone: r.Name},
			LbEndpoints: makeHosts(r.Endpoints),
		}
		if r.Weight > 0 {
			locality.LoadBalancingWeight = wrapperspb.UInt32(r.Weight)
		}
		assignment.Endpoints = append(assignment.Endpoints, locality)
	}
	return assignment
}

// makeTCPProxy sends the bytes of a connection to a cluster.
func makeTCPProxy(statPrefix, cluster string, logs ...*accesslogv3.AccessLog) (*listenerv3.Filter, error) {
	return makeIdleTCPProxy(statPrefix, cluster, idleMesh, logs...)
}

// idleOf is how long the connections to a Service may go without a byte.
func idleOf(p ir.ServicePolicy) time.Duration {
	if p.Timeouts == nil || p.Timeouts.Idle == 0 {
		return idleMesh
	}
	return p.Timeouts.Idle
}

// makeIdleTCPProxy ends a connection that goes without a byte for so long: both ends of
// it, since the server's sidecar closes what the client's has closed.
func makeIdleTCPProxy(statPrefix, cluster string, idle time.Duration, logs ...*accesslogv3.AccessLog) (*listenerv3.Filter, error) {
	return makeFilter(tcpProxyName, &tcpv3.TcpProxy{
		StatPrefix:       statPrefix,
		ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: cluster},
		IdleTimeout:      durationpb.New(idle),
		AccessLog:        logs,
	})
}

func makeFilter(name string, message proto.Message) (*listenerv3.Filter, error) {
	config, err := anypb.New(message)
	if err != nil {
		return nil, err
	}
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: config}}, nil
}
