package proxy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

func TestCanaryWeight(t *testing.T) {
	stepping := func(weight, total, capacity int32) v1alpha1.Record {
		return v1alpha1.Record{Stable: "s", Canary: "c", Weight: weight, Total: total, Capacity: capacity}
	}
	cases := map[string]struct {
		reason       string
		record       v1alpha1.Record
		ready        int
		stableServes bool
		canaryServes bool
		want         uint32
	}{
		"AllThere":         {"all canary pods carry the whole weight", stepping(25, 100, 2), 2, true, true, 25},
		"MoreThanNeeded":   {"more pods than the weight was sized for carry no more than it", stepping(25, 100, 2), 5, true, true, 25},
		"HalfLost":         {"a lost pod takes its share back to stable, rounded down", stepping(25, 100, 2), 1, true, true, 12},
		"OneOfThree":       {"rounded down once, at the end", stepping(1000, 10000, 3), 1, true, true, 333},
		"AllLost":          {"no weight goes to a revision without a ready pod", stepping(25, 100, 2), 0, true, false, 0},
		"NoCapacity":       {"without a capacity nothing is meant to be carried", stepping(25, 100, 0), 2, true, true, 0},
		"NegativeCapacity": {"a broken record gives nothing to the canary", stepping(25, 100, -1), 2, true, true, 0},
		"StableLost":       {"an answer from the canary is better than none", stepping(5, 100, 2), 1, false, true, 100},
		"StableLostAtZero": {"even before its first step", stepping(0, 100, 1), 1, false, true, 100},
		"NobodyThere":      {"with nobody there stable keeps everything", stepping(25, 100, 2), 0, false, false, 0},
		"UnservedPort":     {"a port that neither serves follows the others", stepping(25, 100, 2), 2, false, false, 25},
		"LacksThePort":     {"a canary that does not serve a port gets nothing on it", stepping(25, 100, 2), 2, true, false, 0},
		"OverTotal":        {"never more than there is", stepping(200, 100, 1), 1, true, true, 100},
		"Negative":         {"never less than nothing", stepping(-5, 100, 1), 1, true, true, 0},
		"NoTotal":          {"weights are out of 100 when the record does not say", stepping(30, 0, 1), 1, true, true, 30},
		"HugeTotal":        {"totals are bounded, so that sums fit into 32 bits", stepping(20000, 2000000, 1), 1, true, true, 10000},
		"NoCanary": {
			"nothing is on its way", v1alpha1.Record{Stable: "s", Weight: 50, Total: 100, Capacity: 1}, 1, false, true, 0,
		},
		"CanaryIsStable": {
			"a revision cannot be both", v1alpha1.Record{Stable: "s", Canary: "s", Weight: 50, Total: 100, Capacity: 1}, 1, true, true, 0,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := splitOf(&tc.record)
			got := s.canaryWeight(s.carried(tc.ready), tc.stableServes, tc.canaryServes)
			if got != tc.want {
				t.Errorf("%s: the canary's weight is %d, want %d", tc.reason, got, tc.want)
			}
			if sum := s.weight("s", got) + s.weight("c", got); s.canary != "" && sum != s.total {
				t.Errorf("%s: the weights add up to %d, want %d", tc.reason, sum, s.total)
			}
		})
	}
}

func TestSplitNames(t *testing.T) {
	cases := map[string]struct {
		reason string
		record v1alpha1.Record
		want   []string
	}{
		"Healthy":   {"stable alone", v1alpha1.Record{Stable: "m"}, []string{"m"}},
		"Sorted":    {"the order is that of the names, whichever is stable", v1alpha1.Record{Stable: "m", Canary: "b"}, []string{"b", "m"}},
		"Warm":      {"the former stable revision stays listed", v1alpha1.Record{Stable: "m", Old: "z"}, []string{"m", "z"}},
		"Three":     {"all that the record names", v1alpha1.Record{Stable: "m", Canary: "x", Old: "a"}, []string{"a", "m", "x"}},
		"Once":      {"each is listed once", v1alpha1.Record{Stable: "m", Canary: "x", Old: "x"}, []string{"m", "x"}},
		"StableOld": {"each is listed once", v1alpha1.Record{Stable: "m", Old: "m"}, []string{"m"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, splitOf(&tc.record).names); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
