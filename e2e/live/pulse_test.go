package live

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestNotBefore(t *testing.T) {
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	p := &Pulse{beats: []written{{version: 10, asked: begin}, {version: 20, asked: begin.Add(time.Second)}}}
	cases := map[string]struct {
		reason  string
		version string
		want    time.Time
	}{
		"Between":       {"What came after a beat was written after that beat was asked for.", "15", begin},
		"AfterLast":     {"The last beat counts until the next.", "99", begin.Add(time.Second)},
		"TheBeatItself": {"A beat's own version came after the beat before.", "20", begin},
		"BeforeFirst":   {"Nothing is known of the time before the first beat.", "10", time.Time{}},
		"NoNumber":      {"An object that is gone has no version.", "", time.Time{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, p.NotBefore(tc.version)); diff != "" {
				t.Errorf("%s\nNotBefore(): -want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestPulse(t *testing.T) {
	before := time.Now()
	p, err := StartPulse(t.Context(), fake.NewClientBuilder().Build(), types.NamespacedName{Namespace: "default", Name: "pulse"})
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	for beats := 0; beats < 3; {
		time.Sleep(time.Millisecond)
		p.mu.Lock()
		beats, last = len(p.beats), p.beats[len(p.beats)-1].version
		p.mu.Unlock()
		if time.Since(before) > time.Minute {
			t.Fatalf("%d beats in a minute", beats)
		}
	}
	if got := p.NotBefore(fmt.Sprint(last + 1)); got.Before(before.Add(beat)) {
		t.Errorf("the third beat was asked for at %v, less than one beat after the first at %v", got, before)
	}
}
