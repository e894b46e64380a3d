package xds

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	downstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// BootstrapOptions is what a proxy must know before it can ask for anything.
type BootstrapOptions struct {
	// NodeID names the proxy, "<namespace>/<pod>"; View is what it asks for (see
	// GatewayView), which it sends as its node's cluster.
	NodeID, View string
	// Version is the program's that runs the proxy, which it tells the control plane;
	// empty if it is not known.
	Version string
	// XDSHost and XDSPort are where Crossfade's control plane listens.
	XDSHost string
	XDSPort uint32
	// TLSDir is the folder with the proxy's certificate and the mesh's roots, as the
	// agent writes them. Without it the control plane is dialled in plain text, which
	// Crossfade's own refuses: for tests only.
	TLSDir string
	// AdminSocket is the path of a unix socket for Envoy's administration. Without it
	// AdminPort of the loopback address is used, 15000 when that is 0, too: but a port
	// is open to every container of the pod, and whoever reaches it can stop the proxy.
	AdminSocket string
	AdminPort   uint32
	// StatsPort, when it is not 0, makes Envoy serve /stats/prometheus and /ready, and
	// nothing else of its administration, on this port of all addresses.
	StatsPort uint32
	// MaxConnections bounds the connections from outside; 0 means 50,000. Memory runs
	// out at some number in any case, and then nobody is served.
	MaxConnections uint32
}

const (
	// NodeVersion is the key under which a proxy's node has, in its metadata, the
	// version of the program that runs it.
	NodeVersion = "crossfade.dev/version"

	xdsCluster            = "xds"
	adminCluster          = "admin"
	defaultAdminPort      = 15000
	defaultMaxConnections = 50_000
	downstreamMonitor     = "envoy.resource_monitors.global_downstream_max_connections"
	// How often a connection that nothing is heard of is asked whether it is still one,
	// and how long the answer may take.
	keepaliveInterval = 30 * time.Second
	keepaliveTimeout  = 5 * time.Second
)

// Bootstrap is what Envoy reads when it starts, as JSON. Equal options give equal
// bytes.
func Bootstrap(o BootstrapOptions) ([]byte, error) {
	if o.NodeID == "" || o.View == "" || o.XDSHost == "" || o.XDSPort == 0 {
		return nil, errors.New("render bootstrap: node id, view, and the control plane's host and port are needed")
	}
	xds, err := makeXDSCluster(o)
	if err != nil {
		return nil, fmt.Errorf("render bootstrap: %w", err)
	}
	overload, err := makeOverloadManager(o.MaxConnections)
	if err != nil {
		return nil, fmt.Errorf("render bootstrap: %w", err)
	}
	bootstrap := &bootstrapv3.Bootstrap{
		Node:             o.node(),
		Admin:            &bootstrapv3.Admin{Address: o.adminAddress()},
		DynamicResources: makeDynamicResources(),
		StaticResources:  &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{xds}},
		StatsConfig:      makeStatsConfig(),
		// Histograms are merged only when statistics are flushed, so this is how old a
		// latency may be when it is scraped.
		StatsFlushInterval: durationpb.New(time.Second),
		LayeredRuntime:     makeRuntime(),
		OverloadManager:    overload,
	}
	if o.StatsPort != 0 {
		listener, err := makeStatsListener(o.StatsPort)
		if err != nil {
			return nil, fmt.Errorf("render bootstrap: %w", err)
		}
		bootstrap.StaticResources.Listeners = []*listenerv3.Listener{listener}
		bootstrap.StaticResources.Clusters = append(bootstrap.StaticResources.Clusters,
			makeStaticCluster(adminCluster, o.adminAddress()))
	}
	raw, err := protojson.Marshal(bootstrap)
	if err != nil {
		return nil, fmt.Errorf("render bootstrap: %w", err)
	}
	// protojson varies its white space from build to build; indenting anew does not.
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("render bootstrap: %w", err)
	}
	return out.Bytes(), nil
}

// node is who the proxy is. Its version is metadata: what a node says of its user
// agent Envoy overwrites with its own.
func (o BootstrapOptions) node() *corev3.Node {
	node := &corev3.Node{Id: o.NodeID, Cluster: o.View}
	if o.Version != "" {
		node.Metadata = &structpb.Struct{Fields: map[string]*structpb.Value{NodeVersion: structpb.NewStringValue(o.Version)}}
	}
	return node
}

