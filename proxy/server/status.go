package server

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// ProxyStatus is what is known about one connected proxy.
type ProxyStatus struct {
	Node string `json:"node"`
	View string `json:"view"`
	// Version is the one of Crossfade that the proxy says it has; empty if it says none.
	Version        string    `json:"version,omitempty"`
	ConnectedSince time.Time `json:"connectedSince"`
	// Types holds the types that the proxy asked for, by type URL.
	Types map[string]TypeStatus `json:"types"`
}

// TypeStatus is the account of one type of resource on one stream.
type TypeStatus struct {
	// Sent is the newest response, Acked the newest one that the proxy accepted.
	Sent  Delivery `json:"sent"`
	Acked Delivery `json:"acked"`
	// LastError is the text of the newest rejection on this stream.
	LastError   string                    `json:"lastError,omitempty"`
	LastErrorAt time.Time                 `json:"lastErrorAt,omitzero"`
	Resources   map[string]ResourceStatus `json:"resources"`
}

// Delivery is one response. Version is a hash over all that was published of the type (over all that the proxy has, with
// state-of-the-world).
type Delivery struct {
	Nonce   string    `json:"nonce"`
	Version string    `json:"version"`
	At      time.Time `json:"at,omitzero"`
}

// ResourceStatus holds the versions of one resource.
type ResourceStatus struct {
	// Acked is what the proxy confirmed, Sent what is on its way (or Acked, if nothing is). Empty means none.
	Acked string `json:"acked,omitempty"`
	Sent  string `json:"sent,omitempty"`
	// Rejected is the proxy's reason for refusing the version that is published.
	Rejected string `json:"rejected,omitempty"`
}

// ServiceAck is what one connected proxy has confirmed of the weights of one service.
type ServiceAck struct {
	Node string
	// Version is the one of Crossfade that the proxy says it has; empty if it says none.
	Version string
	// Current says that the proxy has acked how the published RouteConfigurations divide the requests of the service, and
	// may not be using anything else.
	Current bool
	// Rejected is the proxy's reason for refusing what is published now.
	Rejected string
	// Acked are the splits of the service in the versions that the proxy has acked.
	Acked []xds.Split
	// Possible are the splits that the proxy may be using: the acked ones, those on their way, and those of which a
	// rejection left open whether they were applied.
	Possible []xds.Split
	// Unknown says that the proxy still uses a version from before this server's time, with whatever weights.
	Unknown bool
}

// LowestShare returns the smallest share of the service's requests that the proxy has confirmed for a revision, over all
// ports and routes, from 0 to 1; 0 if it has confirmed none.
func (a ServiceAck) LowestShare(revision string) float64 {
	if len(a.Acked) == 0 {
		return 0
	}
	lowest := 1.0
	for _, split := range a.Acked {
		lowest = min(lowest, share(split, revision))
	}
	return lowest
}

// HighestShare returns the largest share of the service's requests that the proxy may still be sending to a revision,
// from 0 to 1. It is 1 when that is not known: a condition may fit all requests, and a copy of a request is one, too.
func (a ServiceAck) HighestShare(revision string) float64 {
	if a.Unknown {
		return 1
	}
	highest := 0.0
	for _, split := range a.Possible {
		if split.Reached == revision && revision != "" {
			return 1
		}
		highest = max(highest, share(split, revision))
	}
	return highest
}

func share(split xds.Split, revision string) float64 {
	if split.Total == 0 {
		return 0
	}
	return float64(split.Weights[revision]) / float64(split.Total)
}

// Proxies returns the status of every connected proxy, sorted by node. Of two streams of one node, which overlap after a
// reconnect, it shows the newer.
func (s *Server) Proxies() []ProxyStatus {
	connections := s.newest()
	proxies := make([]ProxyStatus, 0, len(connections))
	for _, c := range connections {
		c.mu.Lock()
		types := c.stream.status()
		c.mu.Unlock()
		proxies = append(proxies, ProxyStatus{Node: c.node, View: c.viewName, Version: c.version, ConnectedSince: c.since, Types: types})
	}
	return proxies
}

// ServiceAcks returns what each connected proxy that routes to a service ("<namespace>/<name>") has confirmed, sorted by
// node. Proxies that are not connected are not in it: whoever must not miss one has to know from elsewhere that it exists.
func (s *Server) ServiceAcks(service string) []ServiceAck {
	var acks []ServiceAck
	for _, c := range s.newest() {
		c.mu.Lock()
		// The published world counts, even if the stream is busy sending and has not looked at it yet.
		c.stream.advance(c.view.world.Load())
		ack, routes := c.stream.serviceAck(service)
		c.mu.Unlock()
		if routes {
			ack.Node, ack.Version = c.node, c.version
			acks = append(acks, ack)
		}
	}
	return acks
}

// Versions counts the connected proxies by the version of Crossfade that they say they have; those that say none are under
// the empty one. Proxies choose the text: it is no label for a metric.
func (s *Server) Versions() map[string]int {
	versions := map[string]int{}
	for _, c := range s.newest() {
		versions[c.version]++
	}
	return versions
}

// Unanswered is how long the response that has waited longest for a proxy's answer, be it an ack or a rejection, has been on
// its way; 0 when none is. Envoy answers clusters only when all of them have their endpoints, within 15 s at worst.
func (s *Server) Unanswered() time.Duration {
	now, longest := s.options.Now(), time.Duration(0)
	for _, c := range s.newest() {
		c.mu.Lock()
		for k := range kinds {
			if t := &c.stream.types[k]; t.flight != nil {
				longest = max(longest, now.Sub(t.sent.At))
			}
		}
		c.mu.Unlock()
	}
	return longest
}

