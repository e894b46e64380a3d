package xds

import (
	"fmt"
	"net"
	"strconv"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// MeshView is the view of clients inside the cluster.
const MeshView = "mesh"

// GatewayView is the view of the proxies of one gateway.
func GatewayView(namespace, name string) string {
	return fmt.Sprintf("gateway/%s/%s", namespace, name)
}

// SidecarView is the view of the sidecars of a namespace that have one shape.
func SidecarView(namespace, shape string) string {
	return SidecarCluster(namespace) + "/" + shape
}

// SidecarCluster is what the sidecars of a namespace send as their node's cluster.
// Their shape is not theirs to say.
func SidecarCluster(namespace string) string { return "sidecar/" + namespace }

// ClusterName names the pods of one revision behind one port of a Service. It is
// made of nothing that changes while the revision lives: a cluster that changes
// loses its connections.
func ClusterName(service ir.ServiceKey, port uint32, revision string) string {
	return fmt.Sprintf("out|%s|%d|%s", service, port, revision)
}

// MirrorName names the pods of a revision for copies of requests.
func MirrorName(service ir.ServiceKey, port uint32, revision string) string {
	return ClusterName(service, port, revision) + "|mirror"
}

// RouteName names the routes of one port of a Service.
func RouteName(service ir.ServiceKey, port uint32) string {
	return fmt.Sprintf("%s:%d", service, port)
}

// ListenerName is what a gRPC client dials, after xds:///, for a port of a Service.
func ListenerName(service ir.ServiceKey, port uint32) string {
	return fmt.Sprintf("%s.%s:%d", service.Name, service.Namespace, port)
}

// OutboundListenerName names the listener of sidecars for the connections to a port of
// a Service.
func OutboundListenerName(service ir.ServiceKey, port uint32) string {
	return fmt.Sprintf("out|%s|%d", service, port)
}

// DirectListenerName names the listener of sidecars for the connections to one pod of
// a headless Service.
func DirectListenerName(service ir.ServiceKey, port uint32, pod ir.Endpoint) string {
	return fmt.Sprintf("%s|%s", OutboundListenerName(service, port), net.JoinHostPort(pod.IP, strconv.FormatUint(uint64(pod.Port), 10)))
}

// DirectClusterName names the pods of a headless Service that have a sidecar, for
// connections to a pod that the client chose itself.
func DirectClusterName(service ir.ServiceKey, port uint32) string {
	return fmt.Sprintf("direct|%s|%d", service, port)
}

// GatewayListenerName names a listener of a gateway, and its routes.
func GatewayListenerName(namespace, gateway, listener string) string {
	return GatewayView(namespace, gateway) + "/" + listener
}
