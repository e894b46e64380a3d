package controllers

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/proxy/server"
)

// maxSilentNames bounds the list of silent proxies in a message.
const maxSilentNames = 3

// ackTable is what the xDS server knows of the proxies that route to a Service.
type ackTable interface {
	ServiceAcks(service string) []server.ServiceAck
}

// proxyWatch tells which proxies route to a Service and what they confirmed.
// Which ones there are comes from the cluster: a proxy that runs without a
// stream, as all do just after a restart of this controller, is unacked, not
// absent.
type proxyWatch struct {
	cache client.Reader
	acks  ackTable
	world *world

	mu sync.Mutex
	// pending is since when a proxy has been seen unacked, by Rollout and node.
	pending map[types.NamespacedName]map[string]time.Time
}

func newProxyWatch(cache client.Reader, acks ackTable, w *world) *proxyWatch {
	return &proxyWatch{cache: cache, acks: acks, world: w, pending: map[types.NamespacedName]map[string]time.Time{}}
}

// nodeID is how a proxy in a pod names itself to the control plane.
func nodeID(namespace, pod string) string { return namespace + "/" + pod }

// observe summarises the proxies that route to the Rollout's Service.
func (w *proxyWatch) observe(ctx context.Context, ro *v1alpha1.Rollout, now time.Time) (delivery.Proxies, error) {
	key := keyOf(ro)
	rendered := w.world.rendering(key)
	service := ro.Namespace + "/" + serviceName(ro)
	connected := map[string]server.ServiceAck{}
	for _, ack := range w.acks.ServiceAcks(service) {
		connected[ack.Node] = ack
	}
	nodes := map[string]bool{}
	for node := range connected {
		nodes[node] = true
	}
	if err := w.running(ctx, service, nodes); err != nil {
		return delivery.Proxies{}, err
	}
	out := summarise(rendered, slices.Sorted(maps.Keys(nodes)), connected)
	out.Current = rendered.is(ro.Status.Record)
	out.PendingSince = w.waiting(key, nodes, connected, now)
	return out, nil
}

// running adds the proxies that run, by the cluster's account, and have the
// Service in their configuration. One counts from its first readiness to its
// end, not only while it is ready: a frozen proxy is not ready, and its open
// connections may come back with the weights it had.
func (w *proxyWatch) running(ctx context.Context, service string, nodes map[string]bool) error {
	if !w.world.routesAtGateway(service) {
		return nil
	}
	pods := &corev1.PodList{}
	if err := w.cache.List(ctx, pods, client.MatchingLabels{v1alpha1.LabelProxy: proxyGateway}, client.InNamespace(w.world.gateway.Namespace)); err != nil {
		return fmt.Errorf("list proxies: %w", err)
	}
	for i := range pods.Items {
		if proxyRuns(&pods.Items[i]) {
			nodes[nodeID(pods.Items[i].Namespace, pods.Items[i].Name)] = true
		}
	}
	return nil
}

// proxyGateway is the value of the label crossfade.dev/proxy of gateway pods.
const proxyGateway = "gateway"

// proxyRuns says whether a pod's proxy has come up and was not told to stop. A
// proxy that stops still counts while it has a stream.
func proxyRuns(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
		return false
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.Started == nil || !*c.Started {
			return false
		}
	}
	return true
}

// summarise counts acks and says what may still be routed where.
func summarise(rendered rendering, nodes []string, connected map[string]server.ServiceAck) delivery.Proxies {
	out := delivery.Proxies{
		Expected: int32(len(nodes)), Connected: int32(len(connected)),
		Effective: int32(rendered.Weight), Published: rendered.Revisions,
	}
	may := map[string]bool{}
	for _, node := range nodes {
		ack, has := connected[node]
		if has && ack.Current && !ack.Unknown {
			out.Acked++
		} else {
			out.Silent = append(out.Silent, node)
		}
		if has && ack.Rejected != "" {
			out.Rejected++
			if out.Error == "" {
				out.RejectedBy, out.Error = node, ack.Rejected
			}
		}
		for _, revision := range rendered.ever {
			if !has || ack.HighestShare(revision) > 0 {
				may[revision] = true
			}
		}
	}
	out.Agreed = agreed(rendered, connected)
	out.Silent = out.Silent[:min(len(out.Silent), maxSilentNames)]
	out.MayRoute = slices.Sorted(maps.Keys(may))
	return out
}

// agreed is the lowest share of the canary that a connected proxy has confirmed.
func agreed(rendered rendering, connected map[string]server.ServiceAck) int32 {
	lowest := int32(-1)
	for _, ack := range connected {
		share := int32(math.Round(ack.LowestShare(rendered.canary) * float64(rendered.Total)))
		if lowest < 0 || share < lowest {
			lowest = share
		}
	}
	return max(lowest, 0)
}

// waiting remembers since when each proxy has been unacked, and returns the
// longest wait.
func (w *proxyWatch) waiting(key types.NamespacedName, nodes map[string]bool, connected map[string]server.ServiceAck, now time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := w.pending[key], map[string]time.Time{}
	var oldest time.Time
	for node := range nodes {
		if ack, has := connected[node]; has && ack.Current {
			continue
		}
		since, was := before[node]
		if !was {
			since = now
		}
		after[node] = since
		if oldest.IsZero() || since.Before(oldest) {
			oldest = since
		}
	}
	if len(after) == 0 {
		delete(w.pending, key)
	} else {
		w.pending[key] = after
	}
	return oldest
}
