package agent

import "time"

// Timings are the bounds of a stop. Their sum has to be below the Pod's
// terminationGracePeriodSeconds, or the kubelet cuts the stop short.
type Timings struct {
	// Settle is how long requests are served as ever after readiness went: until
	// every kube-proxy, gateway and load balancer has seen that.
	Settle time.Duration
	// Drain is how long connections may stay open after that. Idle keep-alive
	// connections and WebSockets are not ended by a drain: they live to this bound.
	Drain time.Duration
	// Quit is how long Envoy gets to end by itself before it is killed.
	Quit time.Duration
}

// quiet is how long no connection may be open before a drain is over: between
// the last response and the next connection of a client that is late to know
// there is a gap.
const quiet = time.Second

// stage is how far a stop has come.
type stage int

const (
	settling stage = iota
	draining
	quitting
	killing
)

// String names the stage for logs and the answer of /ready.
func (s stage) String() string {
	switch s {
	case settling:
		return "settling"
	case draining:
		return "draining"
	case quitting:
		return "quitting"
	case killing:
		return "killing"
	}
	return "unknown"
}

// stop is a stop on its way. The zero value of what is not given is right for
// its beginning.
type stop struct {
	stage stage
	since time.Time // when the stage began
	asked bool      // Envoy has accepted to drain
	quiet time.Time // since when no connection is open; zero when one is
}

// sight is what the agent sees of Envoy.
type sight struct {
	alive       bool // the process runs
	connections int  // open connections of clients; negative when Envoy did not say
}

// order is what the agent is to do with Envoy now.
type order int

const (
	nothing order = iota
	askToDrain
	askToQuit
	kill
	leave // Envoy is gone: the agent ends too
)

// next returns how the stop goes on and what to do now. It never waits for an
// answer of Envoy: a frozen one is killed when the bounds are over.
func (s stop) next(t Timings, now time.Time, seen sight) (stop, order) {
	if !seen.alive {
		return s, leave
	}
	switch s.stage {
	case settling:
		if now.Sub(s.since) < t.Settle {
			return s, nothing
		}
		return stop{stage: draining, since: now}, askToDrain
	case draining:
		return s.nextDraining(t, now, seen)
	case quitting:
		if now.Sub(s.since) < t.Quit {
			return s, askToQuit
		}
		return stop{stage: killing, since: now}, kill
	case killing:
		return s, kill
	}
	return s, kill
}

func (s stop) nextDraining(t Timings, now time.Time, seen sight) (stop, order) {
	switch {
	case seen.connections != 0:
		s.quiet = time.Time{}
	case s.quiet.IsZero():
		s.quiet = now
	}
	empty := s.asked && !s.quiet.IsZero() && now.Sub(s.quiet) >= quiet
	switch {
	case empty || now.Sub(s.since) >= t.Drain:
		return stop{stage: quitting, since: now}, askToQuit
	case !s.asked:
		return s, askToDrain
	}
	return s, nothing
}
