package server

import (
	"maps"
	"slices"
	"time"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// routeBatch is up to how many RouteConfigurations go out one by one. Then a rejection says exactly which one is bad, and a
// weight changes only a few; a proxy that starts with hundreds is not made to wait for as many round trips.
const routeBatch = 8

// response is one message to the proxy.
type response struct {
	kind    kind
	nonce   string
	version string
	// add and removed say what changes, sorted by name.
	add     []*xds.Resource
	removed []string
	// set is all that the proxy has after it, for state-of-the-world only.
	set []*xds.Resource
}

// next returns what goes out now, in order, and notes it as sent. It returns nothing when all is said or every type waits
// for an ack.
func (s *stream) next(now time.Time) []response {
	var out []response
	for sent := true; sent; {
		sent = false
		for k := range kinds {
			if r, ok := s.nextOf(k); ok {
				s.depart(&r, now)
				out = append(out, r)
				sent = true
			}
		}
	}
	return out
}

// nextOf returns what is due of one type.
func (s *stream) nextOf(k kind) (response, bool) {
	t := &s.types[k]
	if !t.seen || t.flight != nil || len(t.todo) == 0 && !t.greet {
		return response{}, false
	}
	s.use = nil
	t.superseded(s.world.all[k])
	r, waits := response{kind: k}, false
	for _, name := range slices.Sorted(maps.Keys(t.todo)) {
		switch what, res := s.decide(k, name); what {
		case drop:
			delete(t.todo, name)
		case add:
			r.add = append(r.add, res)
		case remove:
			r.removed = append(r.removed, name)
		case wait:
			waits = true
		}
	}
	if k == listeners && waits && t.greet && !s.reconnected && len(r.add) == 0 {
		return response{}, false // Envoy would take no listeners for its whole configuration, and be ready.
	}
	if single := len(t.suspects) > 0 || k == routes && (t.single || len(r.add) <= routeBatch); single && len(r.add) > 0 {
		r.add, r.removed = r.add[:1], nil
	}
	if s.sotw {
		return s.wholeState(r)
	}
	greet := t.greet && t.wildcard
	t.greet = false
	return r, greet || len(r.add)+len(r.removed) > 0
}

// decision is what happens to a name that is due.
type decision uint8

const (
	drop decision = iota
	wait
	add
	remove
)

// decide says what is to be done about a name that is due, and with add what to send.
func (s *stream) decide(k kind, name string) (decision, *xds.Resource) {
	t := &s.types[k]
	published, held := s.world.all[k][name], t.held[name]
	_, lost := t.lost[name]
	unsure := lost || t.undefined[name] != nil
	version := removal
	if published != nil {
		version = published.Version
	}
	must := t.todo[name]
	// A cluster in flight gets warm only with an answer. Where that has to wait, what the proxy has serves as well.
	stopgap := k == endpoints && must && held != nil && held.Body != nil && s.types[clusters].flight.brings(name) != nil
	_, refused := t.refusal(name, version)
	switch {
	case refused && stopgap:
		return add, held
	case refused:
		return drop, nil
	case published == nil && held == nil && !unsure && !must:
		return drop, nil
	case published == nil && (held != nil || unsure) && !s.mayRemove(k, name) && stopgap:
		return add, held
	case published == nil && (held != nil || unsure) && !s.mayRemove(k, name):
		return wait, nil
	case published == nil:
		return remove, nil
	case held != nil && held.Version == version && !unsure && !must:
		return drop, nil
	case s.mayAdd(k, published):
		return add, published
	case stopgap:
		return add, held
	default:
		return wait, nil
	}
}

// depart notes that a response goes out.
func (s *stream) depart(r *response, now time.Time) {
	t := &s.types[r.kind]
	s.nonces++
	r.nonce = nonce(s.nonces)
	if r.version == "" {
		r.version = s.world.version(r.kind)
	}
	t.flight = &flight{nonce: r.nonce, add: r.add, removed: r.removed}
	t.sent = Delivery{Nonce: r.nonce, Version: r.version, At: now}
	for _, name := range r.removed {
		delete(t.todo, name)
	}
	for _, res := range r.add {
		delete(t.todo, res.Name)
		if published := s.world.all[r.kind][res.Name]; published != res {
			t.due(res.Name, false) // An older version went out in its stead; the published one is still to come.
		}
		if e := &s.types[endpoints]; r.kind == clusters && e.wants(res.Name) {
			// Envoy waits for the endpoints of a cluster that changed, and does not ask for them.
			e.due(res.Name, true)
		}
	}
	if len(t.todo) == 0 {
		t.todo = nil // A map keeps the room that it once took.
	}
}

// wholeState turns a change into a state-of-the-world response. Such a response takes clusters and listeners away by not
// naming them; routes and endpoints cannot be taken away at all.
func (s *stream) wholeState(r response) (response, bool) {
	t := &s.types[r.kind]
	byOmission := r.kind == clusters || r.kind == listeners
	if !byOmission {
		for _, name := range r.removed {
			t.takeAway(r.kind, name)
			delete(t.todo, name)
		}
		r.removed = nil
	}
	greet := t.greet && t.wildcard
	if !greet && len(r.add)+len(r.removed) == 0 {
		t.greet = false
		return r, false
	}
	after := make(map[string]*xds.Resource, len(t.held)+len(r.add))
	maps.Copy(after, t.held)
	for _, name := range r.removed {
		delete(after, name)
	}
	for _, res := range r.add {
		after[res.Name] = res
	}
	var digest uint64
	for _, name := range slices.Sorted(maps.Keys(after)) {
		res := after[name]
		if res.Body == nil && byOmission {
			return r, false // A ghost cannot be named, and leaving it out would take it away too early.
		}
		if res.Body != nil {
			r.set = append(r.set, res)
			digest ^= fingerprint(res)
		}
	}
	t.greet = false
	r.version = digestString(digest)
	return r, true
}
