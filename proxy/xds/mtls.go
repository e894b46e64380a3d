package xds

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// The names by which proxies of the mesh know each other's connections, and what is
// in them, from the TLS handshake: the server need not know what a port speaks, and
// TLS of an application never looks like one of these.
const (
	alpnHTTP1 = "crossfade-http/1.1"
	alpnHTTP2 = "crossfade-h2"
	alpnTCP   = "crossfade"
)

const (
	tlsSocketName = "envoy.transport_sockets.tls"
	// transportMatch is where Envoy looks for what an endpoint's transport is chosen
	// by; crossfade: mtls there says that the endpoint has a sidecar.
	transportMatch = "envoy.transport_socket_match"
	transportKey   = "crossfade"
	transportMTLS  = "mtls"
)

// mesh is what proxies of the mesh have in common. Without a trust domain there is
// no mesh, and nothing is encrypted.
type mesh struct {
	trustDomain string
	// dir is where a proxy finds its certificate and whom to trust.
	dir  string
	ipv6 bool
	// collector is where spans go.
	collector ir.Collector
	// telemetries are all that sidecars are asked to tell, the zero value first: there
	// is a set of listeners for each. There are none without sidecars.
	telemetries []ir.Telemetry
	// grpc says that there are gRPC clients.
	grpc bool
}

func (m mesh) on() bool { return m.trustDomain != "" }

// alpnOf is how a connection for a protocol is announced.
func alpnOf(protocol ir.Protocol) string {
	switch protocol {
	case ir.HTTP2:
		return alpnHTTP2
	case ir.TCP:
		return alpnTCP
	case ir.HTTP1, ir.Undeclared:
		return alpnHTTP1
	default:
		return alpnHTTP1
	}
}

// clientSocket encrypts connections to pods of a namespace. Which ServiceAccount a pod
// has is not checked here: a canary may have another one than stable, and a cluster
// that changes with it would lose its connections.
func (m mesh) clientSocket(namespace, alpn string) (*corev3.TransportSocket, error) {
	prefix := fmt.Sprintf("spiffe://%s/ns/%s/sa/", m.trustDomain, namespace)
	common := m.tlsContext([]string{alpn}, beginningWith(prefix))
	return makeTLSSocket(&tlsv3.UpstreamTlsContext{CommonTlsContext: common})
}

// serverSocket takes connections of the mesh only, and where peers are named only
// theirs.
func (m mesh) serverSocket(alpn string, peers []*matcherv3.StringMatcher) (*corev3.TransportSocket, error) {
	if len(peers) == 0 {
		peers = []*matcherv3.StringMatcher{beginningWith(fmt.Sprintf("spiffe://%s/", m.trustDomain))}
	}
	return makeTLSSocket(&tlsv3.DownstreamTlsContext{
		CommonTlsContext:         m.tlsContext([]string{alpn}, peers...),
		RequireClientCertificate: wrapperspb.Bool(true),
	})
}

// tlsContext is for peers whose identity is one of these. Envoy's own bound for a
// client is TLS 1.2.
func (m mesh) tlsContext(alpn []string, peers ...*matcherv3.StringMatcher) *tlsv3.CommonTlsContext {
	var names []*tlsv3.SubjectAltNameMatcher
	for _, peer := range peers {
		names = append(names, &tlsv3.SubjectAltNameMatcher{SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: peer})
	}
	return &tlsv3.CommonTlsContext{
		TlsParams: &tlsv3.TlsParameters{
			TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
			TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
		},
		AlpnProtocols:                  alpn,
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{IdentitySDS(m.dir)},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext: &tlsv3.CertificateValidationContext{
					MatchTypedSubjectAltNames: names,
				},
				ValidationContextSdsSecretConfig: TrustSDS(m.dir),
			},
		},
	}
}

func makeTLSSocket(context proto.Message) (*corev3.TransportSocket, error) {
	config, err := anypb.New(context)
	if err != nil {
		return nil, err
	}
	return &corev3.TransportSocket{
		Name:       tlsSocketName,
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: config},
	}, nil
}

// secure makes a cluster encrypt the connections to those of its endpoints that have
// a sidecar, and to no others. Pods with and without one may stand behind one Service,
// and a pod that gets one changes its endpoints only.
func (m mesh) secure(cluster *clusterv3.Cluster, namespace, alpn string) error {
	if !m.on() {
		return nil
	}
	encrypted, err := m.clientSocket(namespace, alpn)
	if err != nil {
		return err
	}
	cluster.TransportSocketMatches = []*clusterv3.Cluster_TransportSocketMatch{{
		Name:            transportMTLS,
		Match:           meshedMetadata(),
		TransportSocket: encrypted,
	}}
	return nil
}

// meshedMetadata is what an endpoint with a sidecar carries.
func meshedMetadata() *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{transportKey: structpb.NewStringValue(transportMTLS)}}
}
