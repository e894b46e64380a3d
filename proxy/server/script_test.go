package server

import (
	"slices"
	"strings"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

var short = [kinds]string{"CDS", "EDS", "LDS", "RDS"}

// parse reads a snapshot such as "CDS a@1; EDS a@1; LDS l@1>r; RDS r@1>a,b": names, versions and references. Endpoints of a
// version that starts with 0 are none.
func parse(text string) *xds.Snapshot {
	snap := &xds.Snapshot{
		Clusters: map[string]*xds.Resource{}, Endpoints: map[string]*xds.Resource{},
		Listeners: map[string]*xds.Resource{}, Routes: map[string]*xds.Resource{},
	}
	for part := range strings.SplitSeq(text, ";") {
		words := strings.Fields(part)
		k := kind(slices.Index(short[:], words[0]))
		for _, word := range words[1:] {
			word, references, _ := strings.Cut(word, ">")
			name, version, _ := strings.Cut(word, "@")
			r := &xds.Resource{Name: name, Version: version, Body: &anypb.Any{}, Empty: k == endpoints && version[0] == '0'}
			if references != "" {
				r.References = strings.Split(references, ",")
			}
			snap.Of(typeURLs[k])[name] = r
		}
	}
	return snap
}

// script drives a stream by hand.
type script struct {
	world  *world
	stream *stream
	// newest is the last nonce of each type.
	newest [kinds]string
}

// action is one thing that happens to a stream.
type action func(*script)

func publish(text string) action {
	return func(s *script) {
		s.world = newWorld(s.world, parse(text))
		s.stream.advance(s.world)
	}
}

func request(k kind, m *discoveryv3.DeltaDiscoveryRequest) action {
	return func(s *script) { s.stream.deltaRequest(k, m, time.Time{}) }
}

func ask(k kind, names ...string) action {
	return request(k, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: names})
}

func leave(k kind, names ...string) action {
	return request(k, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesUnsubscribe: names, ResponseNonce: "stale"})
}

// comeBack is a first request of a proxy that was here before and has, for instance, "a@1 b@1".
func comeBack(k kind, has string, names ...string) action {
	m := &discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: names, InitialResourceVersions: map[string]string{}}
	for _, word := range strings.Fields(has) {
		name, version, _ := strings.Cut(word, "@")
		m.InitialResourceVersions[name] = version
	}
	return request(k, m)
}

func ack(k kind) action {
	return func(s *script) {
		s.stream.deltaRequest(k, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: s.newest[k]}, time.Time{})
	}
}

func nack(k kind, text string) action {
	return func(s *script) {
		s.stream.deltaRequest(k, &discoveryv3.DeltaDiscoveryRequest{
			ResponseNonce: s.newest[k], ErrorDetail: &statuspb.Status{Message: text},
		}, time.Time{})
	}
}

// line is an action and what is sent because of it, such as "CDS +a@1 -b", or "CDS =a@1" with state-of-the-world.
type line struct {
	do   action
	sent []string
}

func (s *script) sent() []string {
	var out []string
	for _, r := range s.stream.next(time.Time{}) {
		s.newest[r.kind] = r.nonce
		words := []string{short[r.kind]}
		for _, res := range r.set {
			words = append(words, "="+res.Name+"@"+res.Version)
		}
		for _, res := range r.add {
			if !s.stream.sotw {
				words = append(words, "+"+res.Name+"@"+res.Version)
			}
		}
		for _, name := range r.removed {
			if !s.stream.sotw {
				words = append(words, "-"+name)
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}
