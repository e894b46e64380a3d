package server

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// stream is what the server knows about one proxy's stream, and the rules of what goes out on it next. It is pure and not
// safe for concurrent use. A request goes in through deltaRequest or sotwRequest, a newly published world through advance;
// after each of them next says what to send.
type stream struct {
	// sotw says that the proxy speaks state-of-the-world.
	sotw bool
	// world is what the proxy should have.
	world *world
	// reconnected says that the proxy brought resources from an earlier stream.
	reconnected bool
	nonces      uint64
	types       [kinds]subscription
	// use caches which clusters are in use, within one call of next.
	use *inUse
}

// subscription is one type of resource on a stream. All maps are keyed by resource name.
type subscription struct {
	// seen says that a request for this type has come.
	seen bool
	// wildcard says that the proxy wants all there is; names are those it asked for by name.
	wildcard bool
	names    map[string]struct{}
	// greet says that the first answer is due even when it has nothing in it: Envoy starts only after one.
	greet bool
	// held is what the proxy has acked. A resource without a body is a ghost: the proxy said that it has this version, from
	// an earlier stream, and the server does not know what is in it.
	held map[string]*xds.Resource
	// undefined are versions of which a NACK left open whether the proxy uses them.
	undefined map[string]*xds.Resource
	// lost are names whose removal was in a NACKed response: the proxy may have them or not.
	lost map[string]struct{}
	// lingering are removed RouteConfigurations. Envoy acks the removal and goes on using them until it unsubscribes.
	lingering map[string]*xds.Resource
	// todo are names that may differ from what the proxy has, true for those that are due even at an equal version.
	todo map[string]bool
	// suspects are versions that were in one response with a culprit: they go out one by one until it is found.
	suspects map[string]string
	// verdict is the proxy's text about the response that the suspects were in.
	verdict string
	// single says that this type was NACKed once: RouteConfigurations go out one by one from then on.
	single bool
	// rejected are versions that the proxy refused. They never go out again on this stream.
	rejected map[string][]rejection
	// flight is the response that is not acked yet; there is at most one.
	flight *flight

	acked       Delivery
	sent        Delivery
	lastError   string
	lastErrorAt time.Time
}

// flight is a response on its way: what it brings, and what it takes away, each sorted by name. A nil flight brings and
// takes nothing.
type flight struct {
	nonce   string
	add     []*xds.Resource
	removed []string
}

// brings returns the version of a name that is in the response, or nil.
func (f *flight) brings(name string) *xds.Resource {
	if f == nil {
		return nil
	}
	i, found := slices.BinarySearchFunc(f.add, name, func(r *xds.Resource, name string) int {
		return strings.Compare(r.Name, name)
	})
	if !found {
		return nil
	}
	return f.add[i]
}

// takes says whether the response takes a name away.
func (f *flight) takes(name string) bool {
	if f == nil {
		return false
	}
	_, found := slices.BinarySearch(f.removed, name)
	return found
}

// rejection is a version that a proxy refused, with its reason.
type rejection struct {
	version, text string
}

// rejectionsKept bounds how many refused versions of one name are remembered. Who publishes more bad versions than that
// and then an old one again gets one more rejection of it, not a loop.
const rejectionsKept = 16

func newStream(w *world, sotw bool) *stream {
	return &stream{world: w, sotw: sotw}
}

// advance makes w what the proxy should have, unless that is something newer already.
func (s *stream) advance(w *world) {
	if w.seq <= s.world.seq {
		return
	}
	for k := range kinds {
		t := &s.types[k]
		if !t.seen {
			continue
		}
		changed := w.changed[k]
		if w.seq != s.world.seq+1 {
			changed = diff(s.world.all[k], w.all[k])
		}
		for _, name := range changed {
			if t.wants(name) {
				t.due(name, false)
			}
		}
	}
	s.world = w
}

// reply is the part of a request that answers a response.
type reply struct {
	// nonce is the response's; empty when the request answers none.
	nonce string
	// text is the reason of a rejection; rejected tells it from an ack, as the text may be empty.
	text     string
	rejected bool
}

// answer takes in an ACK or NACK. A stale nonce means nothing: only the newest response of a type is open.
func (s *stream) answer(k kind, r reply, now time.Time) {
	t := &s.types[k]
	f := t.flight
	if f == nil || r.nonce == "" || r.nonce != f.nonce {
		return
	}
	t.flight = nil
	if r.rejected {
		t.lastError, t.lastErrorAt = r.text, now
		t.reject(f, r.text)
		t.single = true
		for _, res := range f.add {
			if k == endpoints && s.types[clusters].flight.brings(res.Name) != nil {
				t.due(res.Name, true) // Its cluster still waits for an answer.
			}
		}
		return
	}
	t.acked = Delivery{Nonce: f.nonce, Version: t.sent.Version, At: now}
	for _, name := range f.removed {
		t.takeAway(k, name)
	}
	for _, res := range f.add {
		if t.wants(res.Name) {
			t.have(res)
		}
	}
	t.eliminate()
}

// wants says whether the proxy is subscribed to the name.
func (t *subscription) wants(name string) bool {
	_, named := t.names[name]
	return named || t.wildcard
}

// due notes that a name may have to be sent; must, that it has to be answered even at an equal version.
func (t *subscription) due(name string, must bool) {
	if t.todo == nil {
		t.todo = map[string]bool{}
	}
	t.todo[name] = t.todo[name] || must
}

// have notes that the proxy has exactly this version.
func (t *subscription) have(r *xds.Resource) {
	if t.held == nil {
		t.held = map[string]*xds.Resource{}
	}
	t.held[r.Name] = r
	delete(t.undefined, r.Name)
	delete(t.lost, r.Name)
	delete(t.lingering, r.Name)
	if t.suspects[r.Name] == r.Version {
		delete(t.suspects, r.Name)
	}
}

// takeAway notes that the proxy acked the removal of a name.
func (t *subscription) takeAway(k kind, name string) {
	if r := t.held[name]; k == routes && r != nil && r.Body != nil && t.wants(name) {
		if t.lingering == nil {
			t.lingering = map[string]*xds.Resource{}
		}
		t.lingering[name] = r
	}
	delete(t.held, name)
	delete(t.undefined, name)
	delete(t.lost, name)
}

// forget drops all that is known about a name that the proxy does not want any more, but for refused versions.
func (t *subscription) forget(name string) {
	delete(t.held, name)
	delete(t.undefined, name)
	delete(t.lost, name)
	delete(t.lingering, name)
	delete(t.todo, name)
	if _, suspect := t.suspects[name]; suspect {
		delete(t.suspects, name)
		t.verdict = ""
	}
}

// nonce spells a nonce.
func nonce(n uint64) string {
	return strconv.FormatUint(n, 10)
}
