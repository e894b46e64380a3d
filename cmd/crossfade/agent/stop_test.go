package agent

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStopNext(t *testing.T) {
	// Each tick is half a second; see says what is seen at a tick.
	type tick struct {
		See  sight
		Want order
	}
	open := func(n int) sight { return sight{alive: true, connections: n} }
	timings := Timings{Settle: time.Second, Drain: 3 * time.Second, Quit: time.Second}

	cases := map[string]struct {
		reason  string
		refuses bool // Envoy does not accept to drain
		ticks   []tick
	}{
		"Quiet": {
			reason: "Serve while everybody learns of it, drain, and quit one second after the last connection closed.",
			ticks: []tick{
				{open(2), nothing},
				{open(2), nothing},
				{open(2), askToDrain},
				{open(1), nothing},
				{open(0), nothing},
				{open(0), nothing},
				{open(0), askToQuit},
				{sight{}, leave},
			},
		},
		"LateClient": {
			reason: "A client that comes back within the second starts it anew.",
			ticks: []tick{
				{open(0), nothing},
				{open(0), nothing},
				{open(0), askToDrain},
				{open(0), nothing},
				{open(1), nothing},
				{open(0), nothing},
				{open(0), nothing},
				{open(0), askToQuit},
				{sight{}, leave},
			},
		},
		"IdleConnections": {
			reason: "Connections that nobody closes live until the bound, and no longer.",
			ticks: []tick{
				{open(1), nothing},
				{open(1), nothing},
				{open(1), askToDrain},
				{open(1), nothing},
				{open(1), nothing},
				{open(1), nothing},
				{open(1), nothing},
				{open(1), nothing},
				{open(1), askToQuit},
				{open(1), askToQuit},
				{open(1), kill},
				{open(1), kill},
				{sight{}, leave},
			},
		},
		"Frozen": {
			reason:  "An Envoy that answers nothing is asked until the bounds are over, then killed: no answer is not no connection.",
			refuses: true,
			ticks: []tick{
				{open(-1), nothing},
				{open(-1), nothing},
				{open(-1), askToDrain},
				{open(-1), askToDrain},
				{open(-1), askToDrain},
				{open(-1), askToDrain},
				{open(-1), askToDrain},
				{open(-1), askToDrain},
				{open(-1), askToQuit},
				{open(-1), askToQuit},
				{open(-1), kill},
				{sight{}, leave},
			},
		},
		"Silent": {
			reason: "An Envoy that drains and no longer says how many connections are open may have some: to the bound.",
			ticks: []tick{
				{open(2), nothing},
				{open(2), nothing},
				{open(2), askToDrain},
				{open(-1), nothing},
				{open(-1), nothing},
				{open(-1), nothing},
				{open(-1), nothing},
				{open(-1), nothing},
				{open(-1), askToQuit},
				{sight{}, leave},
			},
		},
		"NotDraining": {
			reason:  "While Envoy has not begun to drain, no connection just now means nothing.",
			refuses: true,
			ticks: []tick{
				{open(0), nothing},
				{open(0), nothing},
				{open(0), askToDrain},
				{open(0), askToDrain},
				{open(0), askToDrain},
				{open(0), askToDrain},
			},
		},
		"Crash": {
			reason: "An Envoy that ended is not started again: there is nothing left to drain.",
			ticks: []tick{
				{open(3), nothing},
				{sight{}, leave},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			s := stop{since: now}
			var want, got []order
			for _, tick := range tc.ticks {
				var o order
				s, o = s.next(timings, now, tick.See)
				if o == askToDrain {
					s.asked = !tc.refuses
				}
				want, got = append(want, tick.Want), append(got, o)
				now = now.Add(500 * time.Millisecond)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s\nnext(): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
