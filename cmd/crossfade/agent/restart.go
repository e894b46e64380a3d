package agent

import "time"

const (
	// firstDelay is short: a crash that does not come again should cost little.
	firstDelay = 100 * time.Millisecond
	maxDelay   = 10 * time.Second
	// soundAfter is how long an Envoy runs until its earlier crashes are
	// forgotten.
	soundAfter = time.Minute
)

// restarts counts the crashes of Envoy that came one soon after the other.
type restarts int

// after returns the new count when an Envoy ended that ran for so long, and how
// long to wait before the next start: 100 ms, then twice as long each time, 10 s
// at most. Without the wait an Envoy that cannot start would take a whole core
// and fill the log.
func (r restarts) after(ran time.Duration) (restarts, time.Duration) {
	if ran >= soundAfter {
		r = 0
	}
	delay := firstDelay
	for range r {
		delay = min(2*delay, maxDelay)
	}
	return r + 1, delay
}
