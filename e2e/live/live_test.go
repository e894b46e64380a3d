package live

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWindows(t *testing.T) {
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	state := func(seconds int, canary string, desired, effective, acked int32) Seen[Rollout] {
		s := Seen[Rollout]{At: at(seconds)}
		s.Object.Status.Canary.Revision = canary
		s.Object.Status.Weight = Weight{Desired: desired, Effective: effective, Acked: acked}
		return s
	}
	unacked := func(s Seen[Rollout]) Seen[Rollout] {
		s.Object.Status.Proxies.Expected = 2
		return s
	}
	cases := map[string]struct {
		reason string
		states []Seen[Rollout]
		want   []Window
	}{
		"Steps": {
			reason: "A window is open from the last ack to the next weight, less what until takes off; the last one to the end.",
			states: []Seen[Rollout]{
				state(0, "", 0, 0, 0), state(1, "x1", 10, 10, 0), state(2, "x1", 10, 10, 10), state(4, "x1", 10, 10, 10),
				state(10, "x1", 30, 30, 10), state(11, "x1", 30, 30, 30),
			},
			want: []Window{{Canary: "x1", Weight: 10, From: at(2), To: at(9)}, {Canary: "x1", Weight: 30, From: at(11), To: at(20)}},
		},
		"LostPods": {
			reason: "While canary pods are missing the share is not the weight's.",
			states: []Seen[Rollout]{state(0, "x1", 10, 10, 10), state(5, "x1", 10, 5, 5), state(8, "", 0, 0, 0)},
			want:   []Window{{Canary: "x1", Weight: 10, From: at(0), To: at(4)}},
		},
		"Short": {
			reason: "What until makes end before it begins says nothing.",
			states: []Seen[Rollout]{state(0, "x1", 10, 10, 10), state(1, "x1", 30, 30, 10), {At: at(2), Gone: true}},
		},
		"NobodyConnected": {
			reason: "After a controller's restart no proxy has confirmed anything, so that the lowest confirmed weight is 0, and is no news.",
			states: []Seen[Rollout]{
				state(0, "x1", 0, 30, 30), unacked(state(1, "x1", 0, 0, 0)), state(5, "x1", 0, 0, 0), unacked(state(9, "x1", 0, 0, 0)),
			},
			want: []Window{{Canary: "x1", From: at(5), To: at(8)}},
		},
		"AnotherCanary": {
			reason: "The weight of another canary is another window.",
			states: []Seen[Rollout]{state(0, "x1", 10, 10, 10), state(5, "x2", 10, 10, 10)},
			want:   []Window{{Canary: "x1", Weight: 10, From: at(0), To: at(4)}, {Canary: "x2", Weight: 10, From: at(5), To: at(20)}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Windows(tc.states, func(s Seen[Rollout]) time.Time { return s.At.Add(-time.Second) }, at(20))); diff != "" {
				t.Errorf("%s\nWindows(): -want +got:\n%s", tc.reason, diff)
			}
		})
	}
}
