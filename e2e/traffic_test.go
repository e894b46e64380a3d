//go:build e2e

package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/live"
	"github.com/crossfade-dev/crossfade/e2e/load"
)

// traffic is a load from outside through the gateway over all protocols.
type traffic struct {
	*scene
	since time.Time
	runs  []*load.Run
	// redoneIsFine is set where proxies end their connections.
	redoneIsFine bool
	// excused says of a lost request that the test itself took it away; nil excuses none.
	excused func(load.Sample) bool
}

// load starts one.
func (s *scene) load() *traffic {
	s.Helper()
	return s.loadAt(s.gateway + ":80")
}

// loadAt sends to an address of the gateway's.
func (s *scene) loadAt(address string) *traffic {
	s.Helper()
	f := &traffic{scene: s, since: time.Now()}
	for protocol, rate := range map[load.Protocol]float64{load.KeepAlive: 60, load.H2C: 40, load.NewConnections: 10} {
		run, err := load.Start(s.ctx, load.Options{URL: "http://" + address + "/", Host: s.Namespace + ".example", Protocol: protocol, Rate: rate})
		if err != nil {
			s.Fatal(err)
		}
		f.runs = append(f.runs, run)
		s.clients = append(s.clients, run)
	}
	return f
}

// stop ends the load and returns what was counted.
func (f *traffic) stop() ([]load.Sample, load.Counts) {
	var all []load.Sample
	for _, r := range f.runs {
		all = append(all, r.Stop()...)
	}
	return all, load.Count(all, time.Time{}, time.Time{})
}

// judge ends the load: nothing may be lost, at each confirmed weight the canary has its share but for chance, and
// with no weight it has no request. It returns what was counted.
func (f *traffic) judge(versions map[string]string) load.Counts {
	f.Helper()
	end := time.Now()
	samples, counts := f.stop()
	f.Log(counts)
	if slow := slices.MaxFunc(samples, func(a, b load.Sample) int { return cmp.Compare(a.Took, b.Took) }); slow.Took > 3*time.Second {
		f.Logf("the slowest, sent %s after the load began: %+v", slow.At.Sub(f.since).Round(time.Millisecond), slow)
	}
	lost := slices.DeleteFunc(slices.Clone(samples), func(r load.Sample) bool { return !r.Lost() || (f.excused != nil && f.excused(r)) })
	if len(lost) > 0 {
		f.Errorf("%d requests were lost:\n%s", len(lost), load.Describe(lost))
		f.keepFailures(lost)
	}
	if counts.Redone > 0 && !f.redoneIsFine {
		f.Errorf("%d requests had to be sent again on another connection", counts.Redone)
	}
	for _, w := range live.Windows(f.rollout.States(), f.notYet, end) {
		version, known := versions[w.Canary]
		if !known || w.From.Before(f.since) {
			continue
		}
		c := load.Count(load.Between(samples, w.From, w.To), time.Time{}, time.Time{})
		want := float64(w.Weight) / 100
		f.Logf("step %s weight %d %% for %s: %s got %.1f %% of %d (by chance ± %.1f %%)", w.Step, w.Weight,
			w.To.Sub(w.From).Round(time.Millisecond), version, 100*c.Share(version), c.Requests, 100*c.Tolerance(want))
		if c.Requests > 0 && !c.Within(version, want) {
			f.Errorf("at weight %d %% %s got %.1f %% of %d requests: by chance that is off by at most %.1f %%", w.Weight, version,
				100*c.Share(version), c.Requests, 100*c.Tolerance(want))
		}
	}
	return counts
}

// notYet is a time at which a state was not written yet, nor what led to it: a weight is on its way to the proxies
// before this program sees it, and canary pods that are gone leave them a moment before the status says so.
func (s *scene) notYet(state live.Seen[live.Rollout]) time.Time {
	return s.pulse.NotBefore(state.Version).Add(-margin)
}

// keepFailures writes lost requests to the artifacts, as CSV.
func (f *traffic) keepFailures(lost []load.Sample) {
	f.Helper()
	var b strings.Builder
	for _, s := range lost {
		fmt.Fprintf(&b, "%s,%s,%d,%s,%q\n", s.At.Format(time.RFC3339Nano), s.Took, s.Status, s.Version, s.Error)
	}
	dir := filepath.Join(root, ".local", "e2e-artifacts", f.Namespace)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "lost.csv"), []byte(b.String()), 0o644)); err != nil {
		f.Log(err)
	}
}

// plain starts a client inside the cluster that asks the plain Service.
func (s *scene) plain() {
	s.Helper()
	s.apply("client.yaml")
	s.kubectl("wait", "pod/client", "--for=condition=Ready", patiently)
}

// plainCounts is what that client has counted until now.
func (s *scene) plainCounts() load.Counts {
	s.Helper()
	return s.countsNow("client")
}

// judgePast fails when a client that goes past the mesh lost a request, or met the canary v2 before it was promoted.
func (s *scene) judgePast(where string, c load.Counts) {
	s.Helper()
	moved := s.notBefore(func(r live.Rollout) bool { return r.Status.Phase == "Promoting" })
	s.Logf("%s, past the mesh: %v", where, c)
	if first := c.First["v2"]; c.Versions["v1"] == 0 || c.Versions["v2"] == 0 || first.Before(moved) {
		s.Errorf("%s a client of the plain Service met the canary %s before the pin moved: %v", where, moved.Sub(first), c)
	}
	if c.Lost > 0 {
		s.Errorf("%s %d requests were lost:\n%s", where, c.Lost, load.Describe(c.Failures))
	}
}
