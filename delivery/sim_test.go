package delivery

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

var (
	schedules = flag.Int("schedules", 10000, "how many random schedules TestSimulation runs")
	firstSeed = flag.Uint64("seed", 1, "the seed of the first schedule")
)

// TestSimulation runs seeded random schedules: every part of the world acts in
// random order, objects are seen late, events are lost and repeated, writes
// conflict, the controller crashes between any two of them, users and faults come
// at any time. I1 to I14 are checked after every step, and when the faults stop
// the delivery must come to an end.
func TestSimulation(t *testing.T) {
	count := *schedules
	if testing.Short() {
		count = min(count, 500)
	}
	var next atomic.Uint64
	var failed atomic.Int32
	var ends sync.Map
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for failed.Load() < 5 {
				i := next.Add(1) - 1
				if i >= uint64(count) {
					return
				}
				s := newSim(*firstSeed + i)
				if problem := s.schedule(); problem != "" {
					failed.Add(1)
					t.Errorf("%s\n%srepeat: go test ./delivery -run 'TestSimulation$' -schedules 1 -seed %d -v", problem, s.tail(), s.seed)
				}
				n, _ := ends.LoadOrStore(s.end, new(atomic.Int64))
				n.(*atomic.Int64).Add(1)
			}
		})
	}
	wg.Wait()
	ends.Range(func(end, n any) bool {
		t.Logf("%6d schedules ended %s", n.(*atomic.Int64).Load(), end)
		return true
	})
}

// sim is one schedule.
type sim struct {
	*world
	seed uint64
	r    *rand.Rand
	log  []string
	end  string
	// obs and todo are the pass in progress: its actions are carried out one by
	// one, and others act in between.
	obs    Observation
	todo   []Action
	bad    bool // what the source measures is out of range
	no     bool // hooks say no
	outage bool
	edits  int // how often the spec is edited on the way in the end
	// inFlight are questions that hooks have not answered yet.
	inFlight []Question
}

type violation string

func newSim(seed uint64) *sim {
	s := &sim{world: newWorld(), seed: seed, r: rand.New(rand.NewPCG(seed, 1))}
	s.trace = func(who, what string) {
		s.log = append(s.log, fmt.Sprintf("%9.1fs %-10s %s", s.now.Sub(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)).Seconds(), who, what))
		if len(s.log) > 4000 { // a schedule that does not end
			s.log = append(s.log[:2000:2000], s.log[3000:]...)
		}
	}
	s.violated = func(invariant, what string) { panic(violation(invariant + " violated: " + what)) }
	s.setUp()
	return s
}

func (s *sim) tail() string {
	log := s.log
	if !testing.Verbose() && len(log) > 60 {
		log = log[len(log)-60:]
	}
	return strings.Join(log, "\n") + "\n"
}

func (s *sim) one(n int) bool { return s.r.IntN(n) == 0 }

// setUp chooses a Rollout and its surroundings.
func (s *sim) setUp() {
	s.shiftAll = s.one(2)
	s.autoscaled = s.one(3)
	if s.one(8) {
		s.policies = Policies{Known: true, Hold: false, Pin: s.one(2), Message: "not there"}
	}
	s.proxies = s.proxies[:0]
	for i := range 1 + s.r.IntN(4) {
		s.proxies = append(s.proxies, &proxy{name: fmt.Sprintf("gw-%d", i), present: true, connected: true, delay: time.Duration(s.r.IntN(3000)) * time.Millisecond})
	}
	spec := &s.ro.Spec
	spec.Strategy = s.strategy()
	spec.ProgressDeadlineSeconds = int32(30 + s.r.IntN(600))
	spec.Acks.Timeout.Duration = time.Duration(5+s.r.IntN(60)) * time.Second
	if s.one(5) {
		spec.Acks.OnTimeout = v1alpha1.AckTimeoutContinue
	}
	if s.one(3) {
		delay := int32(s.r.IntN(60))
		spec.ScaleDownDelaySeconds = &delay
	}
	if !s.one(3) {
		zero := 0.0
		s.withCheck(&zero)
		spec.Analysis.Checks[0].FailureLimit = new(int32(s.r.IntN(3)))
		spec.Analysis.Checks[0].OnNoData = []v1alpha1.NoDataAction{v1alpha1.NoDataWait, v1alpha1.NoDataWait, ""}[s.r.IntN(3)]
		if s.one(4) {
			spec.Analysis.OnDeadline = v1alpha1.DeadlineRollback
		}
		s.setUpChecks()
		s.measure = func(check, revision string) Sample { return s.counts(s.answers(check, revision)) }
	}
	if s.one(3) {
		s.post = newPost(s.ro)
	}
	if s.one(3) {
		spec.Schedule = s.schedules()
	}
	if s.one(4) {
		s.svcs = append(s.svcs, &service{Service: Service{Name: "web-lb", UID: s.uid(), Selects: true}, rv: s.next()})
	}
	s.changeDeployment(func(d *deployment) { d.Replicas = int32(s.r.IntN(9)) })
	if s.one(6) {
		s.d.Recreate, s.ro.Spec.AllowRecreateStrategy = true, true
	}
	if s.one(6) {
		s.userPaused = true
		s.changeDeployment(func(d *deployment) { d.Paused = true })
	}
	s.facts.listening = s.now
	if s.one(2) {
		s.setHooks()
	}
	s.edits = s.r.IntN(4)
}

