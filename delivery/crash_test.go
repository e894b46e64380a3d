package delivery

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

var errCrash = errors.New("crash")

// TestCrashes ends the controller before each single write of a delivery, and
// expects the same end as without a crash (I7).
func TestCrashes(t *testing.T) {
	stories := map[string]func(*crashing){
		"promotion": func(c *crashing) {
			c.apply("B")
			c.until(v1alpha1.PhaseHealthy, "xB")
		},
		"rollback": func(c *crashing) {
			c.broken["B"] = true
			c.apply("B")
			c.until(v1alpha1.PhaseRolledBack, "rA")
		},
		"third revision": func(c *crashing) {
			c.apply("B")
			c.goOn(func() bool { r := c.record(); return r != nil && r.Weight > 0 })
			c.apply("C")
			c.until(v1alpha1.PhaseHealthy, "xC")
		},
		"back to stable": func(c *crashing) {
			c.apply("B")
			c.goOn(func() bool { r := c.record(); return r != nil && r.Weight > 0 })
			c.apply("A")
			c.until(v1alpha1.PhaseHealthy, "rA")
		},
		"people": func(c *crashing) {
			c.ro.Spec.Strategy.Canary.Steps[0].Pause = &v1alpha1.Pause{Requires: &v1alpha1.Requires{Approvals: 2}}
			c.apply("B")
			c.goOn(func() bool { r := c.record(); return r != nil && r.Step == 1 && r.AckedAt != nil })
			c.ask("ann", v1alpha1.ActionPause, "xB")
			c.ask("ann", v1alpha1.ActionPromote, "xB")
			c.ask("ann", v1alpha1.ActionPromote, "xB")
			c.goOn(func() bool { return false })
			c.ask("bob", v1alpha1.ActionPromote, "xB")
			c.ask("bob", v1alpha1.ActionResume, "xB")
			c.goOn(func() bool { r := c.record(); return r.Step == 2 && r.AckedAt == nil })
			c.ask("ann", v1alpha1.ActionAbort, "xB")
			c.until(v1alpha1.PhaseRolledBack, "rA")
			c.ask("ann", v1alpha1.ActionRetry, "xB")
			c.ask("ann", v1alpha1.ActionPromoteFull, "xB")
			c.until(v1alpha1.PhaseHealthy, "xB")
		},
		"deletion mid-way": func(c *crashing) {
			c.apply("B")
			c.goOn(func() bool { r := c.record(); return r != nil && r.Weight > 0 })
			c.deleteRollout()
			c.goOn(func() bool { return c.ro == nil })
			c.goOn(func() bool { return false })
		},
	}
	maps.Copy(stories, wayStories())
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			want, writes := crashAt(t, story, 0)
			for n := 1; n <= writes; n++ {
				if got, _ := crashAt(t, story, n); got != want {
					t.Errorf("crash before write %d ends otherwise:\n%s\nwithout a crash:\n%s", n, got, want)
				}
			}
			t.Logf("%d crashes", writes)
		})
	}
}

// crashAt tells a story with a crash before the nth write of the controller; 0 is
// none. It returns the end and how many writes there were.
func crashAt(t *testing.T, story func(*crashing), n int) (end string, writes int) {
	t.Helper()
	c := &crashing{world: newWorld(), t: t, at: n}
	c.violated = func(invariant, what string) { t.Errorf("crash before write %d: %s: %s", n, invariant, what) }
	c.ro.Spec.Strategy.Canary.Steps = []v1alpha1.Step{{Weight: new(int32(10))}, {Weight: new(int32(60))}}
	c.ro.Spec.ProgressDeadlineSeconds = 60
	c.until(v1alpha1.PhaseHealthy, "rA")
	c.writes = 0
	story(c)
	return c.end(), c.writes
}

type crashing struct {
	*world
	t          *testing.T
	at, writes int
}

// writing counts a write and says whether the controller dies before it.
func (c *crashing) writing() error {
	if c.writes++; c.writes == c.at {
		return errCrash
	}
	return nil
}

func (c *crashing) until(phase v1alpha1.Phase, stable string) {
	c.t.Helper()
	if !c.goOn(func() bool { return c.settledIn(phase)() && c.record().Stable == stable }) {
		c.t.Fatalf("crash before write %d: does not come to %s of %s: %+v", c.at, phase, stable, c.record())
	}
	c.goOn(func() bool { return false })
}

// goOn is run with counted writes.
func (c *crashing) goOn(until func() bool) bool {
	end := c.now.Add(20 * time.Minute)
	for range 100000 {
		if until() {
			return true
		}
		if c.clusterActs() {
			continue
		}
		c.seeAll()
		if c.meshActs() {
			continue
		}
		c.seeAll()
		requeue, err := c.once()
		if errors.Is(err, errCrash) {
			c.restart()
			continue
		}
		if requeue == nil {
			continue
		}
		next := c.nextTime(*requeue)
		if next.IsZero() || next.After(end) {
			return until()
		}
		c.now = next
	}
	return false
}

// once makes a pass, one write at a time; it returns when to come again if nothing
// was written.
func (c *crashing) once() (*time.Time, error) {
	if c.cache.ro == nil {
		return new(time.Time), nil
	}
	o := c.observe()
	plan := Decide(o)
	if !reflect.DeepEqual(o.Rollout.Status, plan.Status) {
		if err := c.writing(); err != nil {
			return nil, err
		}
		_, err := c.commit(&o, &plan)
		return nil, err
	}
	for i := range plan.Actions {
		a := &plan.Actions[i]
		if err := c.writing(); err != nil {
			return nil, err
		}
		err := c.do(&o, a)
		if errors.Is(err, errHalf) {
			if err := c.writing(); err != nil {
				return nil, err
			}
			err = c.changeOwner(&o, a.Joins, OwnerDeployment, a.RevisionNumber)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(plan.Actions) > 0 {
		return nil, nil
	}
	return &plan.RequeueAt, nil
}

func (c *crashing) restart() {
	c.published, c.renderedRV = nil, -1
	c.facts.listening = c.now
	for _, p := range c.proxies {
		p.sent, p.rejected, p.pendingSince = nil, nil, c.now
	}
}

// end is the state of the world that somebody could see.
func (c *crashing) end() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Deployment hold %q paused %v label %q revision %d\n", c.d.Hold, c.d.Paused, c.d.Rollout, c.d.RevisionNumber)
	for _, r := range c.rss {
		fmt.Fprintf(&b, "%s owner %d replicas %d pods %d revision %d\n", r.Name, r.Owner, r.Replicas, len(r.pods), r.RevisionNumber)
	}
	for _, s := range c.svcs {
		fmt.Fprintf(&b, "Service %s label %q pin %q key %q endpoints %v\n", s.Name, s.Rollout, s.Pin, s.Key, s.Endpoints)
	}
	fmt.Fprintf(&b, "holder %v\n", c.holder != nil)
	for _, a := range c.asked {
		fmt.Fprintf(&b, "%s of %s: %s by %s, %s\n", a.Spec.Action, a.Annotations[v1alpha1.AnnotationBy], a.Status.Phase, a.Status.By, a.Status.Message)
	}
	if c.ro != nil {
		for _, e := range c.ro.Status.History {
			fmt.Fprintf(&b, "%s %s by %s\n", e.Outcome, e.Revision, e.By)
		}
	}
	if r := c.record(); r != nil {
		fmt.Fprintf(&b, "record %s stable %s canary %q failed %q\n", r.Stage, r.Stable, r.Canary, r.Failed)
	}
	return b.String()
}
