package server

import "github.com/crossfade-dev/crossfade/proxy/xds"

// mayAdd says whether a published resource may go out now.
func (s *stream) mayAdd(k kind, r *xds.Resource) bool {
	switch k {
	case clusters:
		return s.types[clusters].held[r.Name] == nil || s.mayChange(r.Name)
	case endpoints:
		return !s.emptiesTooEarly(r.Name)
	case routes:
		for _, cluster := range r.References {
			if !s.usable(cluster) {
				return false
			}
		}
	case listeners:
		// One that leads to a cluster by itself would refuse connections until that is there.
		for _, cluster := range r.Clusters {
			if !s.usable(cluster) {
				return false
			}
		}
	case kinds:
	}
	return true
}

// mayChange says whether a cluster that the proxy has may change. It gets warm only with endpoints, and where the published
// ones have to wait those that it has are sent again (stopgap, in decide). So they have to be known first.
func (s *stream) mayChange(cluster string) bool {
	if s.world.all[endpoints][cluster] == nil {
		return true
	}
	e := &s.types[endpoints]
	untold := s.reconnected && !e.seen
	ghost := e.held[cluster] != nil && e.held[cluster].Body == nil
	return !untold && !ghost
}

// usable says whether a route may name the cluster: the proxy has acked it, and so it has its endpoints.
func (s *stream) usable(cluster string) bool {
	c, e := &s.types[clusters], &s.types[endpoints]
	switch {
	case s.world.all[clusters][cluster] == nil:
		return true // Nobody is going to send it, so waiting would have no end.
	case !c.seen:
		// Envoy that lost its stream while a cluster was warming asks for clusters only after it got the endpoints.
		return !e.seen && !s.types[listeners].wildcard
	case !c.wants(cluster):
		return true // gRPC clients ask for clusters only after they have seen them in a route, and do the waiting themselves.
	case c.held[cluster] == nil || c.leaves(cluster):
		return false
	}
	published := s.world.all[endpoints][cluster]
	if published == nil || !e.wants(cluster) {
		return true
	}
	has, coming := e.held[cluster], e.flight.brings(cluster)
	if has == nil || e.leaves(cluster) {
		return false
	}
	// A route that gives weight to a revision whose first endpoints are new too must not overtake them, and they count
	// when they are acked: Envoy refuses all endpoints of a response for one that is bad.
	return published.Empty || serves(has, published) && (coming == nil || serves(coming, published))
}

// serves says whether a version of a cluster's endpoints has any, if the published one has.
func serves(r, published *xds.Resource) bool {
	return r.Version == published.Version || r.Body != nil && !r.Empty
}

// leaves says whether the proxy may be without a resource that it once acked: its removal is on the wire or was in a
// response that it refused.
func (t *subscription) leaves(name string) bool {
	if _, lost := t.lost[name]; lost {
		return true
	}
	return t.flight.takes(name)
}

// latest returns the newest version that went out on the stream or that the proxy brought along.
func (t *subscription) latest(name string) *xds.Resource {
	if t.flight.takes(name) {
		return nil
	}
	if r := t.flight.brings(name); r != nil {
		return r
	}
	return t.held[name]
}

// emptiesTooEarly says whether the published endpoints of a cluster are none, the proxy still has some, and a route that
// the proxy uses is about to change: that route goes first. Otherwise requests would meet a cluster without endpoints,
// and Envoy retries those never. A route that the proxy refused is not waited for: that wait would have no end, and
// addresses of pods that are gone may get other owners.
func (s *stream) emptiesTooEarly(cluster string) bool {
	published := s.world.all[endpoints][cluster]
	if published == nil || !published.Empty {
		return false
	}
	has := s.types[endpoints].latest(cluster)
	if has == nil || has.Empty {
		return false
	}
	return s.routesUntold() || s.routeWaits(cluster)
}

// routesUntold says whether the proxy came back with something and has not said yet which routes it brought along. It
// tells them last, after its clusters, endpoints and listeners.
func (s *stream) routesUntold() bool {
	if !s.reconnected || s.types[routes].seen {
		return false
	}
	l := &s.types[listeners]
	referenced, ghost := l.references()
	return !l.seen || ghost || len(referenced) > 0
}