// newest returns the newest connection of each node, sorted by node.
func (s *Server) newest() []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	byNode := make(map[string]*connection, len(s.connections))
	for c := range s.connections {
		if other := byNode[c.node]; other == nil || other.number < c.number {
			byNode[c.node] = c
		}
	}
	return slices.SortedFunc(maps.Values(byNode), func(a, b *connection) int { return cmp.Compare(a.node, b.node) })
}

// status returns the account of the stream by type URL.
func (s *stream) status() map[string]TypeStatus {
	types := map[string]TypeStatus{}
	for k := range kinds {
		t := &s.types[k]
		if !t.seen {
			continue
		}
		status := TypeStatus{
			Sent: t.sent, Acked: t.acked, LastError: t.lastError, LastErrorAt: t.lastErrorAt,
			Resources: make(map[string]ResourceStatus, len(t.held)),
		}
		for name, r := range t.held {
			status.Resources[name] = ResourceStatus{Acked: r.Version, Sent: r.Version}
		}
		if t.flight != nil {
			for _, r := range t.flight.add {
				status.Resources[r.Name] = ResourceStatus{Acked: status.Resources[r.Name].Acked, Sent: r.Version}
			}
		}
		for name := range t.rejected {
			published := s.world.all[k][name]
			if published == nil {
				continue
			}
			if text, refused := t.refusal(name, published.Version); refused {
				r := status.Resources[name]
				r.Rejected = text
				status.Resources[name] = r
			}
		}
		types[typeURLs[k]] = status
	}
	return types
}

// serviceAck returns what the proxy has confirmed of a service, and whether it routes to it at all. Where there are no
// requests that routes could divide, the endpoints carry the weights.
func (s *stream) serviceAck(service string) (ServiceAck, bool) {
	ack, found := ServiceAck{Current: true}, false
	for name := range s.candidates(service) {
		found = s.account(&ack, routes, name, service) || found
	}
	for _, name := range s.world.mentions[endpoints][service] {
		found = s.account(&ack, endpoints, name, service) || found
	}
	return ack, found
}

// account adds what the proxy has confirmed of one resource, and says whether that concerns the service.
func (s *stream) account(ack *ServiceAck, k kind, name, service string) bool {
	t := &s.types[k]
	published := s.world.all[k][name]
	relevant := published != nil && t.wants(name) && mentionsService(published, service)
	same := true // All that the proxy may be using divides the service as the published version does.
	var possible []xds.Split
	unknown := false
	t.used(name, func(r *xds.Resource) bool {
		relevant = relevant || mentionsService(r, service)
		same = same && r.Body != nil && published != nil && equalSplits(r, published, service)
		unknown = unknown || r.Body == nil
		possible = append(possible, splitsOf(r, service)...)
		return false
	})
	if !relevant {
		return false
	}
	ack.Unknown = ack.Unknown || unknown
	ack.Possible = append(ack.Possible, possible...)
	held := t.held[name]
	if held != nil {
		ack.Acked = append(ack.Acked, splitsOf(held, service)...)
	}
	switch {
	case published == nil:
		// One whose removal is acked may linger on old connections, but there is nothing more to confirm.
		ack.Current = ack.Current && held == nil
	case held != nil && same:
		// A gateway's RouteConfiguration changes with every weight of anybody. What others change in it must not look
		// like an unacked weight of this service, nor may a proxy's refusal of it stop this one.
	default:
		ack.Current = false
		if text, refused := t.refusal(name, published.Version); refused {
			ack.Rejected = text
		}
	}
	return true
}

// candidates returns the names of the RouteConfigurations that may mention the service: those that do as published, and
// those of which the proxy may be using another version.
func (s *stream) candidates(service string) map[string]struct{} {
	t := &s.types[routes]
	names := map[string]struct{}{}
	for _, name := range s.world.mentions[routes][service] {
		names[name] = struct{}{}
	}
	for name := range t.todo {
		names[name] = struct{}{}
	}
	for name := range t.rejected {
		names[name] = struct{}{}
	}
	for _, versions := range []map[string]*xds.Resource{t.undefined, t.lingering} {
		for name := range versions {
			names[name] = struct{}{}
		}
	}
	if t.flight != nil {
		for _, r := range t.flight.add {
			names[r.Name] = struct{}{}
		}
		for _, name := range t.flight.removed {
			names[name] = struct{}{}
		}
	}
	return names
}

// mentionsService says whether a RouteConfiguration has a split of the service. A ghost may have one.
func mentionsService(r *xds.Resource, service string) bool {
	return r.Body == nil || len(splitsOf(r, service)) > 0
}

// equalSplits says whether two versions divide the requests of a service alike, wherever they route to it.
func equalSplits(a, b *xds.Resource, service string) bool {
	return slices.EqualFunc(splitsOf(a, service), splitsOf(b, service), func(x, y xds.Split) bool {
		return x.Port == y.Port && x.Total == y.Total && x.Traffic == y.Traffic && maps.Equal(x.Weights, y.Weights)
	})
}

func splitsOf(r *xds.Resource, service string) []xds.Split {
	var splits []xds.Split
	for _, split := range r.Splits {
		if split.Service == service {
			splits = append(splits, split)
		}
	}
	return splits
}
