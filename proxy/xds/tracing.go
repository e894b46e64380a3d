package xds

import (
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/resource_detectors/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// CollectorName names the cluster that spans are sent to.
const CollectorName = "collector"

// effective is what can be done of what is asked for: without a collector there is
// nobody to send spans to.
func (m mesh) effective(t ir.Telemetry) ir.Telemetry {
	if m.collector == (ir.Collector{}) {
		t.TracingPercent = 0
	}
	return t
}

// collectTelemetries are all that some sidecar is asked to tell, the zero value, which
// is to tell nothing, first.
func (m mesh) collectTelemetries(sidecars []ir.Sidecar) []ir.Telemetry {
	if len(sidecars) == 0 {
		return nil
	}
	out := []ir.Telemetry{{}}
	for _, s := range sidecars {
		if t := m.effective(s.Telemetry); !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// makeTracing makes spans of a share of the requests that come without a decision. Who
// comes with one (the flag of a traceparent header) is followed, so that a trace is
// whole or not at all. It is nil, and headers are passed on as they are, where nothing
// is traced.
//
// The share may be another one for a route. A listener that changes ends its
// connections, and routes do not: so whoever has routes of his own gives it there.
func makeTracing(percent uint32) (*hcmv3.HttpConnectionManager_Tracing, error) {
	// Which workload this is only the proxy knows. Its agent tells it by a variable, as
	// OpenTelemetry has it; a listener is shared by many pods.
	detector, err := pack(&resourcev3.EnvironmentResourceDetectorConfig{})
	if err != nil {
		return nil, err
	}
	provider, err := pack(&tracev3.OpenTelemetryConfig{
		GrpcService: &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: CollectorName},
		}},
		ResourceDetectors: []*corev3.TypedExtensionConfig{{
			Name: "envoy.tracers.opentelemetry.resource_detectors.environment", TypedConfig: detector,
		}},
	})
	if err != nil {
		return nil, err
	}
	return &hcmv3.HttpConnectionManager_Tracing{
		// Nobody may have his request traced by a header of Envoy's own.
		ClientSampling:  &typev3.Percent{},
		RandomSampling:  &typev3.Percent{Value: float64(percent)},
		OverallSampling: &typev3.Percent{Value: 100},
		Provider: &tracev3.Tracing_Http{
			Name:       "envoy.tracers.opentelemetry",
			ConfigType: &tracev3.Tracing_Http_TypedConfig{TypedConfig: provider},
		},
		// Envoy writes the whole URL. People put secrets into the query.
		CustomTags: []*tracingv3.CustomTag{{
			Tag: "http.url", Type: &tracingv3.CustomTag_Value{Value: "%REQ(:AUTHORITY)%%PATH(NQ:ORIG_OR_PATH)%"},
		}},
	}, nil
}

// makeRouteTracing is the share of a route's requests.
func makeRouteTracing(percent uint32) *routev3.Tracing {
	of := func(n uint32) *typev3.FractionalPercent { return &typev3.FractionalPercent{Numerator: n} }
	return &routev3.Tracing{ClientSampling: of(0), RandomSampling: of(percent), OverallSampling: of(100)}
}

// makeCollector makes the cluster of the collector. Nothing waits for it: a name that
// is not found costs spans, and not the configuration that names it.
func (m mesh) makeCollector() (*clusterv3.Cluster, error) {
	options, err := anypb.New(explicitHTTP2(&corev3.KeepaliveSettings{
		Interval: durationpb.New(keepaliveInterval), Timeout: durationpb.New(keepaliveTimeout),
	}))
	if err != nil {
		return nil, err
	}
	cluster := makeStaticCluster(CollectorName, makeAddress(m.collector.Host, m.collector.Port))
	cluster.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
	cluster.DnsLookupFamily = clusterv3.Cluster_V4_PREFERRED
	cluster.WaitForWarmOnInit = wrapperspb.Bool(false)
	cluster.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptionsName: options}
	return cluster, nil
}
