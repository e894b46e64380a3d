package proxy

import (
	"cmp"
	"time"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// candidate is a route of some HTTPRoute with what decides whether it is tried
// before another one of the same host.
type candidate struct {
	route           ir.Route
	created         time.Time
	namespace, name string
	rule, match     int
}

// precedes orders candidates as the Gateway API demands: an exact path before a
// prefix, a longer path before a shorter one, one with a method before one without,
// more headers before fewer; then the older HTTPRoute, then by its name, then as
// written. Two HTTPRoutes for one host thereby merge in the same way on every
// replica, and a newer one never takes requests from an older one.
func precedes(a, b candidate) int {
	return cmp.Or(
		descending(rank(a.route.Match.Path.Exact), rank(b.route.Match.Path.Exact)),
		descending(len(a.route.Match.Path.Value), len(b.route.Match.Path.Value)),
		descending(rank(a.route.Match.Method != ""), rank(b.route.Match.Method != "")),
		descending(len(a.route.Match.Headers), len(b.route.Match.Headers)),
		a.created.Compare(b.created),
		cmp.Compare(a.namespace, b.namespace),
		cmp.Compare(a.name, b.name),
		cmp.Compare(a.rule, b.rule),
		cmp.Compare(a.match, b.match),
	)
}

func descending(a, b int) int { return cmp.Compare(b, a) }

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}
