package delivery

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the goldens anew")

// TestGoldens drives one delivery per scenario against a small cluster and
// compares what happened, line by line.
func TestGoldens(t *testing.T) { runScenarios(t, scenarios) }

func runScenarios(t *testing.T, all map[string]func(*story)) {
	t.Helper()
	for name, sc := range all {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.violated = func(invariant, what string) { t.Errorf("%s: %s", invariant, what) }
			var j journal
			w.write(&j)
			t.Cleanup(func() { compare(t, filepath.Join("testdata", name+".golden"), j.String()) })
			sc(&story{t: t, world: w})
		})
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: -want +got\n%s", file, diff)
	}
}

// story is a scenario as it is told.
type story struct {
	*world
	t *testing.T
}

// until lets the world go on until a condition holds, for at most an hour.
func (s *story) until(what string, condition func() bool) {
	s.t.Helper()
	if !s.run(time.Hour, condition) {
		r := s.record()
		s.t.Fatalf("did not come: %s; record %+v", what, r)
	}
}

// at begins with a canary of template B at a weight, acked; what led there is not
// told again.
func (s *story) at(weight int32) {
	s.t.Helper()
	s.quietly(fmt.Sprintf("revision rA adopted, template B applied, %d/100 on canary xB acked", weight), func() {
		s.adopted()
		s.canaryStarts("B")
		s.until("acked", s.atWeight(weight))
	})
}

// endsHealthy goes on to the end; what happens as in the golden "promote" is not
// told again.
func (s *story) endsHealthy(stable string) {
	s.t.Helper()
	s.quietly("and so on as in promote: Healthy, revision "+stable+" serves everybody", s.healthy)
	s.serves(stable)
}

func (s *story) quietly(instead string, do func()) {
	s.t.Helper()
	loud := s.trace
	s.trace = func(string, string) {}
	do()
	s.trace = loud
	s.trace("...", instead)
}

func (s *story) adopted() {
	s.t.Helper()
	s.until("healthy", s.settledIn(v1alpha1.PhaseHealthy))
}

func (s *story) healthy() {
	s.t.Helper()
	s.until("healthy", s.settledIn(v1alpha1.PhaseHealthy))
	s.run(0, func() bool { return false })
	s.checkHealthy()
}

func (s *story) rolledBack() {
	s.t.Helper()
	s.until("rolled back", s.settledIn(v1alpha1.PhaseRolledBack))
	s.run(0, func() bool { return false })
}

func (s *story) canaryStarts(template string) {
	s.t.Helper()
	s.apply(template)
	s.until("stepping", s.inStage(v1alpha1.StageStepping))
}

func (s *story) serves(revision string) {
	s.t.Helper()
	if got := s.record().Stable; got != revision {
		s.t.Errorf("stable is %s, want %s", got, revision)
	}
	if got := s.ready(revision); got != s.d.Replicas {
		s.t.Errorf("%d pods of %s are ready, want %d", got, revision, s.d.Replicas)
	}
}
