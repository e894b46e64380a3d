package server

import (
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// all is the name that stands for every resource of a type.
const all = "*"

// deltaRequest takes in a request of an incremental stream. The subscription part counts even when the nonce is stale.
func (s *stream) deltaRequest(k kind, req *discoveryv3.DeltaDiscoveryRequest, now time.Time) {
	t := &s.types[k]
	if !t.seen {
		s.firstDelta(k, req)
	} else {
		for _, name := range req.GetResourceNamesUnsubscribe() {
			s.unsubscribe(k, name)
		}
		for _, name := range req.GetResourceNamesSubscribe() {
			s.subscribe(k, name, true)
		}
	}
	s.answer(k, reply{
		nonce:    req.GetResponseNonce(),
		text:     req.GetErrorDetail().GetMessage(),
		rejected: req.GetErrorDetail() != nil,
	}, now)
}

// firstDelta takes in the first request for a type: what the proxy has from before, and what it wants.
func (s *stream) firstDelta(k kind, req *discoveryv3.DeltaDiscoveryRequest) {
	t := &s.types[k]
	t.seen = true
	initial := req.GetInitialResourceVersions()
	names := req.GetResourceNamesSubscribe()
	if len(names) == 0 && (k == clusters || k == listeners) {
		names = []string{all} // Who names nothing wants everything: the way before "*" was.
	}
	t.greet = len(initial) == 0
	for _, name := range names {
		version, had := initial[name]
		r := s.world.all[k][name]
		// At an equal version there is nothing to say. But Envoy waits for endpoints if their cluster was warming.
		s.subscribe(k, name, k == endpoints || !had || r == nil || r.Version != version)
	}
	for name, version := range initial {
		if t.wants(name) {
			s.reconnected = true
			t.have(s.resolve(k, name, version))
			t.due(name, false)
		}
	}
}

// resolve finds what a proxy has that says its version only. What is not known any more becomes a ghost.
func (s *stream) resolve(k kind, name, version string) *xds.Resource {
	if r := s.world.all[k][name]; r != nil && r.Version == version {
		return r
	}
	if k == routes {
		for _, r := range s.world.recent[name] {
			if r.Version == version {
				return r
			}
		}
	}
	return &xds.Resource{Name: name, Version: version}
}

// subscribe adds a name; must says that it is answered even when the proxy has it.
func (s *stream) subscribe(k kind, name string, must bool) {
	t := &s.types[k]
	if name == all {
		t.wildcard = true
		for name := range s.world.all[k] {
			t.due(name, false)
		}
		return
	}
	if t.names == nil {
		t.names = map[string]struct{}{}
	}
	if r := s.world.all[k][name]; r != nil {
		name = r.Name // One copy of the name for all streams.
	}
	t.names[name] = struct{}{}
	t.due(name, must)
}

// unsubscribe takes a name back. One that the wildcard still covers is answered, so that the proxy knows whether it is
// to keep it.
func (s *stream) unsubscribe(k kind, name string) {
	t := &s.types[k]
	if name != all {
		delete(t.names, name)
		if t.wildcard {
			t.due(name, true)
		} else {
			t.forget(name)
		}
		return
	}
	t.wildcard = false
	for _, known := range []map[string]*xds.Resource{t.held, t.undefined, t.lingering} {
		for name := range known {
			if !t.wants(name) {
				t.forget(name)
			}
		}
	}
	for name := range t.todo {
		if !t.wants(name) {
			t.forget(name)
		}
	}
}

// sotwRequest takes in a request of a state-of-the-world stream, which always lists every name that it wants.
func (s *stream) sotwRequest(k kind, req *discoveryv3.DiscoveryRequest, now time.Time) {
	t := &s.types[k]
	names := req.GetResourceNames()
	if len(names) == 0 && (k == clusters || k == listeners) && (!t.seen || t.wildcard && len(t.names) == 0) {
		names = []string{all}
	}
	first := !t.seen
	t.seen = true
	t.greet = t.greet || first
	wanted := make(map[string]struct{}, len(names))
	for _, name := range names {
		wanted[name] = struct{}{}
	}
	if _, everything := wanted[all]; t.wildcard && !everything {
		s.unsubscribe(k, all)
	}
	for name := range t.names {
		if _, still := wanted[name]; !still {
			s.unsubscribe(k, name)
		}
	}
	for name := range wanted {
		if !t.subscribed(name) {
			s.subscribe(k, name, true)
			// The proxy has something of these names from an earlier stream, but it cannot say what.
			if first && name != all && req.GetVersionInfo() != "" {
				s.reconnected = true
				t.have(&xds.Resource{Name: name})
			}
		}
	}
	s.answer(k, reply{
		nonce:    req.GetResponseNonce(),
		text:     req.GetErrorDetail().GetMessage(),
		rejected: req.GetErrorDetail() != nil,
	}, now)
}

// subscribed says whether the proxy asked for exactly this, a name or everything.
func (t *subscription) subscribed(name string) bool {
	if name == all {
		return t.wildcard
	}
	_, named := t.names[name]
	return named
}
