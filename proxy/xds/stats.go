package xds

import (
	"net/http"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// makeStatsConfig names the statistics that are kept and the labels that Prometheus
// sees. The names of clusters are taken apart into namespace, service, port and
// revision. Without the list of what is kept, a cluster would cost twice the memory
// and the labels alone a millisecond of CPU each.
func makeStatsConfig() *metricsv3.StatsConfig {
	return &metricsv3.StatsConfig{
		UseAllDefaultTags: wrapperspb.Bool(false),
		StatsTags: []*metricsv3.TagSpecifier{
			tag("namespace", `^cluster\.((?:out|direct)\|([^/|.]+)/)`),
			tag("service", `^cluster\.(?:out|direct)\|[^/|.]+/(([^|.]+)\|)`),
			tag("port", `^cluster\.(?:out|direct)\|[^|.]+\|(([0-9]+)[|.])`),
			tag("revision", `^cluster\.out\|[^|.]+\|[0-9]+\|(([^|.]+)\.)`),
			tag("grpc_status", `^cluster\.out\|[^.]+\.grpc(\.([0-9]+))$`),
			tag("envoy.cluster_name", `^cluster\.(([^|.]+)\.)`), // Only clusters with a plain name, such as xds.
			{TagName: classTag},
			{TagName: "envoy.tcp_prefix"},
			{TagName: "envoy.http_conn_manager_prefix"},
			{TagName: "envoy.rds_route_config"},
			{TagName: "envoy.listener_address"},
		},
		StatsMatcher: &metricsv3.StatsMatcher{
			StatsMatcher: &metricsv3.StatsMatcher_InclusionList{
				InclusionList: &matcherv3.ListStringMatcher{Patterns: keptStats()},
			},
		},
		HistogramBucketSettings: []*metricsv3.HistogramBucketSettings{{
			Match: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{
				Regex: `.*(upstream_rq_time|inbound\.request_milliseconds)`,
			}}},
			// Milliseconds.
			Buckets: []float64{1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000},
		}},
	}
}

// tag takes a label out of a statistic's name: group 1 of the expression leaves the
// name, group 2 is the value.
func tag(name, regex string) *metricsv3.TagSpecifier {
	return &metricsv3.TagSpecifier{TagName: name, TagValue: &metricsv3.TagSpecifier_Regex{Regex: regex}}
}

// countGRPC has a manager count the gRPC statuses of the answers to its requests, by
// the cluster that gave them: they are in trailers, and upstream_rq_xx knows them only
// as 200.
func countGRPC(manager *hcmv3.HttpConnectionManager) error {
	config, err := anypb.New(&grpcstatsv3.FilterConfig{
		PerMethodStatSpecifier: &grpcstatsv3.FilterConfig_StatsForAllMethods{StatsForAllMethods: wrapperspb.Bool(false)},
	})
	if err != nil {
		return err
	}
	manager.HttpFilters = append([]*hcmv3.HttpFilter{{
		Name:       "envoy.filters.http.grpc_stats",
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: config},
	}}, manager.HttpFilters...)
	return nil
}

func keptStats() []*matcherv3.StringMatcher {
	const (
		clusters = `^cluster\.(?:out|direct)\|[^.]+\.(` +
			`(retry\.)?upstream_rq_[1-5]xx|` +
			`upstream_rq_(total|time|retry|retry_success|timeout|active|pending_failure_eject)|` +
			`upstream_cx_(total|connect_fail|active|rx_bytes_total|tx_bytes_total)|` +
			`grpc\.[0-9]+|` +
			`membership_(healthy|total))$`
		// Whatever goes to the application, and to what the mesh does not know. Requests are
		// left out: who adds up all of a pod's would have them twice.
		whole = `^cluster\.(inbound|passthrough|blackhole|collector)\.` +
			`upstream_cx_(total|connect_fail|active|none_healthy|rx_bytes_total|tx_bytes_total)$`
		bytes = `^tcp\.(inbound|outbound)\.downstream_cx_(total|rx_bytes_total|tx_bytes_total)$`
	)
	var kept []*matcherv3.StringMatcher
	for _, regex := range []string{clusters, whole, bytes} {
		kept = append(kept, &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: regex}},
		})
	}
	for _, prefix := range []string{
		"cluster.xds.", "cluster_manager.", "control_plane.", "http.", "inbound.", "listener", "server.", "sds.", "tracing.",
	} {
		kept = append(kept, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: prefix}})
	}
	return kept
}

// makeStatsListener serves two pages of Envoy's administration, to be read only.
func makeStatsListener(port uint32) (*listenerv3.Listener, error) {
	manager, err := makeManager("stats", &routerv3.Router{})
	if err != nil {
		return nil, err
	}
	var routes []*routev3.Route
	for _, path := range []string{"/stats/prometheus", "/ready"} {
		routes = append(routes, &routev3.Route{
			Match: makeMatch(ir.Match{Path: ir.PathMatch{Exact: true, Value: path}, Method: http.MethodGet}),
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{
				ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: adminCluster},
			}},
		})
	}
	manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{
		RouteConfig: &routev3.RouteConfiguration{
			Name:         "stats",
			VirtualHosts: []*routev3.VirtualHost{{Name: "stats", Domains: []string{"*"}, Routes: routes}},
		},
	}
	config, err := anypb.New(manager)
	if err != nil {
		return nil, err
	}
	return &listenerv3.Listener{
		Name:                  "stats",
		Address:               makeAddress("0.0.0.0", port),
		IgnoreGlobalConnLimit: true,
		FilterChains: []*listenerv3.FilterChain{{
			Filters: []*listenerv3.Filter{{
				Name:       hcmName,
				ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: config},
			}},
		}},
	}, nil
}
