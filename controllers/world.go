package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// world is what was published to the proxies last, as far as the rollout loop
// has to know it.
type world struct {
	gateway types.NamespacedName
	views   *Views

	// first is closed when something was published at all.
	first chan struct{}

	mu       sync.RWMutex
	rollouts map[types.NamespacedName]rendering
	// atGateway and inMesh are the Services that gateways and sidecars route to.
	atGateway, inMesh map[string]bool
}

// rendering is what is published for one Rollout.
type rendering struct {
	proxy.Effective
	// record is what it was rendered from, the cache's own; nil if there is nothing.
	record *v1alpha1.Record
	// ever are the revisions that were published since this process serves, the
	// record's among them: a proxy without a stream may route to any of them.
	ever []string
}

// canary is the revision on its way, if any.
func (r rendering) canary() string {
	if r.record == nil {
		return ""
	}
	return r.record.Canary
}

// is says whether the rendering was made from this record.
func (r rendering) is(record *v1alpha1.Record) bool {
	return r.record != nil && record != nil && sameSplit(r.record, record)
}

// sameSplit compares what of a record the proxies are told.
func sameSplit(a, b *v1alpha1.Record) bool {
	return a.Service == b.Service && a.Stable == b.Stable && a.Canary == b.Canary && a.Old == b.Old &&
		a.Weight == b.Weight && a.Total == b.Total && a.Capacity == b.Capacity &&
		equality.Semantic.DeepEqual(a.Traffic, b.Traffic)
}

func newWorld(gateway types.NamespacedName, views *Views) *world {
	return &world{gateway: gateway, views: views, first: make(chan struct{}), rollouts: map[types.NamespacedName]rendering{}}
}

// someWorld waits until something was published. A process that has only just become
// the leader knows of no proxy before: who read that as "no proxy routes to the
// Service" would tell so in the status, in the midst of a delivery.
func (w *world) someWorld(ctx context.Context) error {
	select {
	case <-w.first:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the first configuration of the proxies: %w", ctx.Err())
	}
}

func (w *world) rendering(key types.NamespacedName) rendering {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.rollouts[key]
}

// routesAtGateway says whether the gateways have the Service in their
// configuration.
func (w *world) routesAtGateway(service string) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.atGateway[service]
}

// routesInMesh says whether the sidecars that know the Service's namespace divide its
// requests. The pods of a headless Service are chosen by the clients themselves.
func (w *world) routesInMesh(service string) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.inMesh[service]
}

// published takes over what was just handed to the xDS server, and returns the
// Rollouts for which something changed.
func (w *world) published(rollouts []*v1alpha1.Rollout, out proxy.Output) []types.NamespacedName {
	next := make(map[types.NamespacedName]rendering, len(out.Effective))
	var changed []types.NamespacedName
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ro := range rollouts {
		key := keyOf(ro)
		effective, has := out.Effective[key]
		if !has || ro.Status.Record == nil {
			continue
		}
		before, was := w.rollouts[key]
		if len(out.Config.Sidecars) == 0 {
			effective.ByConnection = nil // A gateway knows requests only.
		}
		r := rendering{Effective: effective, record: ro.Status.Record}
		r.ever = everPublished(before.ever, r)
		next[key] = r
		if !was || !before.is(r.record) || before.Weight != r.Weight || !slices.Equal(before.Revisions, r.Revisions) ||
			!slices.Equal(before.ByConnection, r.ByConnection) {
			changed = append(changed, key)
		}
	}
	if w.atGateway == nil {
		close(w.first)
	}
	w.rollouts, w.atGateway, w.inMesh = next, servicesAtGateways(out.Config), servicesInMesh(out.Config)
	return changed
}

// everPublished keeps the revisions that a proxy without a stream may still
// route to. Without a canary and an old revision there is nothing left to fear.
func everPublished(before []string, r rendering) []string {
	record := r.record
	out := []string{}
	if record.Canary != "" || record.Old != "" {
		out = append(out, before...)
	}
	for _, name := range append([]string{record.Stable, record.Canary, record.Old}, r.Revisions...) {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func servicesInMesh(config ir.Config) map[string]bool {
	out := map[string]bool{}
	for _, s := range config.Services {
		if len(s.ClusterIPs) > 0 && len(s.Ports) > 0 {
			out[s.String()] = true
		}
	}
	return out
}

func servicesAtGateways(config ir.Config) map[string]bool {
	out := map[string]bool{}
	for _, g := range config.Gateways {
		for _, l := range g.Listeners {
			for _, h := range l.VirtualHosts {
				for _, r := range h.Routes {
					for _, b := range r.Backends {
						out[b.Service.String()] = true
					}
				}
			}
		}
	}
	return out
}
