package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// modelEnvoy is what Envoy does with the incremental protocol, as far as it matters to the order, each trait observed on
// the real one:
//
//   - a cluster is usable when it and its endpoints have arrived; until then it is warming;
//   - the ACK of clusters, and every other request for clusters, is held back while any cluster is warming;
//   - for the endpoints of a new cluster it asks, for those of a changed cluster it waits without asking;
//   - the removal of endpoints of a living cluster, and of a route, is acked and ignored;
//   - a refused response may have been applied in part.
type modelEnvoy struct {
	clusters  map[string]*xds.Resource // Those in use: warm.
	warming   map[string]*xds.Resource
	endpoints map[string]*xds.Resource
	listeners map[string]*xds.Resource
	routes    map[string]*xds.Resource
	asked     [kinds]map[string]bool
	// pausedCDS are requests for clusters that wait for warming to end.
	pausedCDS []*discoveryv3.DeltaDiscoveryRequest
	// stuck are routes of which a newer version was refused: what they lead to is not the order's fault.
	stuck map[string]bool
	// refusedAt counts how often each bad version arrived.
	refusedAt map[string]int
	out       []*discoveryv3.DeltaDiscoveryRequest
	// timeouts counts clusters that got warm by Envoy's own clock because no endpoints came.
	timeouts int
}

func newModelEnvoy() *modelEnvoy {
	m := &modelEnvoy{
		clusters: map[string]*xds.Resource{}, warming: map[string]*xds.Resource{}, endpoints: map[string]*xds.Resource{},
		listeners: map[string]*xds.Resource{}, routes: map[string]*xds.Resource{},
		stuck: map[string]bool{}, refusedAt: map[string]int{},
	}
	m.asked[endpoints], m.asked[routes] = map[string]bool{}, map[string]bool{}
	return m
}

// connect sends the first requests of a stream, clusters first, with what the proxy has from before.
func (m *modelEnvoy) connect() {
	m.out, m.pausedCDS = nil, nil
	m.refusedAt = map[string]int{}
	have := map[string]*xds.Resource{}
	maps.Copy(have, m.clusters)
	maps.Copy(have, m.warming)
	m.request(clusters, &discoveryv3.DeltaDiscoveryRequest{InitialResourceVersions: versions(have)})
	if len(m.asked[endpoints]) > 0 {
		m.request(endpoints, &discoveryv3.DeltaDiscoveryRequest{
			ResourceNamesSubscribe: slices.Sorted(maps.Keys(m.asked[endpoints])), InitialResourceVersions: versions(m.endpoints),
		})
	}
	m.request(listeners, &discoveryv3.DeltaDiscoveryRequest{InitialResourceVersions: versions(m.listeners)})
	if len(m.asked[routes]) > 0 {
		m.request(routes, &discoveryv3.DeltaDiscoveryRequest{
			ResourceNamesSubscribe: slices.Sorted(maps.Keys(m.asked[routes])), InitialResourceVersions: versions(m.routes),
		})
	}
}

func versions(have map[string]*xds.Resource) map[string]string {
	initial := map[string]string{}
	for name, r := range have {
		initial[name] = r.Version
	}
	return initial
}

func (m *modelEnvoy) request(k kind, r *discoveryv3.DeltaDiscoveryRequest) {
	r.TypeUrl = typeURLs[k]
	if k == clusters && len(m.warming) > 0 {
		m.pausedCDS = append(m.pausedCDS, r)
		return
	}
	m.out = append(m.out, r)
}

// receive takes in one response and answers it.
func (m *modelEnvoy) receive(r response) {
	var culprits []string
	for _, res := range r.add {
		if refused(res) {
			culprits = append(culprits, res.Name)
			m.refusedAt[fmt.Sprint(r.kind, res.Name, res.Version)]++
		}
	}
	for _, res := range r.add {
		switch {
		case refused(res) && r.kind == routes:
			m.stuck[res.Name] = true
		case !refused(res) && (len(culprits) == 0 || r.kind != endpoints):
			m.apply(r.kind, res)
		}
	}
	if len(culprits) == 0 || r.kind != endpoints {
		for _, name := range r.removed {
			m.remove(r.kind, name)
		}
	}
	ack := &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: r.nonce}
	if len(culprits) > 0 {
		text := "something is wrong"
		if r.kind == clusters {
			text = strings.Join(culprits, ", ") + ": " + text
		}
		ack.ErrorDetail = &statuspb.Status{Message: text}
	}
	m.request(r.kind, ack)
	m.resume()
}

