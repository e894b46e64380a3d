package bench

import (
	"fmt"
	"strings"

	"github.com/crossfade-dev/crossfade/proxy/intercept"
)

// plainEnvoy is about the least that an Envoy needs to forward a client's
// intercepted requests to a Service's pods, as a person would write it: what the
// same Envoy costs without Crossfade. Endpoints are ADDRESS:PORT of the pods.
func plainEnvoy(endpoints []string, http2 bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, `static_resources:
  listeners:
  - name: outbound
    address: {socket_address: {address: 0.0.0.0, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: outbound
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: service, timeout: 0s}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: service
    type: STATIC
    connect_timeout: 5s
`, intercept.OutboundPort)
	if http2 {
		b.WriteString(`    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
`)
	}
	b.WriteString(`    load_assignment:
      cluster_name: service
      endpoints:
      - lb_endpoints:
`)
	for _, e := range endpoints {
		i := strings.LastIndexByte(e, ':')
		fmt.Fprintf(&b, "        - endpoint: {address: {socket_address: {address: %q, port_value: %s}}}\n", strings.Trim(e[:i], "[]"), e[i+1:])
	}
	return b.String()
}