// adminMode lets nobody but Envoy's own user in: with the administration's socket
// a proxy can be stopped.
const adminMode = 0o600

func (o BootstrapOptions) adminAddress() *corev3.Address {
	if o.AdminSocket != "" {
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: o.AdminSocket, Mode: adminMode}}}
	}
	if o.AdminPort != 0 {
		return makeAddress("127.0.0.1", o.AdminPort)
	}
	return makeAddress("127.0.0.1", defaultAdminPort)
}

// makeDynamicResources asks for everything over one stream, as differences. Nothing
// is ready before the first clusters and listeners came, however long that takes.
func makeDynamicResources() *bootstrapv3.Bootstrap_DynamicResources {
	return &bootstrapv3.Bootstrap_DynamicResources{
		AdsConfig: &corev3.ApiConfigSource{
			ApiType:                   corev3.ApiConfigSource_DELTA_GRPC,
			TransportApiVersion:       corev3.ApiVersion_V3,
			SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{
				TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
					ClusterName: xdsCluster,
					// A proxy without a stream holds every rollout up: Envoy's default waits up to
					// 30 s between two tries.
					RetryPolicy: &corev3.RetryPolicy{RetryBackOff: &corev3.BackoffStrategy{
						BaseInterval: durationpb.New(500 * time.Millisecond),
						MaxInterval:  durationpb.New(5 * time.Second),
					}},
				}},
			}},
		},
		CdsConfig: makeConfigSource(durationpb.New(0)),
		LdsConfig: makeConfigSource(durationpb.New(0)),
	}
}

// makeXDSCluster finds the control plane by its name. The keepalive notices a node
// that vanished, which would otherwise leave the proxy with a dead stream for hours.
func makeXDSCluster(o BootstrapOptions) (*clusterv3.Cluster, error) {
	options, err := anypb.New(explicitHTTP2(&corev3.KeepaliveSettings{
		Interval: durationpb.New(keepaliveInterval),
		Timeout:  durationpb.New(keepaliveTimeout),
	}))
	if err != nil {
		return nil, err
	}
	cluster := makeStaticCluster(xdsCluster, makeAddress(o.XDSHost, o.XDSPort))
	cluster.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
	// By default Envoy takes IPv6 addresses alone where there are any, also when the
	// control plane listens on the others only.
	cluster.DnsLookupFamily = clusterv3.Cluster_V4_PREFERRED
	cluster.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptionsName: options}
	if o.TLSDir != "" {
		cluster.TransportSocket, err = makeXDSTransport(o.XDSHost, o.TLSDir)
	}
	return cluster, err
}

func makeStaticCluster(name string, address *corev3.Address) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(time.Second),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: name,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{
				LbEndpoints: []*endpointv3.LbEndpoint{{
					HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}},
				}},
			}},
		},
	}
}

func makeOverloadManager(connections uint32) (*overloadv3.OverloadManager, error) {
	if connections == 0 {
		connections = defaultMaxConnections
	}
	config, err := anypb.New(&downstreamv3.DownstreamConnectionsConfig{
		MaxActiveDownstreamConnections: int64(connections),
	})
	if err != nil {
		return nil, err
	}
	return &overloadv3.OverloadManager{
		ResourceMonitors: []*overloadv3.ResourceMonitor{{
			Name:       downstreamMonitor,
			ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: config},
		}},
	}, nil
}

// makeRuntime lifts Envoy's bound on the size of a compiled expression (100
// instructions), for which it would reject a whole table: expressions are bounded
// where the user writes them.
func makeRuntime() *bootstrapv3.LayeredRuntime {
	return &bootstrapv3.LayeredRuntime{
		Layers: []*bootstrapv3.RuntimeLayer{{
			Name: "crossfade",
			LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{
				StaticLayer: &structpb.Struct{Fields: map[string]*structpb.Value{
					"re2.max_program_size.error_level": structpb.NewNumberValue(math.MaxUint32),
				}},
			},
		}},
	}
}