func (s *sim) answers(string, string) Sample {
	switch {
	case s.outage:
		return Sample{Outcome: []Outcome{NoAnswer, NoData, NotANumber}[s.r.IntN(3)]}
	case s.bad:
		return Sample{Outcome: Number, Value: 1}
	}
	return Sample{Outcome: Number}
}

// schedule runs until the end and returns what went wrong.
func (s *sim) schedule() (problem string) {
	defer func() {
		if v := recover(); v != nil {
			if _, is := v.(violation); !is {
				panic(fmt.Sprintf("seed %d: %v", s.seed, v))
			}
			problem = string(v.(violation))
		}
	}()
	for range 200 + s.r.IntN(400) {
		s.step()
		s.checkRoute()
	}
	s.peace()
	return s.come()
}

// step lets one part of the world act.
func (s *sim) step() {
	switch n := s.r.IntN(100); {
	case n < 12:
		s.deploymentController()
	case n < 32:
		if len(s.rss) > 0 {
			r := s.rss[s.r.IntN(len(s.rss))]
			if !s.kubelet(r) {
				s.replicaSetController(r)
			}
		}
	case n < 38:
		if len(s.svcs) > 0 {
			s.endpoints(s.svcs[s.r.IntN(len(s.svcs))])
		}
	case n < 54:
		s.see(s.r.IntN(4))
	case n < 59:
		s.render()
	case n < 69:
		if len(s.proxies) > 0 {
			s.talk(s.proxies[s.r.IntN(len(s.proxies))])
		}
	case n < 89:
		s.control()
	case n < 92:
		s.hooksAnswer()
	case n < 95:
		s.now = s.now.Add(time.Duration(s.r.IntN(12000)) * time.Millisecond)
	default:
		s.disturb()
	}
}

// control carries on with the pass in progress, or begins one.
func (s *sim) control() {
	if s.one(150) {
		s.crash()
		return
	}
	if len(s.todo) > 0 {
		a := s.todo[0]
		s.todo = s.todo[1:]
		switch err := s.do(&s.obs, &a); {
		case errors.Is(err, errHalf):
			s.todo = []Action{{Kind: Join, Object: a.Joins, RevisionNumber: a.RevisionNumber, Why: "second half"}}
		case err != nil:
			s.todo = nil
		case a.Tells != nil:
			s.tellEvents([]Event{*a.Tells})
		}
		return
	}
	if s.cache.ro == nil {
		return
	}
	if NeedsLive(s.cache.ro.Status.Record) {
		s.seeLive()
	}
	s.obs = s.observe()
	plan := Decide(s.obs)
	if _, err := s.commit(&s.obs, &plan); err != nil {
		return
	}
	s.tellEvents(plan.Events)
	if s.one(2) {
		s.post.send(s.ro)
	}
	if len(plan.Actions) > 0 && plan.Status.Record != nil && s.obs.Rollout.Status.Record != nil && !sameRecord(plan.Status.Record, s.obs.Rollout.Status.Record) {
		s.violated("I7", "a plan that changes the record has actions")
	}
	s.todo = plan.Actions
	if !s.one(5) { // or the answer is lost
		s.answer(&plan)
	}
	s.askHooks(&plan)
}

// seeLive reads from the API server what the shell reads there: all but the
// Rollout itself.
func (s *sim) seeLive() {
	for kind := 1; kind < 4; kind++ {
		s.see(kind)
	}
}

// crash ends the controller between two writes and starts another one.
func (s *sim) crash() {
	s.trace("fault", "the controller crashes")
	s.todo, s.samples, s.hookAnswers, s.inFlight = nil, nil, nil, nil
	s.post.crash()
	s.published, s.renderedRV = nil, -1
	s.facts.listening = s.now
	for _, p := range s.proxies {
		p.connected, p.sent, p.rejected = false, nil, nil
		p.pendingSince = s.now
	}
	s.seeAll()
}

// checkRoute: what is published never sums to zero, and none of it is negative.
func (s *sim) checkRoute() {
	if r := s.published; r != nil && (r.weight < 0 || r.weight > r.total || r.total <= 0) {
		s.violated("I1", fmt.Sprintf("published %+v", *r))
	}
}
