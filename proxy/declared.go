package proxy

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// Declared is what the pods behind a Service's port speak, by what its owner has
// written there: proxies treat the port so.
func Declared(port corev1.ServicePort) ir.Protocol { return protocolOf(port) }
