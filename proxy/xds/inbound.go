package xds

import (
	"fmt"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

const (
	// inboundPort is where connections to a pod are redirected to.
	inboundPort = 15006
	// InboundName names a sidecar's listener for connections to its pod, the cluster
	// that stands for the pod's applications, and the prefix of their statistics.
	InboundName = "inbound"
	// inboundSource and inboundSource6 are what the connections to the application are
	// made from. By them they are told from others that the proxy makes, and are not
	// redirected to it again.
	inboundSource  = "127.0.0.6"
	inboundSource6 = "::6"
	// inboundInspection is how long the first bytes of a connection are waited for that
	// say whether it is one of the mesh's. What says nothing for so long waits for the
	// server to speak first, and is cleartext. A handshake whose first packet was lost
	// is repeated after 0.2, 0.6 and 1.4 s.
	inboundInspection = 2 * time.Second
)

// makeInbound makes the listener for the connections to a pod. It knows neither the
// pod's ports nor what they speak: a client in the mesh says so in its handshake, and
// cleartext is told by its first bytes.
func (m mesh) makeInbound(s ir.Sidecar) (*listenerv3.Listener, error) {
	listener, err := m.bound(InboundName, inboundPort, corev3.TrafficDirection_INBOUND)
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name    string
		message proto.Message
	}{
		{"envoy.filters.listener.original_dst", &originaldstv3.OriginalDst{}},
		{"envoy.filters.listener.tls_inspector", &tlsinspectorv3.TlsInspector{}},
		{"envoy.filters.listener.http_inspector", &httpinspectorv3.HttpInspector{}},
	} {
		filter, err := makeListenerFilter(f.name, f.message)
		if err != nil {
			return nil, err
		}
		listener.ListenerFilters = append(listener.ListenerFilters, filter)
	}
	listener.ListenerFiltersTimeout = durationpb.New(inboundInspection)
	listener.ContinueOnListenerFiltersTimeout = true
	if listener.AccessLog, err = deniedConnectionLog(); err != nil {
		return nil, err
	}
	for _, door := range m.makeDoors(s.Inbound.Access) {
		for _, chain := range inboundChains(s.Inbound.MTLS) {
			if chain.codec == nil && !door.lets(chain.alpn != "") {
				continue
			}
			made, err := m.makeInboundChain(chain, s, door)
			if err != nil {
				return nil, err
			}
			listener.FilterChains = append(listener.FilterChains, made)
		}
	}
	return listener, nil
}

// inboundChain is one kind of connection to a pod.
type inboundChain struct {
	name string
	// alpn is the name of a connection of the mesh; it is empty for cleartext, and for
	// TLS that is the application's own affair.
	alpn  string
	match *listenerv3.FilterChainMatch
	// codec is what requests are read by, nil where there are only bytes.
	codec *hcmv3.HttpConnectionManager_CodecType
}

// inboundChains are the kinds of connections that are taken; all others are closed.
func inboundChains(mode ir.MTLSMode) []inboundChain {
	http1, http2 := hcmv3.HttpConnectionManager_HTTP1.Enum(), hcmv3.HttpConnectionManager_HTTP2.Enum()
	chains := []inboundChain{
		{name: "mtls-http1", alpn: alpnHTTP1, match: matchTLS(alpnHTTP1), codec: http1},
		{name: "mtls-http2", alpn: alpnHTTP2, match: matchTLS(alpnHTTP2), codec: http2},
		{name: "mtls-tcp", alpn: alpnTCP, match: matchTLS(alpnTCP)},
	}
	if mode == ir.Strict {
		return chains
	}
	// Requests in cleartext are read, too, so that nobody outside the mesh can pretend
	// to be in it by writing the header with the peer's identity himself.
	return append(chains,
		inboundChain{name: "plain-http1", match: matchRaw("http/1.0", "http/1.1"), codec: http1},
		inboundChain{name: "plain-http2", match: matchRaw("h2c"), codec: http2},
		inboundChain{name: "plain-tcp", match: matchRaw()},
		inboundChain{name: "tls-of-the-application", match: matchTLS()},
	)
}

func matchTLS(alpn ...string) *listenerv3.FilterChainMatch {
	return &listenerv3.FilterChainMatch{TransportProtocol: "tls", ApplicationProtocols: alpn}
}

func matchRaw(protocols ...string) *listenerv3.FilterChainMatch {
	return &listenerv3.FilterChainMatch{TransportProtocol: "raw_buffer", ApplicationProtocols: protocols}
}

