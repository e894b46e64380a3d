package xds

import (
	"cmp"
	"maps"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// gateway is a gateway with the resources that were made of its listeners, by name.
type gateway struct {
	listeners map[string]*gatewayListener
	snapshot  *Snapshot
}

// gatewayListener is a listener with its resources.
type gatewayListener struct {
	ir ir.Listener
	// good are the virtual hosts that had no problem when they were last seen.
	good map[string]ir.VirtualHost
	// used are the Services that the routes name; a Service that is not there is nil.
	used             map[ir.ServiceKey]*service
	routes, listener *Resource
	problems         []Problem
}

// makeGatewayListeners makes what a gateway's listeners need, and takes over from
// the previous one what is the same.
func makeGatewayListeners(previous *gateway, next ir.Gateway, services map[ir.ServiceKey]*service) (*gateway, []Problem) {
	made := &gateway{listeners: make(map[string]*gatewayListener, len(next.Listeners))}
	var problems []Problem
	for _, l := range next.Listeners {
		name := GatewayListenerName(next.Namespace, next.Name, l.Name)
		var was *gatewayListener
		if previous != nil {
			was = previous.listeners[name]
		}
		listener, err := makeListener(name, was, l, services)
		if err != nil {
			problems = append(problems, Problem{Resource: name, Message: err.Error()})
			if listener = was; was == nil {
				continue
			}
		}
		made.listeners[name] = listener
		problems = append(problems, listener.problems...)
	}
	return made, problems
}

func makeListener(name string, was *gatewayListener, l ir.Listener, services map[ir.ServiceKey]*service) (*gatewayListener, error) {
	if was != nil && was.ir.Equal(l) && was.current(services) {
		return was, nil
	}
	made := &gatewayListener{ir: l, good: map[string]ir.VirtualHost{}, used: map[ir.ServiceKey]*service{}}
	hosts, err := made.makeHosts(name, was, services)
	if err != nil {
		return nil, err
	}
	config := &routev3.RouteConfiguration{
		Name:         name,
		VirtualHosts: hosts,
		// Clients name the port that they know, which is not the one that is bound.
		IgnorePortInHostMatching: true,
		// A route may come before its cluster: the order is the server's business.
		ValidateClusters: wrapperspb.Bool(false),
	}
	if made.routes, err = newReferring(name, config, clustersOf(config), made.splits(config)); err != nil {
		return nil, err
	}
	if was == nil {
		made.listener, err = makeGatewayListener(name, l.BindPort)
		return made, err
	}
	if was.routes.Version == made.routes.Version {
		made.routes = was.routes
	}
	if made.listener = was.listener; was.ir.BindPort != l.BindPort {
		made.listener, err = makeGatewayListener(name, l.BindPort)
	}
	return made, err
}

// current says whether the Services divide their requests, and ask of their callers, as
// they did when the routes were made.
func (l *gatewayListener) current(services map[ir.ServiceKey]*service) bool {
	for key, was := range l.used {
		if now := services[key]; now != was && !sameRoutes(was, now) {
			return false
		}
	}
	return true
}

func sameRoutes(a, b *service) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ir.Policy.OfRequests().Equal(b.ir.Policy.OfRequests()) && slices.EqualFunc(a.ir.Ports, b.ir.Ports, func(p, q ir.Port) bool {
		return p.Number == q.Number && sameDivision(p, q)
	})
}

// makeHosts makes the virtual hosts. A bad one must not spoil the table: the last
// good one of its domain takes its place, with today's weights, or none does.
func (l *gatewayListener) makeHosts(name string, was *gatewayListener, services map[ir.ServiceKey]*service) ([]*routev3.VirtualHost, error) {
	checker := hostChecker{table: name, domains: map[string]string{}}
	var hosts []*routev3.VirtualHost
	for _, next := range l.ir.VirtualHosts {
		candidates := []ir.VirtualHost{next}
		if was != nil {
			if good, ok := was.good[next.Domain]; ok {
				candidates = append(candidates, good)
			}
		}
		for i, candidate := range candidates {
			host, err := makeGatewayHost(candidate, services)
			if err != nil {
				return nil, err
			}
			problems := checker.check(host)
			if i == 0 {
				l.problems = append(l.problems, problems...)
			}
			if len(problems) == 0 {
				hosts = append(hosts, host)
				l.accept(candidate, services)
				break
			}
		}
	}
	return hosts, nil
}

// accept notes a virtual host that is served.
func (l *gatewayListener) accept(host ir.VirtualHost, services map[ir.ServiceKey]*service) {
	l.good[host.Domain] = host
	for _, r := range host.Routes {
		for _, b := range r.Backends {
			l.used[b.Service] = services[b.Service]
		}
	}
}

// splits are those of the ports that get requests by these routes, sorted. A backend
// of weight 0 gets none, and its split leaves no trace in the routes: it must not be
// listed, or a proxy could never confirm a change of it.
func (l *gatewayListener) splits(config *routev3.RouteConfiguration) []Split {
	weighted := weightedClusters(config)
	var splits []Split
	for _, s := range l.used {
		if s == nil {
			continue
		}
		for _, p := range s.ir.Ports {
			if slices.ContainsFunc(p.Revisions, func(r ir.Revision) bool {
				return weighted[ClusterName(s.ir.ServiceKey, p.Number, r.Name)]
			}) {
				splits = append(splits, splitOf(s.ir, p))
			}
		}
	}
	slices.SortFunc(splits, func(a, b Split) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Port, b.Port))
	})
	return splits
}

// publish collects what the gateway's proxies need: its listeners, their routes, and
// the clusters that these name. It is the previous snapshot when nothing changed.
func (g *gateway) publish(previous *gateway, services map[ir.ServiceKey]*service) {
	s := newSnapshot(len(g.listeners))
	for name, l := range g.listeners {
		s.Listeners[name], s.Routes[name] = l.listener, l.routes
		for key := range l.used {
			services[key].addClusters(s, l.routes.References)
		}
	}
	if previous != nil && previous.snapshot.equal(s) {
		s = previous.snapshot
	}
	g.snapshot = s
}

// addClusters adds those of the service's clusters that routes name.
func (s *service) addClusters(to *Snapshot, references []string) {
	if s == nil {
		return
	}
	for _, p := range s.ports {
		for _, r := range p.clusters() {
			if _, named := slices.BinarySearch(references, r.cluster.Name); named {
				to.Clusters[r.cluster.Name], to.Endpoints[r.cluster.Name] = r.cluster, r.endpoints
			}
		}
	}
}

// newSnapshot makes an empty snapshot with room for about n resources of a kind.
func newSnapshot(n int) *Snapshot {
	return &Snapshot{
		Clusters:  make(map[string]*Resource, n),
		Endpoints: make(map[string]*Resource, n),
		Listeners: make(map[string]*Resource, n),
		Routes:    make(map[string]*Resource, n),
	}
}

// equal says whether two snapshots hold the very same resources.
func (s *Snapshot) equal(o *Snapshot) bool {
	return maps.Equal(s.Clusters, o.Clusters) && maps.Equal(s.Endpoints, o.Endpoints) &&
		maps.Equal(s.Listeners, o.Listeners) && maps.Equal(s.Routes, o.Routes)
}
