package proxy

import (
	"slices"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// defaultTotal is what weights are out of when a record does not say: nothing has
// been on its way since the Deployment was adopted.
const defaultTotal = 100

// largestTotal is the largest that the API allows.
const largestTotal = 10000

// split is what a record says about the division of requests.
type split struct {
	stable, canary string
	// names are all revisions of the record, sorted, each once.
	names []string
	total uint32
	// wanted is the canary's weight, at most total.
	wanted uint32
	// capacity is how many canary pods carry the wanted weight.
	capacity uint32
	// traffic is what the record says beside the weight, nil for nothing.
	traffic *ir.Traffic
}

func splitOf(record *v1alpha1.Record) split {
	s := split{
		stable:   record.Stable,
		total:    defaultTotal,
		capacity: uint32(max(record.Capacity, 0)),
	}
	if record.Total > 0 {
		s.total = uint32(min(record.Total, largestTotal))
	}
	for _, name := range []string{record.Stable, record.Canary, record.Old} {
		if name != "" && !slices.Contains(s.names, name) {
			s.names = append(s.names, name)
		}
	}
	slices.Sort(s.names)
	if record.Canary != "" && record.Canary != record.Stable {
		s.canary = record.Canary
		s.wanted = min(uint32(max(record.Weight, 0)), s.total)
		s.traffic = trafficOf(record)
	}
	return s
}

// carried is the canary's weight that its ready pods can carry: lost canary pods
// take their share of the requests back to stable. It is rounded down, so that no
// pod ever gets more than it was sized for.
func (s split) carried(ready int) uint32 {
	if s.capacity == 0 {
		return 0
	}
	n := min(uint64(max(ready, 0)), uint64(s.capacity))
	return uint32(uint64(s.wanted) * n / uint64(s.capacity))
}

// canaryWeight is the canary's weight on one port, given what its pods can carry
// and which of the two revisions has an endpoint there. No weight goes to a
// revision without one (I2). A port that neither serves follows the others: nobody
// gets an answer there whatever the weights are, they only must not add up to zero
// (I1), and an unserved port must not look like a canary that lost its weight.
func (s split) canaryWeight(carried uint32, stableServes, canaryServes bool) uint32 {
	switch {
	case s.canary == "":
		return 0
	case canaryServes && !stableServes:
		return s.total
	case stableServes && !canaryServes:
		return 0
	default:
		return carried
	}
}

// weight is a revision's share, given the canary's. The revision that was stable
// before and is kept warm gets nothing.
func (s split) weight(name string, canary uint32) uint32 {
	switch name {
	case s.stable:
		return s.total - canary
	case s.canary:
		return canary
	default:
		return 0
	}
}
