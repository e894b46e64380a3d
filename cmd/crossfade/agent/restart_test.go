package agent

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRestartsAfter(t *testing.T) {
	cases := map[string]struct {
		reason string
		ran    []time.Duration
		want   []time.Duration
	}{
		"CrashLoop": {
			reason: "The delay doubles from 100 ms to 10 s and stays there.",
			ran:    make([]time.Duration, 9),
			want: []time.Duration{
				100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
				1600 * time.Millisecond, 3200 * time.Millisecond, 6400 * time.Millisecond, 10 * time.Second, 10 * time.Second,
			},
		},
		"SoundForAWhile": {
			reason: "An Envoy that ran for a minute starts anew with the shortest delay.",
			ran:    []time.Duration{0, 0, time.Minute, time.Minute - 1},
			want: []time.Duration{
				100 * time.Millisecond, 200 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond,
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var r restarts
			var got []time.Duration
			for _, ran := range tc.ran {
				var delay time.Duration
				r, delay = r.after(ran)
				got = append(got, delay)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nafter(): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