// routeWaits says whether a route that the proxy uses names the cluster and is about to be replaced.
func (s *stream) routeWaits(cluster string) bool {
	t := &s.types[routes]
	waits := func(name string) bool {
		published := s.world.all[routes][name]
		if published != nil {
			if _, refused := t.refusal(name, published.Version); refused {
				return false
			}
		}
		return t.used(name, func(r *xds.Resource) bool {
			return (published == nil || r.Version != published.Version) && mayReference(r, cluster)
		})
	}
	for name := range t.todo {
		if waits(name) {
			return true
		}
	}
	if t.flight != nil {
		for _, r := range t.flight.add {
			if waits(r.Name) {
				return true
			}
		}
	}
	return false
}

// used calls match for each version of a name that the proxy may be using, until one matches.
func (t *subscription) used(name string, match func(*xds.Resource) bool) bool {
	for _, versions := range []map[string]*xds.Resource{t.held, t.undefined, t.lingering} {
		if r := versions[name]; r != nil && match(r) {
			return true
		}
	}
	r := t.flight.brings(name)
	return r != nil && match(r)
}

// mayReference says whether a resource names another one. A ghost may name anything.
func mayReference(r *xds.Resource, name string) bool {
	if r.Body == nil {
		return true
	}
	for _, reference := range r.References {
		if reference == name {
			return true
		}
	}
	return false
}

// mayRemove says whether a resource that is not published any more may be taken away now.
func (s *stream) mayRemove(k kind, name string) bool {
	switch k {
	case clusters:
		if held := s.types[clusters].held[name]; s.lazy() && held != nil && held.Body != nil {
			return false
		}
		// The endpoints go first. Envoy ignores that as long as the cluster lives, but then they are gone with it.
		// State-of-the-world has no way to take endpoints away.
		return s.inUse().freesCluster(name) && (s.sotw || s.types[endpoints].latest(name) == nil)
	case endpoints:
		return s.inUse().freesCluster(name)
	case routes:
		return s.inUse().freesRoute(name)
	case listeners, kinds:
	}
	return true
}

// lazy says that the proxy names the clusters that its routes lead to, as gRPC clients do. It keeps a cluster for requests
// under way after its routes have changed, fails them when the cluster is taken away, and unsubscribes when it is done.
func (s *stream) lazy() bool {
	return s.sotw && !s.types[clusters].wildcard && s.types[routes].seen
}

// inUse is what the proxy's routes and listeners may refer to. It is built only when something is to be removed.
type inUse struct {
	clusters, routes map[string]struct{}
	// anyCluster and anyRoute say that there is a ghost, which may name anything, or that the proxy has not said yet
	// what it has.
	anyCluster, anyRoute bool
}

func (u *inUse) freesCluster(name string) bool {
	_, used := u.clusters[name]
	return !used && !u.anyCluster
}

func (u *inUse) freesRoute(name string) bool {
	_, used := u.routes[name]
	return !used && !u.anyRoute
}

// inUse returns the cached answer within one call of next.
func (s *stream) inUse() *inUse {
	if s.use != nil {
		return s.use
	}
	u := &inUse{}
	l, r := &s.types[listeners], &s.types[routes]
	u.routes, u.anyRoute = l.references()
	u.clusters, u.anyCluster = r.references()
	l.leadTo(u.clusters)
	u.anyRoute = u.anyRoute || s.reconnected && !l.seen
	u.anyCluster = u.anyCluster || s.routesUntold()
	s.use = u
	return u
}

// leadTo adds the clusters that listeners lead to by themselves.
func (t *subscription) leadTo(clusters map[string]struct{}) {
	lead := func(r *xds.Resource) {
		for _, name := range r.Clusters {
			clusters[name] = struct{}{}
		}
	}
	for _, versions := range []map[string]*xds.Resource{t.held, t.undefined} {
		for _, r := range versions {
			lead(r)
		}
	}
	if t.flight != nil {
		for _, r := range t.flight.add {
			lead(r)
		}
	}
}

// references collects what the versions that the proxy may be using refer to, and whether one of them is a ghost.
func (t *subscription) references() (map[string]struct{}, bool) {
	found, ghost := map[string]struct{}{}, false
	collect := func(r *xds.Resource) {
		ghost = ghost || r.Body == nil
		for _, name := range r.References {
			found[name] = struct{}{}
		}
	}
	for _, versions := range []map[string]*xds.Resource{t.held, t.undefined, t.lingering} {
		for _, r := range versions {
			collect(r)
		}
	}
	if t.flight != nil {
		for _, r := range t.flight.add {
			collect(r)
		}
	}
	return found, ghost
}
