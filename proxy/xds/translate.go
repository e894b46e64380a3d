package xds

import (
	"maps"
	"slices"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// World is everything that the proxies may have at one time. It must not be
// changed.
type World struct {
	// Snapshots are what each view gets. One in which nothing changed is the same as
	// in the previous world, by pointer. A gateway that is not served has none: what
	// its proxies have is not taken from them because somebody misspelt a field.
	Snapshots map[string]*Snapshot
	// Problems are what was left out because proxies would have rejected it, and for
	// what the last good state stands in. There are none unless Crossfade has a bug:
	// users' mistakes are refused before they come here.
	Problems []Problem

	services map[ir.ServiceKey]*service
	gateways map[string]*gateway
}

// Translate makes the resources of a configuration. What is the same as in the
// previous world is taken over from it, so that one changed weight among thousands
// costs one resource; nil is the world before the first one. Nothing that was made
// before is changed.
func Translate(previous *World, next ir.Config) *World {
	if previous == nil {
		previous = &World{}
	}
	world := &World{
		Snapshots: make(map[string]*Snapshot, len(next.Gateways)+1),
		services:  make(map[ir.ServiceKey]*service, len(next.Services)),
		gateways:  make(map[string]*gateway, len(next.Gateways)),
	}
	changed := world.addServices(previous, next.Services)
	if changed || previous.Snapshots[MeshView] == nil {
		world.Snapshots[MeshView] = world.mesh()
	} else {
		world.Snapshots[MeshView] = previous.Snapshots[MeshView]
	}
	for _, g := range next.Gateways {
		view := GatewayView(g.Namespace, g.Name)
		made, problems := makeGatewayListeners(previous.gateways[view], g, world.services)
		made.publish(previous.gateways[view], world.services)
		world.gateways[view], world.Snapshots[view] = made, made.snapshot
		world.Problems = append(world.Problems, problems...)
	}
	for _, view := range slices.Sorted(maps.Keys(world.gateways)) {
		world.Problems = append(world.Problems, checkReferences(world.Snapshots[view])...)
	}
	return world
}

// addServices makes the resources of all Services and says whether anything is
// different from the previous world.
func (w *World) addServices(previous *World, services []ir.Service) bool {
	changed := len(services) != len(previous.services)
	for _, s := range services {
		was := previous.services[s.ServiceKey]
		if was != nil && was.ir.Equal(s) {
			w.services[s.ServiceKey] = was
			continue
		}
		changed = true
		made, err := makeService(was, s)
		if err != nil {
			w.Problems = append(w.Problems, Problem{Resource: s.String(), Message: err.Error()})
			if made = was; was == nil {
				continue
			}
		}
		w.services[s.ServiceKey] = made
	}
	return changed
}

// mesh is what clients inside the cluster may ask for: every Service.
func (w *World) mesh() *Snapshot {
	snapshot := newSnapshot(len(w.services))
	for _, s := range w.services {
		for _, p := range s.ports {
			for i, cluster := range p.clusters {
				snapshot.Clusters[cluster.Name], snapshot.Endpoints[cluster.Name] = cluster, p.endpoints[i]
			}
			snapshot.Routes[p.routes.Name] = p.routes
			snapshot.Listeners[p.listener.Name] = p.listener
		}
	}
	return snapshot
}
