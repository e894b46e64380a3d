package xds

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

func TestShares(t *testing.T) {
	svc := func(name string, total uint32, weight uint64, revisions ...ir.Revision) part {
		return part{
			service: ir.ServiceKey{Namespace: "ns", Name: name},
			port:    ir.Port{Number: 80, Revisions: revisions},
			total:   total,
			weight:  weight,
		}
	}
	rev := func(name string, weight uint32) ir.Revision { return ir.Revision{Name: name, Weight: weight} }
	cases := map[string]struct {
		reason string
		parts  []part
		want   []uint32
	}{
		"Alone": {
			"one backend has the weights of its revisions as they are",
			[]part{svc("a", 100, 1, rev("c", 5), rev("s", 95))},
			[]uint32{5, 95},
		},
		"AloneWithWeight": {
			"the weight of the only backend means nothing",
			[]part{svc("a", 100, 30, rev("c", 5), rev("s", 95))},
			[]uint32{5, 95},
		},
		"TwoPlain": {
			"without deliveries the weights are the backends', in lowest terms",
			[]part{svc("a", 1, 90, rev("-", 1)), svc("b", 1, 10, rev("-", 1))},
			[]uint32{9, 1},
		},
		"TwoTotals": {
			"3 to 1, one out of 1000 and one out of 100: exact in thousandths",
			[]part{svc("a", 1000, 3, rev("c", 1), rev("s", 999)), svc("b", 100, 1, rev("c", 33), rev("s", 67))},
			[]uint32{3, 2997, 330, 670},
		},
		"ZeroWeight": {
			"a backend of weight 0 is listed, gets nothing, and does not change the sum",
			[]part{svc("a", 100, 2, rev("s", 100)), svc("b", 10000, 0, rev("c", 1), rev("s", 9999))},
			[]uint32{100, 0, 0},
		},
		"Largest": {
			"the largest weights of the Gateway API fit by losing precision, not order",
			[]part{svc("a", 10000, 1_000_000, rev("s", 10000)), svc("b", 10000, 999_999, rev("s", 10000)), svc("c", 1, 1, rev("-", 1))},
			[]uint32{2147460000, 2147460000, 10000},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []uint32
			var sum uint64
			for _, s := range shares(tc.parts) {
				got = append(got, s.weight)
				sum += uint64(s.weight)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if sum == 0 || sum > math.MaxUint32 {
				t.Errorf("%s: the sum is %d", tc.reason, sum)
			}
		})
	}
}

// TestSharesKeepTheirSum moves weights through a whole delivery of each of two
// backends: users who are told apart by hash stay where they are only if the sum
// stays what it is.
func TestSharesKeepTheirSum(t *testing.T) {
	for _, weights := range [][2]uint64{{1, 1}, {3, 1}, {999_983, 1_000_000}, {1, 0}} {
		sums := map[uint64]bool{}
		for a := uint32(0); a <= 100; a += 5 {
			for b := uint32(0); b <= 1000; b += 50 {
				var sum uint64
				for _, s := range shares([]part{
					{port: ir.Port{Revisions: []ir.Revision{{Name: "c", Weight: a}, {Name: "s", Weight: 100 - a}}}, total: 100, weight: weights[0]},
					{port: ir.Port{Revisions: []ir.Revision{{Name: "c", Weight: b}, {Name: "s", Weight: 1000 - b}}}, total: 1000, weight: weights[1]},
				}) {
					sum += uint64(s.weight)
				}
				sums[sum] = true
			}
		}
		if len(sums) != 1 {
			t.Errorf("backends %v: the sum took %d values: %v", weights, len(sums), sums)
		}
	}
}

func TestMillionths(t *testing.T) {
	cases := map[string]struct {
		reason      string
		part, whole uint64
		want        uint32
	}{
		"Quarter": {"exact where it can be", 1, 4, 250_000},
		"Third":   {"rounded where it cannot", 1, 3, 333_333},
		"Tiny":    {"something is never nothing", 1, 16_000_000, 1},
		"Nearly":  {"nor everything", 15_999_999, 16_000_000, 999_999},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := millionths(tc.part, tc.whole); got != tc.want {
				t.Errorf("%s: %d of %d is %d millionths, want %d", tc.reason, tc.part, tc.whole, got, tc.want)
			}
		})
	}
}
