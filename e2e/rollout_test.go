//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

// await waits for a state of the Rollout, the first one since the last that was waited for.
func (s *scene) await(what string, is func(live.Rollout) bool) live.Rollout {
	s.Helper()
	return s.awaitFor(patience, what, is)
}

func (s *scene) awaitFor(limit time.Duration, what string, is func(live.Rollout) bool) live.Rollout {
	s.Helper()
	ctx, cancel := context.WithTimeoutCause(s.ctx, limit, fmt.Errorf("not within %s", limit))
	defer cancel()
	seen, err := s.rollout.Await(ctx, what, func(r live.Seen[live.Rollout]) bool { return !r.Gone && is(r.Object) })
	if err != nil {
		s.Fatal(err)
	}
	return seen.Object
}

// change delivers another image and returns the canary's revision.
func (s *scene) change(version string) string {
	s.Helper()
	return s.changed(func() { s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:"+version) })
}

// changed runs what changes the template, and returns the new canary's revision.
func (s *scene) changed(how func()) string {
	s.Helper()
	before := s.rollout.Last().Object.Status.Canary.Revision
	s.rollout.SkipAll()
	how()
	r := s.await("has another canary", func(r live.Rollout) bool {
		return r.Status.Canary.Revision != "" && r.Status.Canary.Revision != before
	})
	return r.Status.Canary.Revision
}

// atWeight waits until all proxies confirmed a weight of the canary.
func (s *scene) atWeight(canary string, weight int32) {
	s.Helper()
	s.await(fmt.Sprintf("has %d %% confirmed", weight), func(r live.Rollout) bool {
		w := r.Status.Weight
		return r.Status.Canary.Revision == canary && w.Desired == weight && w.Effective == weight && w.Acked == weight
	})
}

// promoted waits until a revision is stable and nothing is on its way.
func (s *scene) promoted(canary string) {
	s.Helper()
	s.await("is promoted", func(r live.Rollout) bool {
		return r.Healthy() && r.Status.Stable.Revision == canary && r.Condition("Promoted").Status == "True"
	})
}

// rolledBack waits until stable serves everybody after a failure.
func (s *scene) rolledBack(reason string) live.Rollout {
	s.Helper()
	r := s.await("is rolled back", func(r live.Rollout) bool { return r.Status.Phase == "RolledBack" })
	if p := r.Condition("Promoted"); p.Status != "False" || p.Reason != "RolledBack" {
		s.Errorf("after a rollback Promoted has to be False with reason RolledBack, got %s/%s", p.Status, p.Reason)
	}
	if reason != "" && !strings.Contains(r.Status.Message+r.Condition("Promoted").Message+r.Condition("Stalled").Message, reason) {
		s.Errorf("the status has to say why it was rolled back (%q): %v", reason, r)
	}
	return r
}

// pause replaces that of step 1.
func (s *scene) pause(json string) {
	s.Helper()
	s.kubectl("patch", "rollout", name, "--type=json", "-p", `[{"op":"replace","path":"/spec/strategy/canary/steps/0/pause","value":`+json+`}]`)
}

// promote ends the endless pause of step 1 as the documentation says.
func (s *scene) promote(canary string) {
	s.Helper()
	s.promoteStep(canary, 1)
}

// promoteStep promotes from a step, counted from 1.
func (s *scene) promoteStep(canary string, step int) {
	s.Helper()
	s.kubectl("annotate", "rollout", name, "--overwrite", fmt.Sprintf("crossfade.dev/promote=%s/%d", canary, step))
}

// seenAt is when a state of the Rollout was seen first.
func (s *scene) seenAt(is func(live.Rollout) bool) time.Time {
	for _, state := range s.rollout.States() {
		if !state.Gone && is(state.Object) {
			return state.At
		}
	}
	return time.Time{}
}

// notBefore is a time before a state of the Rollout was written first: that it was seen can be much later.
func (s *scene) notBefore(is func(live.Rollout) bool) time.Time {
	for _, state := range s.rollout.States() {
		if !state.Gone && is(state.Object) {
			return s.notYet(state)
		}
	}
	return time.Time{}
}

// zeroAt is when the last weight of a canary was taken back, everywhere.
func (s *scene) zeroAt(canary string) time.Time {
	var zero time.Time
	for _, state := range s.rollout.States() {
		w := state.Object.Status.Weight
		switch {
		case state.Object.Status.Canary.Revision == canary && w.Acked > 0:
			zero = time.Time{}
		case zero.IsZero() && w.Acked == 0:
			zero = state.At
		}
	}
	return zero
}
