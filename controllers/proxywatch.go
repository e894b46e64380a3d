package controllers

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/proxy/inject"
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
	// version is this program's.
	version string

	mu sync.Mutex
	// pending is since when a proxy has been seen unacked, by Rollout and node.
	pending map[types.NamespacedName]map[string]time.Time
}

func newProxyWatch(cache client.Reader, acks ackTable, w *world, version string) *proxyWatch {
	return &proxyWatch{cache: cache, acks: acks, world: w, version: version, pending: map[types.NamespacedName]map[string]time.Time{}}
}

// nodeID is how a proxy in a pod names itself to the control plane.
func nodeID(namespace, pod string) string { return namespace + "/" + pod }

// observe summarises the proxies that route to the Rollout's Service.
func (w *proxyWatch) observe(ctx context.Context, ro *v1alpha1.Rollout, now time.Time) (delivery.Proxies, error) {
	if err := w.world.someWorld(ctx); err != nil {
		return delivery.Proxies{}, err
	}
	key := keyOf(ro)
	rendered := w.world.rendering(key)
	service := ro.Namespace + "/" + serviceName(ro)
	connected := map[string]server.ServiceAck{}
	for _, ack := range w.acks.ServiceAcks(service) {
		connected[ack.Node] = ack
	}
	nodes, starting, err := w.running(ctx, service)
	if err != nil {
		return delivery.Proxies{}, err
	}
	seen := sightings{connected: connected, starting: map[string]server.ServiceAck{}}
	for node, ack := range connected {
		if starting[node] {
			seen.starting[node] = ack
			delete(connected, node)
			continue
		}
		nodes[node] = true
	}
	seen.nodes = slices.Sorted(maps.Keys(nodes))
	out := summarise(rendered, seen)
	out.OtherVersion = otherVersion(w.version, connected)
	out.Current = rendered.is(ro.Status.Record)
	out.PendingSince = w.waiting(key, nodes, connected, now)
	return out, nil
}

// sightings are the proxies that have a Service in their configuration.
type sightings struct {
	// nodes are those that count, sorted; connected has what those with a stream have
	// confirmed.
	nodes     []string
	connected map[string]server.ServiceAck
	// starting are sidecars that have a stream, but whose application does not run yet.
	// There are always some where many pods come and go, and a step that waited for each
	// of them would wait until that is over. They do not count; but what they may route
	// to stays, as the cluster may hear late that they have started.
	starting map[string]server.ServiceAck
}

// running are the proxies that run, by the cluster's account, and have the Service in
// their configuration, and the sidecars that are about to. One counts from its first
// readiness to its end, not only while it is ready: a frozen proxy is not ready, and
// its open connections may come back with the weights it had.
func (w *proxyWatch) running(ctx context.Context, service string) (nodes, starting map[string]bool, err error) {
	nodes, starting = map[string]bool{}, map[string]bool{}
	if w.world.routesAtGateway(service) {
		if err := w.list(ctx, v1alpha1.ProxyGateway, func(pod *corev1.Pod) {
			if pod.Namespace == w.world.gateway.Namespace && proxyRuns(pod) {
				nodes[nodeID(pod.Namespace, pod.Name)] = true
			}
		}); err != nil {
			return nil, nil, err
		}
	}
	if !w.world.routesInMesh(service) {
		return nodes, starting, nil
	}
	namespace, _, _ := strings.Cut(service, "/")
	err = w.list(ctx, v1alpha1.ProxySidecar, func(pod *corev1.Pod) {
		switch {
		case !w.world.views.sees(keyOf(pod), namespace), pod.DeletionTimestamp != nil:
			// A sidecar that stops counts by its stream.
		case sidecarRuns(pod):
			nodes[nodeID(pod.Namespace, pod.Name)] = true
		default:
			starting[nodeID(pod.Namespace, pod.Name)] = true
		}
	})
	return nodes, starting, err
}

// list reads the pods with one kind of proxy. There may be thousands, and nothing of
// them is kept or changed, so they are not copied.
func (w *proxyWatch) list(ctx context.Context, kind string, each func(*corev1.Pod)) error {
	pods := &corev1.PodList{}
	if err := w.cache.List(ctx, pods, client.MatchingLabels{v1alpha1.LabelProxy: kind}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list proxies: %w", err)
	}
	for i := range pods.Items {
		each(&pods.Items[i])
	}
	return nil
}

// proxyRuns says whether a gateway's proxy has come up and was not told to stop. A
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

// sidecarRuns says whether a pod's sidecar has come up, as it does before the other
// containers start: what these do, whether they crash or are not ready, says nothing
// of it.
func sidecarRuns(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return false
	}
	for _, c := range pod.Status.InitContainerStatuses {
		if c.Name == inject.ProxyContainer {
			return c.Started != nil && *c.Started
		}
	}
	return false
}

// summarise counts acks and says what may still be routed where.
func summarise(rendered rendering, seen sightings) delivery.Proxies {
	out := delivery.Proxies{
		Expected: int32(len(seen.nodes)), Connected: int32(len(seen.connected)),
		Effective: int32(rendered.Weight), Published: rendered.Revisions, ByConnection: rendered.ByConnection,
	}
	for _, node := range seen.nodes {
		ack, has := seen.connected[node]
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
	}
	out.Agreed = agreed(rendered, seen.connected)
	out.Silent = out.Silent[:min(len(out.Silent), maxSilentNames)]
	out.MayRoute = seen.mayRoute(rendered.ever)
	return out
}

// otherVersion counts the connected proxies that say another version than this
// controller's. gRPC clients without Envoy say none, and have none to catch up with.
func otherVersion(own string, connected map[string]server.ServiceAck) int32 {
	n := int32(0)
	for _, ack := range connected {
		if ack.Version != "" && ack.Version != own {
			n++
		}
	}
	return n
}

// mayRoute are those of the revisions that some proxy may still route to.
func (s sightings) mayRoute(revisions []string) []string {
	var may []string
	for _, revision := range revisions {
		routes := func(ack server.ServiceAck) bool { return ack.HighestShare(revision) > 0 }
		found := len(s.nodes) > len(s.connected) // One without a stream may route anywhere.
		for _, acks := range []map[string]server.ServiceAck{s.connected, s.starting} {
			found = found || slices.ContainsFunc(slices.Collect(maps.Values(acks)), routes)
		}
		if found {
			may = append(may, revision)
		}
	}
	return may
}

// agreed is the lowest share of the canary that a connected proxy has confirmed.
func agreed(rendered rendering, connected map[string]server.ServiceAck) int32 {
	lowest := int32(-1)
	for _, ack := range connected {
		share := int32(math.Round(ack.LowestShare(rendered.canary()) * float64(rendered.Total)))
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
