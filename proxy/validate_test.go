package proxy_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// TestGoldensAreValid shows every snapshot of the goldens to the real Envoy, which
// must accept it, and to the validators of its API.
func TestGoldensAreValid(t *testing.T) {
	program := findEnvoy(t)
	identities := xds.Options{TLSDir: newAuthority(t).write(t, "spiffe://cluster.local/ns/shop/sa/web")}
	for _, dir := range cases(t) {
		out := proxy.Build(readObjects(t, filepath.Join(dir, "objects.yaml")))
		for view, snapshot := range identities.Translate(nil, out.Config).Snapshots {
			t.Run(filepath.Base(dir)+"/"+view, func(t *testing.T) {
				validate(t, program, snapshot)
			})
		}
	}
}

// TestEnvoyRefuses shows that the test above can fail: routes that are wrong are
// not accepted in the form that it uses.
func TestEnvoyRefuses(t *testing.T) {
	program := findEnvoy(t)
	dir := filepath.Join("testdata", "canary-quarter")
	world := xds.Translate(nil, proxy.Build(readObjects(t, filepath.Join(dir, "objects.yaml"))).Config)
	bootstrap := static(t, world.Snapshots[xds.MeshView], func(c *routev3.RouteConfiguration) {
		for _, w := range c.GetVirtualHosts()[0].GetRoutes()[0].GetRoute().GetWeightedClusters().GetClusters() {
			w.GetWeight().Value = 0
		}
	})
	if output, err := run(t, program, bootstrap); err == nil {
		t.Errorf("Envoy accepted weights that add up to 0: %s", output)
	}
}

func validate(t *testing.T, program string, snapshot *xds.Snapshot) {
	t.Helper()
	for _, byName := range []map[string]*xds.Resource{snapshot.Clusters, snapshot.Endpoints, snapshot.Listeners, snapshot.Routes} {
		for name, r := range byName {
			body, err := r.Body.UnmarshalNew()
			if err != nil {
				t.Fatal(err)
			}
			if err := body.(interface{ ValidateAll() error }).ValidateAll(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	output, err := run(t, program, static(t, snapshot, nil))
	if err != nil {
		t.Errorf("Envoy refuses it: %v\n%s", err, output)
	}
	if bytes.Contains(bytes.ToLower(output), []byte("deprecated")) {
		t.Errorf("Envoy will refuse it one day:\n%s", output)
	}
}

func run(t *testing.T, program string, bootstrap *bootstrapv3.Bootstrap) ([]byte, error) {
	t.Helper()
	content, err := protojson.Marshal(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), program, "--mode", "validate", "-c", file, "--log-level", "warning").CombinedOutput()
}

// static is a bootstrap with everything of a snapshot in it: Envoy checks nothing
// that comes over a stream before it came.
func static(t *testing.T, s *xds.Snapshot, mutate func(*routev3.RouteConfiguration)) *bootstrapv3.Bootstrap {
	t.Helper()
	content, err := xds.Bootstrap(xds.BootstrapOptions{NodeID: "test/test", View: "test", XDSHost: "localhost", XDSPort: 1})
	if err != nil {
		t.Fatal(err)
	}
	bootstrap := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(content, bootstrap); err != nil {
		t.Fatal(err)
	}
	bootstrap.DynamicResources = nil
	for _, name := range sortedKeys(s.Clusters) {
		cluster, endpoints := &clusterv3.Cluster{}, &endpointv3.ClusterLoadAssignment{}
		unmarshal(t, s.Clusters[name], cluster)
		if !s.Clusters[name].Direct {
			unmarshal(t, s.Endpoints[name], endpoints)
			cluster.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
			cluster.EdsClusterConfig, cluster.LoadAssignment = nil, endpoints
		}
		bootstrap.StaticResources.Clusters = append(bootstrap.StaticResources.Clusters, cluster)
	}
	for i, name := range sortedKeys(s.Listeners) {
		listener := &listenerv3.Listener{}
		unmarshal(t, s.Listeners[name], listener)
		inline(t, s, listener, mutate)
		listener.Address, listener.AdditionalAddresses = loopback(uint32(i+1)), nil
		bootstrap.StaticResources.Listeners = append(bootstrap.StaticResources.Listeners, listener)
	}
	return bootstrap
}

func loopback(port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

// inline puts its routes into a listener, and makes one that can be bound of one
// for gRPC clients.
func inline(t *testing.T, s *xds.Snapshot, listener *listenerv3.Listener, mutate func(*routev3.RouteConfiguration)) {
	t.Helper()
	if api := listener.GetApiListener().GetApiListener(); api != nil {
		listener.ApiListener = nil
		listener.FilterChains = []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "envoy.filters.network.http_connection_manager", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: api},
		}}}}
	}
	for _, chain := range append(slices.Clone(listener.GetFilterChains()), listener.GetDefaultFilterChain()) {
		for _, filter := range chain.GetFilters() {
			manager := &hcmv3.HttpConnectionManager{}
			if !filter.GetTypedConfig().MessageIs(manager) {
				continue
			}
			if err := filter.GetTypedConfig().UnmarshalTo(manager); err != nil {
				t.Fatal(err)
			}
			if manager.GetRds() != nil {
				inlineRoutes(t, s, manager, mutate)
			}
			config, err := anypb.New(manager)
			if err != nil {
				t.Fatal(err)
			}
			filter.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: config}
		}
	}
}

func inlineRoutes(t *testing.T, s *xds.Snapshot, manager *hcmv3.HttpConnectionManager, mutate func(*routev3.RouteConfiguration)) {
	t.Helper()
	routes := &routev3.RouteConfiguration{}
	unmarshal(t, s.Routes[manager.GetRds().GetRouteConfigName()], routes)
	if mutate != nil {
		mutate(routes)
	}
	// Here, where all clusters are at hand, every reference must be right.
	routes.ValidateClusters = nil
	manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes}
}

func unmarshal(t *testing.T, r *xds.Resource, into proto.Message) {
	t.Helper()
	if r == nil {
		t.Fatal("a resource is missing")
	}
	if err := r.Body.UnmarshalTo(into); err != nil {
		t.Fatal(err)
	}
}

// findEnvoy returns the real Envoy's program: the one in CROSSFADE_ENVOY, or the
// one that make test puts into .local/bin.
func findEnvoy(t *testing.T) string {
	t.Helper()
	for _, candidate := range []string{os.Getenv("CROSSFADE_ENVOY"), "../.local/bin/envoy"} {
		if path, err := filepath.Abs(candidate); candidate != "" && err == nil {
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
	}
	t.Skip("there is no Envoy to ask: set CROSSFADE_ENVOY, or run make test")
	return ""
}
