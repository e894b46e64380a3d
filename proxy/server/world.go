package server

import (
	"encoding/hex"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// kind is one type of resource. Their order is the order on the way in.
type kind uint8

const (
	clusters kind = iota
	endpoints
	listeners
	routes
	kinds
)

// typeURLs are the type URLs of the kinds.
var typeURLs = [kinds]string{xds.ClusterType, xds.EndpointType, xds.ListenerType, xds.RouteType}

// kindOf returns the kind of a type URL, or false for a type that is not served.
func kindOf(typeURL string) (kind, bool) {
	i := slices.Index(typeURLs[:], typeURL)
	return kind(max(i, 0)), i >= 0
}

// recentVersions is how many replaced versions of a RouteConfiguration a world remembers: a proxy that was away for a few
// steps comes back with one of them, and then its weights are known instead of feared.
const recentVersions = 4

// world is one published snapshot, made ready for many streams: what changed is computed once, not once per stream.
type world struct {
	// seq counts the worlds of a view.
	seq uint64
	// all holds the resources. Equal content keeps its pointer from world to world, so streams that got it at different
	// times share one copy.
	all [kinds]map[string]*xds.Resource
	// changed names what differs from world seq-1.
	changed [kinds][]string
	// digest is a hash over names and versions. Order does not matter to it, so it is carried forward by what changed.
	digest [kinds]uint64
	// recent holds replaced versions of RouteConfigurations, the latest last.
	recent map[string][]*xds.Resource
	// mentions names the RouteConfigurations, and the endpoints, that carry a split of a service.
	mentions [kinds]map[string][]string
}

// newWorld makes the world that follows prev, which is nil for the first.
func newWorld(prev *world, snap *xds.Snapshot) *world {
	if prev == nil {
		prev = &world{}
	}
	w := &world{seq: prev.seq + 1, digest: prev.digest, recent: prev.recent, mentions: prev.mentions}
	for k := range kinds {
		next := snap.Of(typeURLs[k])
		w.changed[k] = diff(prev.all[k], next)
		w.all[k] = prev.all[k]
		if len(w.changed[k]) == 0 {
			continue
		}
		w.all[k] = maps.Clone(prev.all[k])
		if w.all[k] == nil {
			w.all[k] = make(map[string]*xds.Resource, len(next))
		}
		for _, name := range w.changed[k] {
			w.digest[k] ^= fingerprint(prev.all[k][name]) ^ fingerprint(next[name])
			if r := next[name]; r != nil {
				w.all[k][name] = r
			} else {
				delete(w.all[k], name)
			}
		}
	}
	if len(w.changed[routes]) > 0 {
		w.recent = remember(prev, w)
	}
	for _, k := range []kind{routes, endpoints} {
		if w.splitsChanged(prev, k) {
			w.mentions[k] = mentions(w.all[k])
		}
	}
	return w
}

// splitsChanged says whether a resource with a split came, changed or went. Endpoints change with every pod, and hardly any
// of them has one.
func (w *world) splitsChanged(prev *world, k kind) bool {
	return slices.ContainsFunc(w.changed[k], func(name string) bool {
		before, after := prev.all[k][name], w.all[k][name]
		return before != nil && before.Splits != nil || after != nil && after.Splits != nil
	})
}

// version names the state of one type, for people and for SystemVersionInfo; nothing is decided by it.
func (w *world) version(k kind) string {
	return digestString(w.digest[k])
}

// diff returns the sorted names whose versions differ between two sets.
func diff(prev, next map[string]*xds.Resource) []string {
	var names []string
	for name, r := range next {
		if p := prev[name]; p == nil || p.Version != r.Version {
			names = append(names, name)
		}
	}
	for name := range prev {
		if next[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// remember returns the replaced RouteConfigurations after the step from prev to w. Those of names that are gone are kept
// for one world more.
func remember(prev, w *world) map[string][]*xds.Resource {
	recent := make(map[string][]*xds.Resource, len(prev.recent))
	for name, versions := range prev.recent {
		if prev.all[routes][name] != nil || w.all[routes][name] != nil {
			recent[name] = versions
		}
	}
	for _, name := range w.changed[routes] {
		if old := prev.all[routes][name]; old != nil {
			versions := append(slices.Clone(recent[name]), old)
			recent[name] = versions[max(0, len(versions)-recentVersions):]
		}
	}
	return recent
}

func mentions(all map[string]*xds.Resource) map[string][]string {
	index := map[string][]string{}
	for name, r := range all {
		for _, split := range r.Splits {
			if names := index[split.Service]; len(names) == 0 || names[len(names)-1] != name {
				index[split.Service] = append(names, name)
			}
		}
	}
	return index
}

func fingerprint(r *xds.Resource) uint64 {
	if r == nil {
		return 0
	}
	return xxhash.Sum64String(r.Name + "\x00" + r.Version)
}

func digestString(digest uint64) string {
	var b [8]byte
	for i := range b {
		b[i] = byte(digest >> (56 - 8*i))
	}
	return hex.EncodeToString(b[:])
}

// differs says whether the world is another one than the one before it.
func (w *world) differs() bool {
	for k := range kinds {
		if len(w.changed[k]) > 0 {
			return true
		}
	}
	return false
}
