package load

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Distribution is how long answers took. Times are kept to three digits, as
// microseconds: wrong by half a percent at most, and never more than a few
// thousand different ones however long a run is. Its zero value is empty.
type Distribution struct {
	// Counts is how many answers took so many microseconds.
	Counts map[int64]int `json:"counts,omitempty"`
	// Max is the longest time, exactly.
	Max time.Duration `json:"max"`
}

// Record adds the time of one answer.
func (d *Distribution) Record(took time.Duration) {
	if d.Counts == nil {
		d.Counts = map[int64]int{}
	}
	d.Counts[threeDigits(took.Microseconds())]++
	d.Max = max(d.Max, took)
}

// Merge returns both taken together; neither is changed.
func (d Distribution) Merge(other Distribution) Distribution {
	sum := Distribution{Counts: maps.Clone(d.Counts), Max: max(d.Max, other.Max)}
	if sum.Counts == nil {
		sum.Counts = make(map[int64]int, len(other.Counts))
	}
	for t, n := range other.Counts {
		sum.Counts[t] += n
	}
	return sum
}

// Total is how many answers there are.
func (d Distribution) Total() int {
	total := 0
	for _, n := range d.Counts {
		total += n
	}
	return total
}

// Percentile is the time within which at least that share (0 to 1) of the
// answers came: one that was seen, nothing is interpolated. Zero without answers.
func (d Distribution) Percentile(share float64) time.Duration {
	rank := max(1, int(math.Ceil(share*float64(d.Total()))))
	seen := 0
	for _, t := range slices.Sorted(maps.Keys(d.Counts)) {
		if seen += d.Counts[t]; seen >= rank {
			return time.Duration(t) * time.Microsecond
		}
	}
	return 0
}

// threeDigits rounds what has more, half up.
func threeDigits(n int64) int64 {
	unit := int64(1)
	for n/unit >= 1000 {
		unit *= 10
	}
	return (n + unit/2) / unit * unit
}
