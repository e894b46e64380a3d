package xds

import (
	"math"
	"slices"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// share is one cluster's weight in a route.
type share struct {
	cluster string
	weight  uint32
}

// part is one backend of a route: its weight among the backends, and the split of
// its Service.
type part struct {
	service ir.ServiceKey
	port    ir.Port
	total   uint32
	weight  uint64
	// policy is what the Service asks of each request.
	policy ir.ServicePolicy
}

func weightOf(parts []part) (sum uint64) {
	for _, p := range parts {
		sum += p.weight
	}
	return sum
}

// group are backends whose Services ask for the same.
type group struct {
	policy ir.ServicePolicy
	// traffic is that of the one backend with a weight, nil where requests follow the
	// weights alone.
	traffic *ir.Traffic
	parts   []part
}

func newGroup(p part) group { return group{policy: p.policy, traffic: p.port.Traffic} }

// takes says whether a further backend can be in the group. One that tells requests
// apart by more than weights is alone: its matches are about its own share.
func (g group) takes(p part) bool {
	return g.traffic == nil && p.port.Traffic == nil && g.policy.Equal(p.policy)
}

// groupParts puts the backends together that ask for the same, without changing their
// order. Those without a weight, which get no request, are with the first that has one;
// where none has, there is no group.
func groupParts(parts []part) []group {
	first := slices.IndexFunc(parts, func(p part) bool { return p.weight > 0 })
	if first < 0 {
		return nil
	}
	groups := []group{newGroup(parts[first])}
	for k, p := range parts {
		i := 0
		if p.weight > 0 && k != first {
			i = slices.IndexFunc(groups, func(g group) bool { return g.takes(p) })
		}
		if i < 0 {
			groups = append(groups, newGroup(p))
			i = len(groups) - 1
		}
		groups[i].parts = append(groups[i].parts, p)
	}
	return groups
}

// shares divides the requests of a route between the revisions of all its
// backends, exactly. With w the weights of the backends divided by their greatest
// common divisor, T the totals of their Services, r the weights of the revisions
// (which add up to T for each Service) and L the least common multiple of all T:
//
//	share(i, j) = w(i) × r(i, j) × L / T(i)        sum = L × Σ w(i)
//
// The sum does not depend on any r, so it stays the same while deliveries move
// weights, as proxies that pick by hash need it. One backend alone has the weights
// of its revisions as they are. Nothing is given to backends of weight 0, but their
// clusters are listed.
//
// Envoy takes sums up to 2³²−1. Beyond that the w are first made smaller, which
// shifts a backend's share by less than one part in a hundred thousand.
func shares(parts []part) []share {
	factor, multiple := common(parts)
	weights := make([]uint64, len(parts))
	var sum uint64
	for i, p := range parts {
		weights[i] = p.weight / factor
		sum += weights[i]
	}
	if most := math.MaxUint32 / multiple; sum > most {
		for i, w := range weights {
			weights[i] = shrink(w, sum, most-uint64(len(parts)))
		}
	}
	var list []share
	for i, p := range parts {
		for _, r := range p.port.Revisions {
			list = append(list, share{
				cluster: ClusterName(p.service, p.port.Number, r.Name),
				weight:  uint32(weights[i] * multiple * uint64(r.Weight) / uint64(p.total)),
			})
		}
	}
	return list
}

// largestMultiple bounds the common multiple of totals. Those of the API, 1, 100,
// 1000 and 10000, stay far below; beyond it shares are rounded down.
const largestMultiple = 1_000_000

// common is the greatest common divisor of the weights and the least common
// multiple of the totals, both of the backends that have a weight.
func common(parts []part) (factor, multiple uint64) {
	multiple = 1
	for _, p := range parts {
		if p.weight > 0 {
			factor = gcd(factor, p.weight)
			multiple = min(multiple/gcd(multiple, uint64(p.total))*uint64(p.total), largestMultiple)
		}
	}
	return max(factor, 1), multiple
}

// shrink scales a weight so that all of them add up to about most. None that had a
// weight loses it.
func shrink(weight, sum, most uint64) uint64 {
	if weight == 0 {
		return 0
	}
	return max(weight*most/sum, 1)
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// millionths is the part of a whole, rounded, but neither nothing nor everything
// when it is neither.
func millionths(part, whole uint64) uint32 {
	const million = 1_000_000
	rounded := (part*million + whole/2) / whole
	return uint32(min(max(rounded, 1), million-1))
}
