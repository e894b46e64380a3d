package load

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// keepFailures is how many failures are kept in what is counted; the samples have them all. What a client in the
// cluster prints has to stay below the 16 KiB at which a container's log breaks a line in two.
const keepFailures = 50

// Counts is what became of the requests of a time.
type Counts struct {
	// At is when a client in the cluster counted: all that was answered until then is in it.
	At time.Time `json:"at,omitzero"`
	// Requests is how many were sent.
	Requests int `json:"requests"`
	// Versions is how many each version answered, with whatever status.
	Versions map[string]int `json:"versions"`
	// Own is how many a version itself answered with an error, by version.
	Own map[string]int `json:"own"`
	// Redone is how many Go's HTTP client had to send again.
	Redone int `json:"redone"`
	// Lost is how many no version answered properly, and Failures are the first of them.
	Lost     int      `json:"lost"`
	Failures []Sample `json:"failures,omitempty"`
	// First and Last are when a version answered for the first and the last time (by the time of sending).
	First map[string]time.Time `json:"first"`
	Last  map[string]time.Time `json:"last"`
	// Longest is the longest time to an answer.
	Longest time.Duration `json:"longest"`
}

// Count counts the samples that were sent from one time (inclusive) to another (exclusive). A zero time is no bound.
func Count(samples []Sample, from, to time.Time) Counts {
	c := Counts{Versions: map[string]int{}, Own: map[string]int{}, First: map[string]time.Time{}, Last: map[string]time.Time{}}
	for _, s := range samples {
		if (!from.IsZero() && s.At.Before(from)) || (!to.IsZero() && !s.At.Before(to)) {
			continue
		}
		c.Requests++
		c.Longest = max(c.Longest, s.Took)
		if s.Redone {
			c.Redone++
		}
		if s.Lost() {
			if c.Lost++; c.Lost <= keepFailures {
				c.Failures = append(c.Failures, s)
			}
			continue
		}
		c.Versions[s.Version]++
		if s.Own() {
			c.Own[s.Version]++
		}
		if first, seen := c.First[s.Version]; !seen || s.At.Before(first) {
			c.First[s.Version] = s.At
		}
		if s.At.After(c.Last[s.Version]) {
			c.Last[s.Version] = s.At
		}
	}
	return c
}

// Between are the samples that were sent and answered between two times (inclusive). What was sent before the end but
// answered after it may have reached a proxy at any time between: a client that gets no CPU is late with it.
func Between(samples []Sample, from, to time.Time) []Sample {
	var in []Sample
	for _, s := range samples {
		if !s.At.Before(from) && !s.At.Add(s.Took).After(to) {
			in = append(in, s)
		}
	}
	return in
}

// Share is the part of the answered requests that a version answered, from 0 to 1.
func (c Counts) Share(version string) float64 {
	answered := c.Requests - c.Lost
	if answered == 0 {
		return 0
	}
	return float64(c.Versions[version]) / float64(answered)
}

// Tolerance is how far a share may be from the wanted one (0 to 1) by chance alone: 4.5 standard deviations of
// the binomial distribution and half a request. A right proxy is called wrong once in 150,000 windows.
func (c Counts) Tolerance(want float64) float64 {
	answered := float64(c.Requests - c.Lost)
	if answered == 0 {
		return 1
	}
	return 4.5*math.Sqrt(want*(1-want)/answered) + 0.5/answered
}

// Within says that a version got the wanted share (0 to 1), but for chance.
func (c Counts) Within(version string, want float64) bool {
	return math.Abs(c.Share(version)-want) <= c.Tolerance(want)
}

// String is one line for people.
func (c Counts) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests", c.Requests)
	for _, v := range slices.Sorted(maps.Keys(c.Versions)) {
		fmt.Fprintf(&b, ", %s %d", v, c.Versions[v])
		if c.Own[v] > 0 {
			fmt.Fprintf(&b, " (%d of them its own errors)", c.Own[v])
		}
	}
	fmt.Fprintf(&b, ", %d lost", c.Lost)
	if c.Redone > 0 {
		fmt.Fprintf(&b, ", %d sent again by the client", c.Redone)
	}
	fmt.Fprintf(&b, ", longest %s", c.Longest.Round(time.Millisecond))
	return b.String()
}

// Describe shows the first lost requests, one a line, for an error message.
func Describe(lost []Sample) string {
	const show = 10
	var b strings.Builder
	for i, s := range lost {
		if i == show {
			fmt.Fprintf(&b, "... and %d more", len(lost)-show)
			break
		}
		fmt.Fprintf(&b, "%s after %s: status %d version %q %s\n", s.At.Format("15:04:05.000"), s.Took.Round(time.Millisecond), s.Status, s.Version, s.Error)
	}
	return b.String()
}
