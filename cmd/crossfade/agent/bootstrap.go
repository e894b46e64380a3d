package agent

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
)

// bootstrap renders what Envoy reads when it starts (JSON): who it is, where its
// configuration comes from, and which statistics it keeps under which labels.
func bootstrap(o Options) ([]byte, error) {
	host, portText, err := net.SplitHostPort(o.XDS)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("port of %s: %w", o.XDS, err)
	}
	ads := map[string]any{"ads": map[string]any{}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
	return json.MarshalIndent(map[string]any{
		"node":  map[string]any{"id": o.Node, "cluster": o.Cluster},
		"admin": map[string]any{"address": map[string]any{"pipe": map[string]any{"path": o.adminSocket(), "mode": 0o600}}},
		"dynamic_resources": map[string]any{
			"ads_config": map[string]any{
				"api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
				"grpc_services": []any{map[string]any{"envoy_grpc": map[string]any{"cluster_name": "xds"}}},
			},
			"cds_config": ads, "lds_config": ads,
		},
		"static_resources": map[string]any{"clusters": []any{map[string]any{
			"name": "xds", "type": "STRICT_DNS", "connect_timeout": "2s",
			"typed_extension_protocol_options": map[string]any{
				"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": map[string]any{
					"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
					"explicit_http_config": map[string]any{"http2_protocol_options": map[string]any{
						"connection_keepalive": map[string]any{"interval": "30s", "timeout": "5s"},
					}},
				},
			},
			"load_assignment": map[string]any{"cluster_name": "xds", "endpoints": []any{map[string]any{
				"lb_endpoints": []any{map[string]any{"endpoint": map[string]any{"address": map[string]any{
					"socket_address": map[string]any{"address": host, "port_value": port},
				}}}},
			}}},
		}}},
	}, "", " ")
}
