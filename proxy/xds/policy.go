package xds

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// Where policies go into Envoy's resources. No policy fills the IR yet, so there is
// nothing to add.

// applyClusterPolicy adds circuit breakers and outlier detection to a cluster of a
// Service.
func applyClusterPolicy(_ *clusterv3.Cluster, _ ir.ServicePolicy) {}

// applyRoutePolicy adds timeouts and retries to the routes of a Service's port.
func applyRoutePolicy(_ *routev3.VirtualHost, _ ir.ServicePolicy) {}

// inboundHTTPFilters are what a request to a pod has to pass.
func inboundHTTPFilters(_ ir.Inbound, _ bool) ([]*hcmv3.HttpFilter, error) { return nil, nil }

// inboundTCPFilters are what a connection to a pod has to pass in which no requests
// can be told apart.
func inboundTCPFilters(_ ir.Inbound, _ bool) ([]*listenerv3.Filter, error) { return nil, nil }
