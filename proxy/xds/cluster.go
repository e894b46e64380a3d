package xds

import (
	"math"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

const (
	// connectTimeout is for the handshake of TLS, too, which two starved pods need CPU
	// for: all requests that wait for a connection fail with it, and each new try is
	// another handshake. Two lost SYNs are sent again in it, after 1 and 3 s, before
	// the request is tried at another pod. With 2 s a machine with twenty times the
	// work that it can do lost requests by this alone.
	connectTimeout = 5 * time.Second
	// endpointsTimeout bounds how long a cluster whose endpoints do not come holds up
	// all other clusters of a proxy. Envoy's default is 15 s.
	endpointsTimeout = 2 * time.Second
	// idleUpstream is how long a connection to a pod is kept without a request over
	// HTTP/1.1. Widely used servers close idle connections after 5 s, and a request
	// that crosses the close is lost and must not be repeated; a connection inside a
	// cluster costs less than that. HTTP/2 says goodbye properly and needs no bound.
	idleUpstream = 4 * time.Second

	httpOptionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
)

// makeCluster makes the cluster of one revision behind one port. It depends on
// nothing but the Service's names, protocol and policy, so that it stays the same,
// byte for byte, for the life of the revision.
func (m mesh) makeCluster(name string, service ir.Service, protocol ir.Protocol) (*clusterv3.Cluster, error) {
	options, err := anypb.New(makeUpstreamOptions(protocol))
	if err != nil {
		return nil, err
	}
	cluster := makeEDSCluster(name)
	cluster.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptionsName: options}
	applyClusterPolicy(cluster, service.Policy)
	alpn := alpnHTTP1
	if protocol == ir.HTTP2 {
		alpn = alpnHTTP2
	}
	return cluster, m.secure(cluster, service.Namespace, alpn)
}

// makeEDSCluster is what the clusters of all Services have in common.
func makeEDSCluster(name string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{
			EdsConfig: makeConfigSource(durationpb.New(endpointsTimeout)),
		},
		ConnectTimeout:  durationpb.New(connectTimeout),
		LbPolicy:        clusterv3.Cluster_LEAST_REQUEST,
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: unlimited()},
		// A pod that was withdrawn is gone, whatever was thought of its health.
		IgnoreHealthOnHostRemoval: true,
	}
}

// unlimited turns circuit breakers off. Envoy's defaults (1024 requests, three
// retries at a time) would turn load into errors that look like the canary's.
func unlimited() []*clusterv3.CircuitBreakers_Thresholds {
	var thresholds []*clusterv3.CircuitBreakers_Thresholds
	for _, priority := range []corev3.RoutingPriority{corev3.RoutingPriority_DEFAULT, corev3.RoutingPriority_HIGH} {
		thresholds = append(thresholds, &clusterv3.CircuitBreakers_Thresholds{
			Priority:           priority,
			MaxConnections:     wrapperspb.UInt32(math.MaxUint32),
			MaxPendingRequests: wrapperspb.UInt32(math.MaxUint32),
			MaxRequests:        wrapperspb.UInt32(math.MaxUint32),
			MaxRetries:         wrapperspb.UInt32(math.MaxUint32),
		})
	}
	return thresholds
}

func makeUpstreamOptions(protocol ir.Protocol) *httpv3.HttpProtocolOptions {
	if protocol == ir.HTTP2 {
		return explicitHTTP2(nil)
	}
	return &httpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(idleUpstream)},
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
					HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
				},
			},
		},
	}
}

func explicitHTTP2(keepalive *corev3.KeepaliveSettings) *httpv3.HttpProtocolOptions {
	return &httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{ConnectionKeepalive: keepalive},
				},
			},
		},
	}
}

// makeConfigSource says that a resource comes over the one aggregated stream.
func makeConfigSource(timeout *durationpb.Duration) *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
		InitialFetchTimeout:   timeout,
	}
}