func (m *modelEnvoy) apply(k kind, r *xds.Resource) {
	switch k {
	case clusters:
		known := m.clusters[r.Name] != nil || m.warming[r.Name] != nil
		m.warming[r.Name] = r
		if !known {
			m.ask(endpoints, r.Name)
		}
	case endpoints:
		if !m.asked[endpoints][r.Name] {
			return
		}
		m.endpoints[r.Name] = r
		m.warm(r.Name)
	case listeners:
		m.listeners[r.Name] = r
		for _, name := range r.References {
			m.ask(routes, name)
		}
	case routes:
		if m.asked[routes][r.Name] {
			m.routes[r.Name] = r
			delete(m.stuck, r.Name)
		}
	}
}

func (m *modelEnvoy) remove(k kind, name string) {
	switch k {
	case clusters:
		if m.clusters[name] != nil || m.warming[name] != nil {
			delete(m.clusters, name)
			delete(m.warming, name)
			delete(m.endpoints, name)
			m.unask(endpoints, name)
		}
	case endpoints:
		m.warm(name)
	case listeners:
		if l := m.listeners[name]; l != nil {
			delete(m.listeners, name)
			for _, route := range l.References {
				delete(m.routes, route)
				delete(m.stuck, route)
				m.unask(routes, route)
			}
		}
	}
}

// warm takes a cluster into use.
func (m *modelEnvoy) warm(name string) {
	if c := m.warming[name]; c != nil {
		m.clusters[name] = c
		delete(m.warming, name)
	}
}

// timeout warms what waits for endpoints that do not come.
func (m *modelEnvoy) timeout() {
	for name := range m.warming {
		m.warm(name)
		m.timeouts++
	}
	m.resume()
}

// resume lets requests for clusters go when nothing is warming any more.
func (m *modelEnvoy) resume() {
	if len(m.warming) == 0 {
		m.out = append(m.out, m.pausedCDS...)
		m.pausedCDS = nil
	}
}

func (m *modelEnvoy) ask(k kind, name string) {
	if !m.asked[k][name] {
		m.asked[k][name] = true
		m.request(k, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: []string{name}})
	}
}

func (m *modelEnvoy) unask(k kind, name string) {
	if m.asked[k][name] {
		delete(m.asked[k], name)
		m.request(k, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesUnsubscribe: []string{name}})
	}
}

// fault says what a request would run into now, or nothing.
func (m *modelEnvoy) fault() string {
	for _, route := range m.routes {
		for _, cluster := range route.References {
			if !strings.HasSuffix(cluster, mirrored) {
				continue
			}
			if e := m.endpoints[cluster]; m.clusters[cluster] == nil || (e == nil || e.Empty) && !m.stuck[route.Name] {
				return fmt.Sprintf("route %s %q copies to cluster %s, which is not usable", route.Name, route.Version, cluster)
			}
		}
		for _, split := range route.Splits {
			for revision, weight := range split.Weights {
				if weight == 0 && revision != split.Reached {
					continue
				}
				cluster := split.Service + "|" + revision
				if m.clusters[cluster] == nil {
					return fmt.Sprintf("route %s %q gives %d to cluster %s, which is not usable", route.Name, route.Version, weight, cluster)
				}
				if e := m.endpoints[cluster]; (e == nil || e.Empty) && !m.stuck[route.Name] {
					return fmt.Sprintf("route %s %q gives %d to cluster %s, which has no endpoint", route.Name, route.Version, weight, cluster)
				}
			}
		}
	}
	return ""
}
