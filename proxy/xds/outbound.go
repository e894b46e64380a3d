package xds

import (
	"fmt"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

const (
	// outboundPort is where connections from a pod are redirected to.
	outboundPort = 15001
	// OutboundName names a sidecar's listener for connections from its pod, and the
	// prefix of their statistics.
	OutboundName = "outbound"
	// PassthroughName names the cluster that stands for whatever the mesh does not
	// know.
	PassthroughName = "passthrough"
	// BlackholeName names a cluster that leads nowhere.
	BlackholeName = "blackhole"
	// outboundInspection is how long a port that nobody has said anything of waits for
	// the first bytes of a client that is on the same machine. A client that waits for
	// the server to speak first is late by as much.
	outboundInspection = 100 * time.Millisecond
)

// makeOutbound makes the listener for the connections from a pod. It passes each on
// to the listener of the Service that it was for, and those for what the mesh does
// not know to where they were going.
func (m mesh) makeOutbound(s ir.Sidecar) (*listenerv3.Listener, error) {
	listener, err := m.bound(OutboundName, outboundPort, corev3.TrafficDirection_OUTBOUND)
	if err != nil {
		return nil, err
	}
	listener.UseOriginalDst = wrapperspb.Bool(true)
	unknown := PassthroughName
	if s.Egress.Block {
		unknown = BlackholeName
	}
	logs, err := outboundConnectionLogs(s.Telemetry)
	if err != nil {
		return nil, err
	}
	filter, err := makeTCPProxy(OutboundName, unknown, logs...)
	if err != nil {
		return nil, err
	}
	listener.DefaultFilterChain = &listenerv3.FilterChain{Name: unknown, Filters: []*listenerv3.Filter{filter}}
	return listener, nil
}

// bound makes a listener for connections that were redirected to a port. Who asks for
// that very port would be sent round in circles, and is refused.
func (m mesh) bound(name string, port uint32, direction corev3.TrafficDirection) (*listenerv3.Listener, error) {
	filter, err := makeTCPProxy(name, BlackholeName)
	if err != nil {
		return nil, err
	}
	listener := &listenerv3.Listener{
		Name:             name,
		StatPrefix:       name,
		Address:          makeAddress("0.0.0.0", port),
		TrafficDirection: direction,
	}
	for _, own := range []uint32{outboundPort, inboundPort} {
		listener.FilterChains = append(listener.FilterChains, &listenerv3.FilterChain{
			Name:             fmt.Sprintf("%s-%d", BlackholeName, own),
			FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(own)},
			Filters:          []*listenerv3.Filter{filter},
		})
	}
	if m.ipv6 {
		listener.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: makeAddress("::", port)}}
	}
	return listener, nil
}

// target is where the connections to a port of a Service go.
type target struct {
	// http is what is done with requests, nil where none can be told apart.
	http *hcmv3.HttpConnectionManager
	// tcp is the cluster of connections that are only bytes; there is none where all
	// are requests.
	tcp string
	// idle is how long one of those may go without a byte.
	idle time.Duration
	// routes are those that requests are sent by, direct the cluster where there are
	// none.
	routes, direct string
	// telemetry is what is told of it, in http already.
	telemetry ir.Telemetry
}

// references are the routes that a listener waits for.
func (t target) references() []string {
	if t.routes == "" {
		return nil
	}
	return []string{t.routes}
}

// clusters are those that a listener leads to without routes.
func (t target) clusters() []string {
	var out []string
	for _, name := range []string{t.tcp, t.direct} {
		if name != "" {
			out = append(out, name)
		}
	}
	if t.http != nil && t.telemetry.TracingPercent > 0 {
		out = append(out, CollectorName)
	}
	return out
}

// makeServiceListener makes the listener for one address or two that clients know. It
// binds nothing: connections come to it from the one that does.
func makeServiceListener(name string, addresses []string, port uint32, t target) (*listenerv3.Listener, error) {
	listener := &listenerv3.Listener{
		Name:             name,
		StatPrefix:       OutboundName,
		Address:          makeAddress(addresses[0], port),
		BindToPort:       wrapperspb.Bool(false),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
	}
	for _, other := range addresses[1:] {
		listener.AdditionalAddresses = append(listener.AdditionalAddresses, &listenerv3.AdditionalAddress{Address: makeAddress(other, port)})
	}
	var requests, bytes []*listenerv3.Filter
	if t.http != nil {
		filter, err := makeFilter(hcmName, t.http)
		if err != nil {
			return nil, err
		}
		requests = []*listenerv3.Filter{filter}
	}
	if t.tcp != "" {
		logs, err := outboundConnectionLogs(t.telemetry)
		if err != nil {
			return nil, err
		}
		filter, err := makeIdleTCPProxy(OutboundName, t.tcp, t.idle, logs...)
		if err != nil {
			return nil, err
		}
		bytes = []*listenerv3.Filter{filter}
	}
	switch {
	case bytes == nil:
		listener.FilterChains = []*listenerv3.FilterChain{{Filters: requests}}
	case requests == nil:
		listener.FilterChains = []*listenerv3.FilterChain{{Filters: bytes}}
	default:
		listener.FilterChains = []*listenerv3.FilterChain{{
			Name: "http", FilterChainMatch: &listenerv3.FilterChainMatch{ApplicationProtocols: []string{"http/1.1"}}, Filters: requests,
		}}
		listener.DefaultFilterChain = &listenerv3.FilterChain{Name: "tcp", Filters: bytes}
		return listener, inspect(listener)
	}
	return listener, nil
}

