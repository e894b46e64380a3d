package xds

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// sidecarPort is what sidecars get for one port of a Service, beyond what all have.
type sidecarPort struct {
	// tcp and tcpEndpoints are the cluster for connections that are only bytes; nil
	// where all are requests.
	tcp, tcpEndpoints *Resource
	// direct is the cluster for connections to a pod that the client chose itself; nil
	// where the Service is not headless.
	direct *Resource
	// listeners are that of the Service's own addresses, or those of the pods of a
	// headless one, by name, for each of mesh.telemetries.
	listeners map[ir.Telemetry]map[string]*listenerAt
}

// listenerAt is a listener with the addresses that it is for.
type listenerAt struct {
	resource  *Resource
	addresses []string
}

func (k portMaker) makeSidecarPort(routes string) (sidecarPort, error) {
	switch {
	case k.service.Headless:
		return k.makeDirect()
	case len(k.service.ClusterIPs) == 0:
		return sidecarPort{}, nil
	}
	var made sidecarPort
	if err := k.makeBytes(&made); err != nil {
		return made, err
	}
	name := OutboundListenerName(k.service.ServiceKey, k.next.Number)
	made.listeners = map[ir.Telemetry]map[string]*listenerAt{}
	for _, telemetry := range k.mesh.telemetries {
		listener := k.previousListener(telemetry, name)
		if listener == nil {
			var err error
			if listener, err = k.makeOwnListener(name, routes, made.tcp, telemetry); err != nil {
				return made, err
			}
		}
		made.listeners[telemetry] = map[string]*listenerAt{name: listener}
	}
	return made, nil
}

// previousListener is a listener that was made before and is still right, or nil.
func (k portMaker) previousListener(telemetry ir.Telemetry, name string) *listenerAt {
	if !k.sameKind() {
		return nil
	}
	return k.was.sidecar.listeners[telemetry][name]
}

// makeOwnListener makes the listener for the Service's own addresses.
func (k portMaker) makeOwnListener(name, routes string, tcp *Resource, telemetry ir.Telemetry) (*listenerAt, error) {
	to := target{telemetry: telemetry}
	if k.next.Protocol.HTTP() {
		manager, err := makeOutboundManager(routes, telemetry)
		if err != nil {
			return nil, err
		}
		to.http, to.routes = manager, routes
	}
	if tcp != nil {
		to.tcp, to.idle = tcp.Name, idleOf(k.service.Policy)
	}
	return newOutbound(name, k.service.ClusterIPs, k.next.Number, to)
}

// makeBytes makes the cluster for connections that are only bytes.
func (k portMaker) makeBytes(made *sidecarPort) error {
	if !k.next.Protocol.Opaque() {
		return nil
	}
	name := ClusterName(k.service.ServiceKey, k.next.Number, AllRevisions)
	if k.sameKind() && k.was.sidecar.tcp != nil {
		made.tcp = k.was.sidecar.tcp
		if slices.EqualFunc(k.wasIR.Revisions, k.next.Revisions, ir.Revision.Equal) {
			made.tcpEndpoints = k.was.sidecar.tcpEndpoints
			return nil
		}
	} else {
		cluster, err := k.mesh.makeTCPCluster(name, k.service)
		if err != nil {
			return err
		}
		if made.tcp, err = NewResource(name, cluster); err != nil {
			return err
		}
	}
	endpoints, err := NewEndpoints(makeTCPEndpoints(name, k.next.Revisions), made.tcp)
	if err != nil {
		return err
	}
	endpoints.Splits = []Split{weightsOf(k.service, k.next)}
	made.tcpEndpoints = endpoints
	return nil
}

// makeDirect makes what is needed to reach the pods of a headless Service that have a
// sidecar. A client finds them by name, and connects to one of them: there is nothing
// to divide. Pods without a sidecar are reached like everything that the mesh does not
// know.
func (k portMaker) makeDirect() (sidecarPort, error) {
	name := DirectClusterName(k.service.ServiceKey, k.next.Number)
	var made sidecarPort
	if k.sameKind() && k.was.sidecar.direct != nil {
		made.direct = k.was.sidecar.direct
	} else {
		cluster, err := k.mesh.makeDirectCluster(name, k.service, k.next.Protocol)
		if err != nil {
			return made, err
		}
		if made.direct, err = newDirect(cluster); err != nil {
			return made, err
		}
	}
	made.listeners = map[ir.Telemetry]map[string]*listenerAt{}
	for _, telemetry := range k.mesh.telemetries {
		var err error
		if made.listeners[telemetry], err = k.makeDirectListeners(name, telemetry); err != nil {
			return made, err
		}
	}
	return made, nil
}

