package xds

import (
	"fmt"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// MeshView is the view of clients inside the cluster.
const MeshView = "mesh"

// GatewayView is the view of the proxies of one gateway.
func GatewayView(namespace, name string) string {
	return fmt.Sprintf("gateway/%s/%s", namespace, name)
}

// ClusterName names the pods of one revision behind one port of a Service. It is
// made of nothing that changes while the revision lives: a cluster that changes
// loses its connections.
func ClusterName(service ir.ServiceKey, port uint32, revision string) string {
	return fmt.Sprintf("out|%s|%d|%s", service, port, revision)
}

// RouteName names the routes of one port of a Service.
func RouteName(service ir.ServiceKey, port uint32) string {
	return fmt.Sprintf("%s:%d", service, port)
}

// ListenerName is what a gRPC client dials, after xds:///, for a port of a Service.
func ListenerName(service ir.ServiceKey, port uint32) string {
	return fmt.Sprintf("%s.%s:%d", service.Name, service.Namespace, port)
}

// GatewayListenerName names a listener of a gateway, and its routes.
func GatewayListenerName(namespace, gateway, listener string) string {
	return GatewayView(namespace, gateway) + "/" + listener
}
