package controllers

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// Views says which configuration a proxy gets. It believes what a node says of
// itself: whoever asks has to have made sure of the node's id before. It is safe for
// concurrent use.
type Views struct {
	gateway string

	mu   sync.RWMutex
	pods map[types.NamespacedName]string
	// egress is what each view knows of other namespaces.
	egress map[string]ir.Egress

	// grpc has one event from when the first gRPC client comes: nothing is made for
	// them before.
	grpc    chan event.GenericEvent
	hasGRPC atomic.Bool
}

// NewViews returns Views that know the gateway; the mesh loop tells it of sidecars.
func NewViews(gateway types.NamespacedName) *Views {
	return &Views{gateway: xds.GatewayView(gateway.Namespace, gateway.Name), grpc: make(chan event.GenericEvent, 1)}
}

// Of returns the view of a node: that of the gateway, that of a sidecar's pod, or that
// of gRPC clients. The error refuses it for now; Envoy comes back by itself.
func (v *Views) Of(node *corev3.Node) (string, error) {
	kind, namespace, _ := strings.Cut(node.GetCluster(), "/")
	switch {
	case node.GetId() == "":
		return "", errors.New("the node has no id")
	case node.GetCluster() == v.gateway:
		return v.gateway, nil
	case kind == "gateway":
		return "", fmt.Errorf("node cluster %q: only %q is served", node.GetCluster(), v.gateway)
	case kind == "sidecar":
		return v.ofSidecar(node.GetId(), namespace)
	default:
		if v.hasGRPC.CompareAndSwap(false, true) {
			v.grpc <- event.GenericEvent{Object: &v1alpha1.Rollout{}} // Any object: it only wakes the mesh loop.
		}
		return xds.MeshView, nil
	}
}

func (v *Views) ofSidecar(id, namespace string) (string, error) {
	own, pod, _ := strings.Cut(id, "/")
	if own != namespace {
		return "", fmt.Errorf("node %q says that it is in namespace %q", id, namespace)
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	view, known := v.pods[types.NamespacedName{Namespace: own, Name: pod}]
	if !known {
		return "", fmt.Errorf("no pod %q with a sidecar is known yet", id)
	}
	return view, nil
}

// set takes over which pods have a sidecar, and what it does, and says whether a pod
// has got another view than before.
func (v *Views) set(shapes map[types.NamespacedName]string, sidecars []ir.Sidecar) (moved bool) {
	pods := make(map[types.NamespacedName]string, len(shapes))
	for pod, shape := range shapes {
		pods[pod] = xds.SidecarView(pod.Namespace, shape)
	}
	egress := make(map[string]ir.Egress, len(sidecars))
	for _, s := range sidecars {
		egress[xds.SidecarView(s.Namespace, s.Shape)] = s.Egress
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for pod, view := range v.pods {
		now, still := pods[pod]
		moved = moved || still && now != view
	}
	v.pods, v.egress = pods, egress
	return moved
}

// sees says whether a pod has a sidecar that knows the Services of a namespace.
func (v *Views) sees(pod types.NamespacedName, namespace string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	view, known := v.pods[pod]
	return known && v.egress[view].Sees(namespace)
}