func (m mesh) makeInboundChain(c inboundChain, s ir.Sidecar, d door) (*listenerv3.FilterChain, error) {
	chain := &listenerv3.FilterChain{Name: c.name, FilterChainMatch: c.match}
	if d.port > 0 {
		chain.Name += fmt.Sprintf("-%d", d.port)
		chain.FilterChainMatch.DestinationPort = wrapperspb.UInt32(d.port)
	}
	var err error
	if c.alpn != "" {
		var peers []*matcherv3.StringMatcher
		if c.codec == nil {
			peers = d.peers
		}
		if chain.TransportSocket, err = m.serverSocket(c.alpn, peers); err != nil {
			return nil, err
		}
	}
	if c.codec == nil {
		chain.Filters, err = makeInboundTCP(s.Telemetry)
		return chain, err
	}
	manager, err := m.makeInboundManager(s, c)
	if err != nil {
		return nil, err
	}
	filter, err := makeFilter(hcmName, manager)
	chain.Filters = []*listenerv3.Filter{filter}
	return chain, err
}

func makeInboundTCP(telemetry ir.Telemetry) ([]*listenerv3.Filter, error) {
	logs, err := connectionLogs(telemetry)
	if err != nil {
		return nil, err
	}
	tcp, err := makeTCPProxy(InboundName, InboundName, logs...)
	return []*listenerv3.Filter{tcp}, err
}

// makeInboundManager reads requests to the pod and passes them on. The application
// learns who asks from x-forwarded-client-cert, and from nobody else.
func (m mesh) makeInboundManager(s ir.Sidecar, c inboundChain) (*hcmv3.HttpConnectionManager, error) {
	manager, err := makeMeshManager(InboundName)
	if err != nil {
		return nil, err
	}
	filters, err := inboundHTTPFilters()
	if err != nil {
		return nil, err
	}
	manager.HttpFilters = append(filters, manager.HttpFilters...)
	if manager.AccessLog, err = requestLogs(s.Telemetry); err != nil {
		return nil, err
	}
	if m.effective(s.Telemetry).TracingPercent > 0 {
		// The share is the routes'.
		if manager.Tracing, err = makeTracing(0); err != nil {
			return nil, err
		}
	}
	manager.CodecType = *c.codec
	manager.RouteSpecifier = routesFrom(InboundName)
	manager.LocalReplyConfig = tellUnsent()
	// Policies judge paths: what they read must be what the application reads.
	manager.NormalizePath = wrapperspb.Bool(true)
	if comparesPaths(s.Inbound.Access) {
		// Some applications take %2F for a slash and others do not. Where it matters who
		// is right, such a path is refused.
		manager.PathWithEscapedSlashesAction = hcmv3.HttpConnectionManager_REJECT_REQUEST
	}
	if c.alpn == "" {
		manager.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE
		return manager, nil
	}
	manager.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE_SET
	manager.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{Uri: true}
	return manager, nil
}

// tellUnsent marks the answer to a request that the application cannot have seen,
// because nobody listened: a container that restarts, or one that ends before all
// clients have heard of it. Without a sidecar their connection would be refused, and
// they would try another pod.
func tellUnsent() *hcmv3.LocalReplyConfig {
	return &hcmv3.LocalReplyConfig{Mappers: []*hcmv3.ResponseMapper{{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
			ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{"UF"}},
		}},
		HeadersToAdd: []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: unsentHeader, Value: "true"},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}},
	}}}
}

// routesTo sends all requests to one cluster. They never change, so they may be part
// of the listener.
func routesTo(cluster string) *hcmv3.HttpConnectionManager_RouteConfig {
	return &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
		Name: cluster,
		VirtualHosts: []*routev3.VirtualHost{{
			Name: cluster, Domains: []string{"*"},
			Routes: []*routev3.Route{{
				Match: makeMatch(ir.Match{Path: ir.PathMatch{Value: "/"}}),
				Action: &routev3.Route_Route{Route: &routev3.RouteAction{
					ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster},
					Timeout:          durationpb.New(0),
					// The other side may close an idle connection just when it is used again.
					RetryPolicy: &routev3.RetryPolicy{RetryOn: "reset-before-request", NumRetries: wrapperspb.UInt32(1)},
				}},
			}},
		}},
	}}
}

// makeInboundCluster stands for the applications of the pod, wherever they listen.
func makeInboundCluster() (*clusterv3.Cluster, error) {
	cluster, err := makeOriginal(InboundName)
	if err != nil {
		return nil, err
	}
	cluster.UpstreamBindConfig = &corev3.BindConfig{
		SourceAddress: makeAddress(inboundSource, 0).GetSocketAddress(),
		ExtraSourceAddresses: []*corev3.ExtraSourceAddress{{
			Address: makeAddress(inboundSource6, 0).GetSocketAddress(),
		}},
	}
	return cluster, nil
}

func makeListenerFilter(name string, message proto.Message) (*listenerv3.ListenerFilter, error) {
	config, err := anypb.New(message)
	if err != nil {
		return nil, err
	}
	return &listenerv3.ListenerFilter{
		Name:       name,
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: config},
	}, nil
}
