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
	mesh     mesh
	// sidecars are the snapshots of sidecars by what they are made of.
	sidecars map[sidecarKey]*Snapshot
}

// Options are what is the same for all worlds.
type Options struct {
	// TLSDir is the directory in which proxies find their certificate; TLSDir where it
	// is empty.
	TLSDir string
	// WithoutGRPC leaves out what only gRPC clients need, of every Service, and their
	// view.
	WithoutGRPC bool
}

// Translate makes the resources of a configuration with the default options.
func Translate(previous *World, next ir.Config) *World { return Options{}.Translate(previous, next) }

// Translate makes the resources of a configuration. What is the same as in the
// previous world is taken over from it, so that one changed weight among thousands
// costs one resource; nil is the world before the first one. Nothing that was made
// before is changed.
func (o Options) Translate(previous *World, next ir.Config) *World {
	m := mesh{trustDomain: next.TrustDomain, dir: o.TLSDir, ipv6: next.IPv6, collector: next.Collector, grpc: !o.WithoutGRPC}
	m.telemetries = m.collectTelemetries(next.Sidecars)
	if m.dir == "" {
		m.dir = TLSDir
	}
	if previous == nil || previous.mesh.trustDomain != m.trustDomain || previous.mesh.dir != m.dir || previous.mesh.collector != m.collector {
		// Whom to trust is part of every cluster, and whether there is a collector of many
		// listeners.
		previous = &World{mesh: m}
	}
	world := &World{
		Snapshots: make(map[string]*Snapshot, len(next.Gateways)+len(next.Sidecars)+1),
		services:  make(map[ir.ServiceKey]*service, len(next.Services)),
		gateways:  make(map[string]*gateway, len(next.Gateways)),
		mesh:      m,
	}
	changed := world.addServices(previous, next.Services)
	if m.grpc {
		world.Snapshots[MeshView] = previous.Snapshots[MeshView]
		if changed || world.Snapshots[MeshView] == nil {
			world.Snapshots[MeshView] = world.forGRPC()
		}
	}
	for _, g := range next.Gateways {
		view := GatewayView(g.Namespace, g.Name)
		made, problems := makeGatewayListeners(previous.gateways[view], g, world.services)
		made.publish(previous.gateways[view], world.services)
		world.gateways[view], world.Snapshots[view] = made, made.snapshot
		world.Problems = append(world.Problems, problems...)
	}
	for _, s := range next.Services {
		if made := world.services[s.ServiceKey]; made != nil {
			world.Problems = append(world.Problems, made.problems...)
		}
	}
	for _, view := range slices.Sorted(maps.Keys(world.gateways)) {
		world.Problems = append(world.Problems, checkReferences(world.Snapshots[view])...)
	}
	if m.on() {
		world.addSidecars(previous, next.Sidecars, changed)
	}
	return world
}

// addServices makes the resources of all Services and says whether anything is
// different from the previous world.
func (w *World) addServices(previous *World, services []ir.Service) bool {
	// Who is asked to tell something that nobody told before needs listeners that do, and
	// the first of its kind needs all.
	sameMesh := slices.Equal(previous.mesh.telemetries, w.mesh.telemetries) && previous.mesh.grpc == w.mesh.grpc
	changed := len(services) != len(previous.services) || !sameMesh
	for _, s := range services {
		was := previous.services[s.ServiceKey]
		if was != nil && was.ir.Equal(s) && sameMesh {
			w.services[s.ServiceKey] = was
			continue
		}
		changed = true
		made, err := w.mesh.makeService(was, s)
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

// forGRPC is what gRPC clients inside the cluster may ask for: every Service, in
// cleartext.
func (w *World) forGRPC() *Snapshot {
	snapshot := newSnapshot(len(w.services))
	for _, s := range w.services {
		for _, p := range s.ports {
			for _, r := range p.revisions {
				snapshot.Clusters[r.plain.Name], snapshot.Endpoints[r.plain.Name] = r.plain, r.plainEndpoints
			}
			snapshot.Routes[p.plainRoutes.Name] = p.plainRoutes
			snapshot.Listeners[p.listener.Name] = p.listener
		}
	}
	return snapshot
}
