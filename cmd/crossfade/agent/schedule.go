package agent

import "time"

const (
	// firstRetry and maxRetry bound the wait after a request for a certificate that
	// failed: short while nobody can use this proxy, longer while there is one that
	// is good for hours.
	firstRetry      = 500 * time.Millisecond
	maxRetryWithout = 10 * time.Second
	maxRetryWith    = 2 * time.Minute
)

// retryAfter is how long to wait after so many failures in a row. The jitter, 0 to
// 1, shortens it by up to half: proxies that failed together do not come again
// together.
func retryAfter(failures int, valid bool, jitter float64) time.Duration {
	most := maxRetryWithout
	if valid {
		most = maxRetryWith
	}
	wait := firstRetry
	for range failures - 1 {
		wait = min(2*wait, most)
	}
	return wait - time.Duration(jitter*float64(wait)/2)
}

// renewAfter is how long to wait until a certificate is renewed: what the
// controller says, half of its life, give or take a tenth, so that pods that were
// created together do not come again together.
func renewAfter(told time.Duration, jitter float64) time.Duration {
	return max(told+time.Duration((jitter-0.5)/5*float64(told)), time.Second)
}
