package certificates

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound how much is asked. A token that is no good costs a question to the
// API server as a good one does.
type Limits struct {
	// PerSecond are the requests that are answered, of all senders, with a burst of
	// Burst: 200 pods may be created at once.
	PerSecond float64
	Burst     int
	// PerAddress and AddressBurst are the same for one address. A pod asks once in
	// half a day.
	PerAddress   float64
	AddressBurst int
}

// DefaultLimits are those of the product.
func DefaultLimits() Limits {
	return Limits{PerSecond: 100, Burst: 400, PerAddress: 1, AddressBurst: 10}
}

// maxAddresses bounds what is remembered of senders.
const maxAddresses = 8192

// limiter counts requests.
type limiter struct {
	limits Limits
	all    *rate.Limiter

	mu        sync.Mutex
	addresses map[string]*rate.Limiter
}

func newLimiter(l Limits) *limiter {
	return &limiter{
		limits: l, all: rate.NewLimiter(rate.Limit(l.PerSecond), l.Burst), addresses: map[string]*rate.Limiter{},
	}
}

// allow says whether one more request may come from an address. The address's own
// bound is asked first: who is loud takes nothing from the others.
func (l *limiter) allow(address string, now time.Time) bool {
	l.mu.Lock()
	own := l.addresses[address]
	if own == nil {
		// Forgetting all at once is crude, and costs a flood's sender nothing more than
		// one burst; the bound on all still holds.
		if len(l.addresses) >= maxAddresses {
			clear(l.addresses)
		}
		own = rate.NewLimiter(rate.Limit(l.limits.PerAddress), l.limits.AddressBurst)
		l.addresses[address] = own
	}
	l.mu.Unlock()
	return own.AllowN(now, 1) && l.all.AllowN(now, 1)
}
