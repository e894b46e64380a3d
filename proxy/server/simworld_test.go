package server

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// mirrored marks the clusters for copies, which come and go with what makes them.
const mirrored = "|mirror"

// bad marks the versions of resources that the modelled proxy refuses.
const bad = "!"

// simRevision is one revision of a simulated service.
type simRevision struct {
	cluster, endpoints int // Generations of the content.
	badCluster, badCLA bool
	ready              int
	weight             uint32
	// reached says that it gets requests by a condition or as copies, whatever its weight is.
	reached bool
}

// simWorld is the truth of a schedule, from which snapshots are made. It keeps what rendering promises: weights above zero,
// conditions and copies only for revisions with endpoints, a constant sum, and never a sum of zero.
type simWorld struct {
	rng      *rand.Rand
	services map[string]map[string]*simRevision
	badRoute map[string]bool
	next     int
	// quiet leaves out everything that a proxy would refuse, and changes of living clusters.
	quiet bool
	body  *anypb.Any
}

const simTotal = 100

func newSimWorld(rng *rand.Rand, quiet bool) *simWorld {
	w := &simWorld{rng: rng, services: map[string]map[string]*simRevision{}, badRoute: map[string]bool{}, quiet: quiet, body: &anypb.Any{}}
	w.addService()
	w.addService()
	return w
}

// step changes one to three things, so that a snapshot often carries several steps at once.
func (w *simWorld) step() {
	for range 1 + w.rng.IntN(3) {
		w.change()
	}
}

func (w *simWorld) change() {
	service := w.pickService()
	revisions := w.services[service]
	name := pick(w.rng, slices.Sorted(maps.Keys(revisions)))
	r := revisions[name]
	w.next++
	switch w.rng.IntN(16) {
	case 0, 1, 2:
		w.shift(revisions, name)
	case 3, 4:
		if len(revisions) < 3 {
			added := &simRevision{cluster: w.next, endpoints: w.next, ready: w.rng.IntN(3)}
			revisions[fmt.Sprintf("r%d", w.next%5)] = added // Names come back, as revisions do after an undo.
			w.repair(revisions)
		}
	case 5, 6:
		if len(revisions) > 1 {
			delete(revisions, name)
			w.repair(revisions)
		}
	case 7, 8:
		r.ready, r.endpoints = w.rng.IntN(3), w.next
		w.repair(revisions)
	case 9:
		r.endpoints = w.next
	case 10:
		if !w.quiet {
			r.cluster = w.next
		}
	case 11:
		w.badRoute[service] = !w.quiet && !w.badRoute[service]
	case 12:
		if !w.quiet {
			r.badCluster, r.badCLA = w.rng.IntN(3) == 0, w.rng.IntN(4) == 0
			r.cluster, r.endpoints = w.next, w.next
		}
	case 13:
		if len(w.services) > 1 && w.rng.IntN(2) == 0 {
			delete(w.services, service)
		} else if len(w.services) < 3 {
			w.addService()
		}
	case 14, 15:
		for _, other := range revisions {
			other.reached = false
		}
		r.reached = r.ready > 0 && w.rng.IntN(3) > 0
	}
}

func (w *simWorld) addService() {
	w.next++
	w.services[fmt.Sprintf("s%d", w.next%4)] = map[string]*simRevision{
		"r0": {cluster: w.next, endpoints: w.next, ready: 2, weight: simTotal},
	}
}

func (w *simWorld) pickService() string {
	return pick(w.rng, slices.Sorted(maps.Keys(w.services)))
}

// shift moves weight to a revision if it has endpoints.
func (w *simWorld) shift(revisions map[string]*simRevision, name string) {
	if revisions[name].ready == 0 {
		return
	}
	share := uint32(w.rng.IntN(simTotal + 1))
	for other, r := range revisions {
		r.weight = 0
		if other == name {
			r.weight = share
		}
	}
	w.repair(revisions)
}

// repair makes the weights of a service lawful again.
func (w *simWorld) repair(revisions map[string]*simRevision) {
	var sum uint32
	names := slices.Sorted(maps.Keys(revisions))
	for _, name := range names {
		if r := revisions[name]; r.ready == 0 {
			r.weight, r.reached = 0, false
		}
		sum += revisions[name].weight
	}
	for _, name := range names {
		if r := revisions[name]; r.ready > 0 {
			r.weight += simTotal - sum
			return
		}
	}
	// Nobody is ready: the first one gets a pod, so that an empty cluster under a weight is always the order's fault.
	r := revisions[names[0]]
	w.next++
	r.ready, r.endpoints, r.weight = 1, w.next, simTotal
}

// snapshot renders the world: a route per service and one of a gateway that carries all of them.
func (w *simWorld) snapshot() *xds.Snapshot {
	snap := &xds.Snapshot{
		Clusters: map[string]*xds.Resource{}, Endpoints: map[string]*xds.Resource{},
		Listeners: map[string]*xds.Resource{}, Routes: map[string]*xds.Resource{},
	}
	gateway := &xds.Resource{Name: "gateway", Body: w.body}
	for _, service := range slices.Sorted(maps.Keys(w.services)) {
		route := &xds.Resource{Name: service, Body: w.body}
		split := xds.Split{Service: service, Port: 80, Weights: map[string]uint32{}, Total: simTotal}
		var version strings.Builder
		for _, name := range slices.Sorted(maps.Keys(w.services[service])) {
			r := w.services[service][name]
			cluster := service + "|" + name
			mark := map[bool]string{true: bad}
			cv := fmt.Sprintf("c%d%s", r.cluster, mark[r.badCluster])
			snap.Clusters[cluster] = &xds.Resource{Name: cluster, Version: cv, Body: w.body}
			ev := fmt.Sprintf("e%d.%d.%d%s", r.endpoints, r.ready, r.cluster, mark[r.badCLA])
			snap.Endpoints[cluster] = &xds.Resource{Name: cluster, Version: ev, Body: w.body, Empty: r.ready == 0}
			route.References = append(route.References, cluster)
			split.Weights[name] = r.weight
			fmt.Fprintf(&version, "%s=%d,", name, r.weight)
			if r.reached {
				split.Reached, split.Traffic = name, name
				mirror := cluster + mirrored
				snap.Clusters[mirror] = &xds.Resource{Name: mirror, Version: cv, Body: w.body}
				snap.Endpoints[mirror] = &xds.Resource{Name: mirror, Version: ev, Body: w.body}
				route.References = append(route.References, mirror)
				fmt.Fprintf(&version, "%s*,", name)
			}
		}
		route.Splits = []xds.Split{split}
		route.Version = version.String()
		gateway.Version += service + ":" + route.Version
		gateway.References = append(gateway.References, route.References...)
		gateway.Splits = append(gateway.Splits, split)
		if w.badRoute[service] {
			route.Version += bad
		}
		snap.Routes[service] = route
		snap.Listeners[service] = &xds.Resource{Name: service, Version: "l", Body: w.body, References: []string{service}}
	}
	snap.Routes["gateway"] = gateway
	snap.Listeners["gateway"] = &xds.Resource{Name: "gateway", Version: "l", Body: w.body, References: []string{"gateway"}}
	return snap
}

func refused(r *xds.Resource) bool { return strings.HasSuffix(r.Version, bad) }

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }
