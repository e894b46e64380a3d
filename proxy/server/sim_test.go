package server

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

var (
	schedules = flag.Int("schedules", 100_000, "how many random schedules the simulation runs")
	seed      = flag.Uint64("seed", 0, "run only the schedule of this seed, and print it")
)

// controlPlane is a server under simulation. It is told what to serve and hands out what it sends.
type controlPlane interface {
	publish(*xds.Snapshot)
	// connect starts a new stream, after a restart of the server if so told.
	connect(restarted bool)
	request(kind, *discoveryv3.DeltaDiscoveryRequest)
	take() []response
}

// ours is the core of this package.
type ours struct {
	snap   *xds.Snapshot
	world  *world
	stream *stream
}

func (o *ours) publish(snap *xds.Snapshot) {
	o.snap = snap
	o.world = newWorld(o.world, snap)
	if o.stream != nil {
		o.stream.advance(o.world)
	}
}

func (o *ours) connect(restarted bool) {
	if restarted {
		o.world = newWorld(nil, o.snap)
	}
	o.stream = newStream(o.world, false)
}

func (o *ours) request(k kind, r *discoveryv3.DeltaDiscoveryRequest) {
	o.stream.deltaRequest(k, r, time.Time{})
}

func (o *ours) take() []response { return o.stream.next(time.Time{}) }

// simulation is one schedule: a world that changes, a server, a proxy, and a network that delays.
type simulation struct {
	rng   *rand.Rand
	world *simWorld
	proxy *modelEnvoy
	plane controlPlane
	// snap is what is published, down what is on its way to the proxy.
	snap *xds.Snapshot
	down []response
	// log is what happened, kept only when it is to be printed.
	log     []string
	verbose bool
	// excused says that Envoy's own clock may have to help: it came back while a cluster was warming.
	excused bool
}

// faults are what a schedule found: requests that fail because of the order, resources that never arrive.
func simulate(seed uint64, plane controlPlane, quiet, verbose bool) (log []string, fault string) {
	rng := rand.New(rand.NewPCG(seed, 3))
	s := &simulation{rng: rng, world: newSimWorld(rng, quiet), proxy: newModelEnvoy(), plane: plane, verbose: verbose}
	s.publish()
	s.plane.connect(false)
	s.proxy.connect()
	for range 30 + rng.IntN(60) {
		if fault := s.step(); fault != "" {
			return s.log, fault
		}
	}
	return s.log, s.settle()
}

// step lets one thing happen.
func (s *simulation) step() string {
	switch n := s.rng.IntN(20); {
	case n < 8:
		return s.deliver()
	case n < 16:
		s.accept()
	case n < 19:
		s.world.step()
		s.publish()
		s.flush()
	case s.rng.IntN(3) == 0:
		s.reconnect()
	}
	return ""
}

// deliver hands the proxy the next response.
func (s *simulation) deliver() string {
	if len(s.down) == 0 {
		return ""
	}
	r := s.down[0]
	s.down = s.down[1:]
	s.proxy.receive(r)
	s.note("proxy got %v", sent{r})
	return s.proxy.fault()
}

// accept hands the server the next request.
func (s *simulation) accept() {
	if len(s.proxy.out) == 0 {
		return
	}
	r := s.proxy.out[0]
	s.proxy.out = s.proxy.out[1:]
	k, _ := kindOf(r.GetTypeUrl())
	s.note("server got %d %v", k, r)
	s.plane.request(k, r)
	s.flush()
}

func (s *simulation) flush() {
	for _, r := range s.plane.take() {
		s.note("server sends %v", sent{r})
		s.down = append(s.down, r)
	}
}

// reconnect breaks the stream. What was on the wire is lost, and the world may have moved before the proxy is back.
func (s *simulation) reconnect() {
	s.down = nil
	for range s.rng.IntN(3) {
		s.world.step()
	}
	s.excused = s.excused || len(s.proxy.warming) > 0
	s.publish()
	restarted := s.rng.IntN(2) == 0
	s.note("reconnect, restarted %v", restarted)
	s.plane.connect(restarted)
	s.proxy.connect()
}

// settle lets everything arrive and compares the proxy with the published world.
func (s *simulation) settle() string {
	for range 2000 {
		if len(s.down)+len(s.proxy.out) == 0 {
			if len(s.proxy.warming) == 0 {
				return s.difference()
			}
			if !s.excused && !s.refusedEndpoints() {
				return fmt.Sprintf("clusters wait for endpoints that do not come: %v", s.proxy.warming)
			}
			s.note("timeout")
			s.proxy.timeout()
		}
		s.accept()
		if fault := s.deliver(); fault != "" {
			return fault
		}
	}
	return "the server and the proxy never come to rest"
}

// refusedEndpoints says whether the proxy waits for endpoints that it refused itself.
func (s *simulation) refusedEndpoints() bool {
	for name := range s.proxy.warming {
		if e := s.snap.Endpoints[name]; e != nil && !refused(e) {
			return false
		}
	}
	return true
}

// difference says what the proxy has that it should not, or has not that it should.
func (s *simulation) difference() string {
	if len(s.proxy.stuck) > 0 {
		return "" // A refused route keeps its clusters; what else waits for it is another test's matter.
	}
	for _, r := range []map[string]*xds.Resource{s.snap.Clusters, s.snap.Endpoints, s.snap.Routes} {
		for _, res := range r {
			if refused(res) {
				return ""
			}
		}
	}
	for k, has := range []map[string]*xds.Resource{s.proxy.clusters, s.proxy.endpoints, s.proxy.listeners, s.proxy.routes} {
		if names := diff(has, s.snap.Of(typeURLs[k])); len(names) > 0 {
			return fmt.Sprintf("the proxy never gets %s right: %v", typeURLs[k], names)
		}
	}
	for what, times := range s.proxy.refusedAt {
		if times > 2 {
			return fmt.Sprintf("%s was sent %d times although it was refused", what, times)
		}
	}
	return ""
}

func (s *simulation) note(format string, args ...any) {
	if s.verbose {
		s.log = append(s.log, fmt.Sprintf(format, args...))
	}
}

// publish serves the world as it is now.
func (s *simulation) publish() {
	s.snap = s.world.snapshot()
	s.plane.publish(s.snap)
	s.note("publish %v", described{s.snap})
}

// described and sent print a snapshot and a response, if anybody looks.
type (
	described struct{ *xds.Snapshot }
	sent      struct{ response }
)

func (d described) String() string {
	snap := d.Snapshot
	var b strings.Builder
	for k := range kinds {
		var names []string
		for name, r := range snap.Of(typeURLs[k]) {
			names = append(names, name+"@"+r.Version)
		}
		slices.Sort(names)
		fmt.Fprint(&b, "\n    ", names)
	}
	return b.String()
}

func (r sent) String() string {
	var names []string
	for _, res := range r.add {
		names = append(names, res.Name+"@"+res.Version)
	}
	return fmt.Sprintf("%d nonce %s add %v removed %v", r.kind, r.nonce, names, r.removed)
}

func TestSimulation(t *testing.T) {
	if *seed != 0 {
		log, fault := simulate(*seed, &ours{}, false, true)
		t.Log(strings.Join(log, "\n"))
		if fault != "" {
			t.Error(fault)
		}
		return
	}
	count := uint64(*schedules)
	if testing.Short() {
		count /= 50 // Under the race detector, which finds nothing in a pure core.
	}
	for n := range count {
		if _, fault := simulate(n+1, &ours{}, false, false); fault != "" {
			t.Fatalf("%s\nrepeat it: go test ./proxy/server -run 'TestSimulation$' -v -args -seed=%d", fault, n+1)
		}
	}
}