// inspect makes a listener look at the first bytes of a connection.
func inspect(listener *listenerv3.Listener) error {
	inspector, err := makeListenerFilter("envoy.filters.listener.http_inspector", &httpinspectorv3.HttpInspector{})
	if err != nil {
		return err
	}
	listener.ListenerFilters = []*listenerv3.ListenerFilter{inspector}
	listener.ListenerFiltersTimeout = durationpb.New(outboundInspection)
	listener.ContinueOnListenerFiltersTimeout = true
	return nil
}

// makeOutboundManager is what a sidecar does with the requests of its application. As
// little as possible: the application, and the one that it asks, should not notice.
func makeOutboundManager(routes string, telemetry ir.Telemetry) (*hcmv3.HttpConnectionManager, error) {
	manager, err := makeObservedManager(telemetry)
	if err != nil {
		return nil, err
	}
	manager.RouteSpecifier = routesFrom(routes)
	return manager, nil
}

// makeObservedManager reads the requests of the pod, and tells of them what is asked
// for.
func makeObservedManager(telemetry ir.Telemetry) (*hcmv3.HttpConnectionManager, error) {
	manager, err := makeMeshManager(OutboundName)
	if err != nil {
		return nil, err
	}
	if err := countGRPC(manager); err != nil {
		return nil, err
	}
	if telemetry.AccessLog {
		if manager.AccessLog, err = makeLog(outboundRequestLine(), ""); err != nil {
			return nil, err
		}
	}
	if telemetry.TracingPercent > 0 {
		manager.Tracing, err = makeTracing(telemetry.TracingPercent)
	}
	return manager, err
}

// makeMeshManager is what both sides of a connection inside the mesh do.
func makeMeshManager(statPrefix string) (*hcmv3.HttpConnectionManager, error) {
	manager, err := makeManager(statPrefix, &routerv3.Router{SuppressEnvoyHeaders: true})
	if err != nil {
		return nil, err
	}
	// Nobody may command Envoy by x-envoy headers.
	manager.InternalAddressConfig = &hcmv3.HttpConnectionManager_InternalAddressConfig{}
	manager.ServerHeaderTransformation = hcmv3.HttpConnectionManager_PASS_THROUGH
	manager.UpgradeConfigs = []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}}
	manager.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(idleDownstream)}
	manager.StreamIdleTimeout = durationpb.New(idleMesh)
	manager.DelayedCloseTimeout = durationpb.New(closeTimeout)
	// Old clients and scripts speak it; Envoy refuses it by default.
	manager.HttpProtocolOptions = &corev3.Http1ProtocolOptions{AcceptHttp_10: true, DefaultHostForHttp_10: "localhost"}
	return manager, nil
}

// makeOriginal makes a cluster that connects to where a connection was going, and
// speaks what the client spoke.
func makeOriginal(name string) (*clusterv3.Cluster, error) {
	options, err := anypb.New(&httpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(idleUpstream)},
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig{
			UseDownstreamProtocolConfig: &httpv3.HttpProtocolOptions_UseDownstreamHttpConfig{
				HttpProtocolOptions:  &corev3.Http1ProtocolOptions{},
				Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
			},
		},
	})
	if err != nil {
		return nil, err
	}
	return &clusterv3.Cluster{
		Name:                          name,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST},
		LbPolicy:                      clusterv3.Cluster_CLUSTER_PROVIDED,
		ConnectTimeout:                durationpb.New(originalTimeout),
		CircuitBreakers:               &clusterv3.CircuitBreakers{Thresholds: unlimited()},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{httpOptionsName: options},
	}, nil
}

// originalTimeout bounds connecting to what the mesh does not know, which may be far
// away, or to the application. Nothing else is tried after it.
const originalTimeout = 10 * time.Second

func makeBlackhole() *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 BlackholeName,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(time.Second),
	}
}