// makeDirectListeners makes the listeners for the pods that have a sidecar.
func (k portMaker) makeDirectListeners(cluster string, telemetry ir.Telemetry) (map[string]*listenerAt, error) {
	made := map[string]*listenerAt{}
	for _, pod := range k.next.Pods {
		if !pod.Meshed {
			continue
		}
		name := DirectListenerName(k.service.ServiceKey, k.next.Number, pod)
		if made[name] = k.previousListener(telemetry, name); made[name] != nil {
			continue
		}
		var err error
		if made[name], err = k.makeDirectListener(name, cluster, pod, telemetry); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// makeDirectListener makes the listener for one pod of a headless Service.
func (k portMaker) makeDirectListener(name, cluster string, pod ir.Endpoint, telemetry ir.Telemetry) (*listenerAt, error) {
	to := target{tcp: cluster, idle: idleOf(k.service.Policy), telemetry: telemetry}
	if declaredHTTP(k.next.Protocol) {
		manager, err := makeObservedManager(telemetry)
		if err != nil {
			return nil, err
		}
		manager.RouteSpecifier = routesTo(cluster)
		to.http, to.tcp, to.direct = manager, "", cluster
	}
	return newOutbound(name, []string{pod.IP}, pod.Port, to)
}

// declaredHTTP says whether all connections are requests, so that one kind of cluster
// is enough.
func declaredHTTP(p ir.Protocol) bool { return p == ir.HTTP1 || p == ir.HTTP2 }

// makeDirectCluster connects to the pod that the client chose.
func (m mesh) makeDirectCluster(name string, service ir.Service, protocol ir.Protocol) (*clusterv3.Cluster, error) {
	cluster, err := makeOriginal(name)
	if err != nil {
		return nil, err
	}
	cluster.ConnectTimeout = makeEDSCluster(name).GetConnectTimeout()
	alpn := alpnTCP
	if declaredHTTP(protocol) {
		options, err := anypb.New(makeUpstreamOptions(protocol))
		if err != nil {
			return nil, err
		}
		cluster.TypedExtensionProtocolOptions[httpOptionsName] = options
		alpn = alpnOf(protocol)
	}
	applyClusterPolicy(cluster, withoutEjection(service.Policy, true)) // The client chose the pod.
	cluster.TransportSocket, err = m.clientSocket(service.Namespace, alpn)
	return cluster, err
}

func newOutbound(name string, addresses []string, port uint32, to target) (*listenerAt, error) {
	listener, err := makeServiceListener(name, addresses, port, to)
	if err != nil {
		return nil, err
	}
	resource, err := NewResource(name, listener)
	if err != nil {
		return nil, err
	}
	resource.References, resource.Clusters = to.references(), to.clusters()
	at := &listenerAt{resource: resource}
	for _, address := range addresses {
		at.addresses = append(at.addresses, fmt.Sprintf("%s %d", address, port))
	}
	return at, nil
}

// newDirect makes a resource of a cluster that finds its endpoints by itself.
func newDirect(cluster *clusterv3.Cluster) (*Resource, error) {
	r, err := NewResource(cluster.GetName(), cluster)
	if err != nil {
		return nil, err
	}
	r.Direct = true
	return r, nil
}

// sidecarKey is what a snapshot of sidecars depends on, beside the Services: versions
// of the listeners that are redirected to, and the namespaces that are seen.
type sidecarKey struct {
	inbound, routes, outbound, namespaces string
	telemetry                             ir.Telemetry
}

// addSidecars makes the views of sidecars. Those that are the same share a snapshot.
func (w *World) addSidecars(previous *World, sidecars []ir.Sidecar, changed bool) {
	w.sidecars = map[sidecarKey]*Snapshot{}
	for _, s := range sidecars {
		view := SidecarView(s.Namespace, s.Shape)
		own, key, err := w.mesh.makeOwn(s)
		if err != nil {
			w.Problems = append(w.Problems, Problem{Resource: view, Message: err.Error()})
			if was := previous.Snapshots[view]; was != nil {
				w.Snapshots[view] = was
			}
			continue
		}
		if w.sidecars[key] == nil {
			if w.sidecars[key] = previous.sidecars[key]; changed || w.sidecars[key] == nil {
				w.sidecars[key] = w.forSidecars(own, s, previous.sidecars[key])
			}
		}
		w.Snapshots[view] = w.sidecars[key]
	}
}

// makeOwn makes what a sidecar has without any Service.
func (m mesh) makeOwn(s ir.Sidecar) (*Snapshot, sidecarKey, error) {
	own := newSnapshot(4)
	inbound, err := makeInboundCluster()
	if err != nil {
		return nil, sidecarKey{}, err
	}
	passthrough, err := makeOriginal(PassthroughName)
	if err != nil {
		return nil, sidecarKey{}, err
	}
	clusters := []*clusterv3.Cluster{inbound, passthrough, makeBlackhole()}
	if telemetry := m.effective(s.Telemetry); telemetry.TracingPercent > 0 {
		collector, err := m.makeCollector()
		if err != nil {
			return nil, sidecarKey{}, err
		}
		clusters = append(clusters, collector)
	}
	for _, cluster := range clusters {
		if own.Clusters[cluster.GetName()], err = newDirect(cluster); err != nil {
			return nil, sidecarKey{}, err
		}
	}
	in, err := m.makeInbound(s)
	if err != nil {
		return nil, sidecarKey{}, err
	}
	out, err := m.makeOutbound(s)
	if err != nil {
		return nil, sidecarKey{}, err
	}
	for _, listener := range []*listenerv3.Listener{in, out} {
		made, err := NewResource(listener.GetName(), listener)
		if err != nil {
			return nil, sidecarKey{}, err
		}
		made.Clusters = slices.Sorted(maps.Keys(own.Clusters))
		own.Listeners[made.Name] = made
	}
	own.Listeners[InboundName].References = []string{InboundName}
	if own.Routes[InboundName], err = m.makeInboundRoutes(s); err != nil {
		return nil, sidecarKey{}, err
	}
	return own, sidecarKey{
		inbound:    own.Listeners[InboundName].Version,
		routes:     own.Routes[InboundName].Version,
		outbound:   own.Listeners[OutboundName].Version,
		namespaces: fmt.Sprint(s.Egress.Namespaces == nil, strings.Join(s.Egress.Namespaces, ",")),
		telemetry:  m.effective(s.Telemetry),
	}, nil
}

// forSidecars adds the Services that are seen. Of two listeners for one address, which
// a proxy would refuse, the first by the name of its Service is taken: two headless
// Services often select the same pods.
func (w *World) forSidecars(own *Snapshot, sidecar ir.Sidecar, previous *Snapshot) *Snapshot {
	if previous != nil {
		for _, kind := range []string{ClusterType, ListenerType, RouteType} {
			for name, r := range own.Of(kind) {
				if was := previous.Of(kind)[name]; was != nil && was.Version == r.Version {
					own.Of(kind)[name] = was
				}
			}
		}
	}
	taken := map[string]bool{}
	for _, key := range slices.SortedFunc(maps.Keys(w.services), compareKeys) {
		if !sidecar.Egress.Sees(key.Namespace) {
			continue
		}
		for _, p := range w.services[key].ports {
			p.addTo(own, taken, w.mesh.effective(sidecar.Telemetry))
		}
	}
	if previous != nil && previous.equal(own) {
		return previous
	}
	return own
}

func compareKeys(a, b ir.ServiceKey) int {
	if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// addTo adds the listeners of a port whose addresses are not taken, and all that these
// lead to.
func (p port) addTo(s *Snapshot, taken map[string]bool, telemetry ir.Telemetry) {
	listeners := p.sidecar.listeners[telemetry]
	for _, name := range slices.Sorted(maps.Keys(listeners)) {
		listener := listeners[name]
		if slices.ContainsFunc(listener.addresses, func(a string) bool { return taken[a] }) {
			continue
		}
		for _, address := range listener.addresses {
			taken[address] = true
		}
		s.Listeners[name] = listener.resource
		for _, cluster := range listener.resource.Clusters {
			if cluster == CollectorName {
				continue // All sidecars with this telemetry have it.
			}
			if p.sidecar.direct != nil {
				s.Clusters[cluster] = p.sidecar.direct
				continue
			}
			s.Clusters[cluster], s.Endpoints[cluster] = p.sidecar.tcp, p.sidecar.tcpEndpoints
		}
		if len(listener.resource.References) == 0 {
			continue
		}
		s.Routes[p.routes.Name] = p.routes
		for _, r := range p.clusters() {
			s.Clusters[r.cluster.Name], s.Endpoints[r.cluster.Name] = r.cluster, r.endpoints
		}
	}
}
