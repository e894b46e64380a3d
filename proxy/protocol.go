package proxy

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// protocols are the words by which users declare what a port's pods speak. HTTP/2
// must be declared, as a cleartext server cannot be asked, and gRPC-Web was made for
// HTTP/1.1. Whatever is encrypted by the application is bytes to a proxy.
var protocols = map[string]ir.Protocol{
	"http": ir.HTTP1, "http1": ir.HTTP1, "ws": ir.HTTP1, "kubernetes.io/ws": ir.HTTP1, "grpc-web": ir.HTTP1,
	"http2": ir.HTTP2, "h2c": ir.HTTP2, "kubernetes.io/h2c": ir.HTTP2, "grpc": ir.HTTP2,
	"tcp": ir.TCP, "tls": ir.TCP, "https": ir.TCP, "grpcs": ir.TCP, "wss": ir.TCP, "kubernetes.io/wss": ir.TCP,
	"mysql": ir.TCP, "postgres": ir.TCP, "postgresql": ir.TCP, "redis": ir.TCP, "mongo": ir.TCP, "mongodb": ir.TCP,
	"kafka": ir.TCP, "amqp": ir.TCP, "nats": ir.TCP, "smtp": ir.TCP, "ftp": ir.TCP, "ssh": ir.TCP, "ldap": ir.TCP,
}

// protocolOf is what the pods speak on a port: the appProtocol says it, or else the
// port's name up to its first dash. An appProtocol that is none of the words above is
// a declaration all the same, of something that is not HTTP; a name is often only a
// name, and declares nothing then.
func protocolOf(port corev1.ServicePort) ir.Protocol {
	if port.AppProtocol != nil && *port.AppProtocol != "" {
		if protocol, known := protocols[strings.ToLower(*port.AppProtocol)]; known {
			return protocol
		}
		return ir.TCP
	}
	name, rest, _ := strings.Cut(port.Name, "-")
	rest, _, _ = strings.Cut(rest, "-")
	if name == "grpc" && rest == "web" {
		return ir.HTTP1
	}
	if protocol, known := protocols[name]; known {
		return protocol
	}
	return ir.Undeclared
}

// clusterIPs are the addresses of a Service's own, in the order of its families.
func clusterIPs(service *corev1.Service) []string {
	ips := service.Spec.ClusterIPs
	if len(ips) == 0 {
		ips = []string{service.Spec.ClusterIP}
	}
	var valid []string
	for _, ip := range ips {
		// "None" says that there is none, and nothing that there is none yet.
		if _, err := netip.ParseAddr(ip); err == nil {
			valid = append(valid, ip)
		}
	}
	return valid
}

func isHeadless(service *corev1.Service) bool {
	return service.Spec.ClusterIP == corev1.ClusterIPNone || slices.Contains(service.Spec.ClusterIPs, corev1.ClusterIPNone)
}

// hasIPv6 says whether the cluster has IPv6 addresses: its nodes have them, then, and
// its pods. A pod cannot be asked: its address may come after its first connection.
func hasIPv6(services []*corev1.Service) bool {
	return slices.ContainsFunc(services, func(s *corev1.Service) bool {
		return slices.Contains(s.Spec.IPFamilies, corev1.IPv6Protocol) ||
			slices.ContainsFunc(clusterIPs(s), func(ip string) bool { return isFamily(ip, corev1.IPv6Protocol) })
	})
}
