package server

import (
	"net"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

const (
	meshService = "shop/web"
	meshRoute   = "shop/web:80"
)

// revision is one revision of the service under test: its name, its weight and its addresses.
type revision struct {
	name      string
	weight    uint32
	addresses []net.Addr
}

// mesh renders the service for a gRPC client, which knows the listener by the name that it dials, and for an Envoy, which
// gets the same routes under a listener of its own (see envoy_test.go).
func mesh(t testing.TB, listener proto.Message, revisions ...revision) *xds.Snapshot {
	t.Helper()
	must := func(r *xds.Resource, err error) *xds.Resource {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	snap := &xds.Snapshot{
		Clusters: map[string]*xds.Resource{}, Endpoints: map[string]*xds.Resource{},
		Listeners: map[string]*xds.Resource{}, Routes: map[string]*xds.Resource{},
	}
	split := xds.Split{Service: meshService, Port: 80, Weights: map[string]uint32{}}
	var names []string
	var weights []uint32
	for _, r := range revisions {
		name := "out|" + meshService + "|80|" + r.name
		names = append(names, name)
		cluster := must(xds.NewResource(name, edsCluster(name)))
		snap.Clusters[name] = cluster
		snap.Endpoints[name] = must(xds.NewEndpoints(assignment(name, r.addresses), cluster))
		weights = append(weights, r.weight)
		split.Weights[r.name] = r.weight
		split.Total += r.weight
	}
	route := must(xds.NewResource(meshRoute, weightedRoute(meshRoute, names, weights)))
	route.References, route.Splits = names, []xds.Split{split}
	snap.Routes[meshRoute] = route
	l := must(xds.NewResource("web", listener))
	l.References = []string{meshRoute}
	snap.Listeners["web"] = l
	return snap
}

// weightedRoute divides all requests between clusters.
func weightedRoute(name string, clusters []string, weights []uint32) *routev3.RouteConfiguration {
	weighted := &routev3.WeightedCluster{}
	for i, cluster := range clusters {
		weighted.Clusters = append(weighted.Clusters, &routev3.WeightedCluster_ClusterWeight{
			Name: cluster, Weight: wrapperspb.UInt32(weights[i]),
		})
	}
	return &routev3.RouteConfiguration{
		Name: name,
		VirtualHosts: []*routev3.VirtualHost{{
			Name: "all", Domains: []string{"*"},
			Routes: []*routev3.Route{{
				Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: ""}},
				Action: &routev3.Route_Route{Route: &routev3.RouteAction{
					ClusterSpecifier: &routev3.RouteAction_WeightedClusters{WeightedClusters: weighted},
				}},
			}},
		}},
	}
}

func edsCluster(name string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: overADS()},
	}
}

func overADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}

func assignment(cluster string, addresses []net.Addr) *endpointv3.ClusterLoadAssignment {
	var hosts []*endpointv3.LbEndpoint
	for _, a := range addresses {
		tcp := a.(*net.TCPAddr)
		hosts = append(hosts, &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
			Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
				Address: tcp.IP.String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(tcp.Port)},
			}}},
		}}})
	}
	if len(hosts) == 0 {
		return &endpointv3.ClusterLoadAssignment{ClusterName: cluster}
	}
	return &endpointv3.ClusterLoadAssignment{ClusterName: cluster, Endpoints: []*endpointv3.LocalityLbEndpoints{{
		Locality: &corev3.Locality{Zone: "z"}, LoadBalancingWeight: wrapperspb.UInt32(1), LbEndpoints: hosts,
	}}}
}

// connectionManager is an HTTP connection manager that takes its route over RDS.
func connectionManager(t testing.TB) *anypb.Any {
	t.Helper()
	router, err := anypb.New(&routerv3.Router{})
	if err != nil {
		t.Fatal(err)
	}
	manager, err := anypb.New(&hcmv3.HttpConnectionManager{
		StatPrefix: "web",
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{
			Rds: &hcmv3.Rds{RouteConfigName: meshRoute, ConfigSource: overADS()},
		},
		HttpFilters: []*hcmv3.HttpFilter{{
			Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: router},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return manager
}

// current waits until the only proxy has acked what is published.
func current(t testing.TB, s *Server) {
	t.Helper()
	await(t, s, "acked", func() bool {
		acks := s.ServiceAcks(meshService)
		return len(acks) == 1 && acks[0].Current
	})
}
