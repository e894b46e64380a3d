package xds

import (
	"fmt"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// service is a Service with the resources that were made of it.
type service struct {
	ir    ir.Service
	ports []port
	// problems are what was left out.
	problems []Problem
}

// port is a port of a Service with its resources.
type port struct {
	// revisions are in the order of the port's revisions.
	revisions []revision
	// routes and listener are for clients in the mesh: the routes for all of them, the
	// listener for gRPC clients.
	routes, listener *Resource
	// plainRoutes are the routes as gRPC clients understand them. These and the listener
	// are nil where there are none.
	plainRoutes *Resource
	// mirror is for copies to the canary, without a cluster where there are none.
	mirror revision
	// What follows is for sidecars only.
	sidecar sidecarPort
}

// revision is what was made of one revision of a port.
type revision struct {
	cluster, endpoints *Resource
	// plain and plainEndpoints are for gRPC clients, which refuse a cluster that says
	// how it is to be encrypted. They are nil where there are none.
	plain, plainEndpoints *Resource
}

// port returns a port of the service by its number, and the total of its weights.
func (s *service) port(number uint32) (ir.Port, uint32, bool) {
	if s == nil || s.ir.Total == 0 {
		return ir.Port{}, 0, false
	}
	i := s.index(number)
	if i < 0 {
		return ir.Port{}, 0, false
	}
	return s.ir.Ports[i], s.ir.Total, true
}

// clusters are all that are led to by routes of Envoys.
func (p port) clusters() []revision {
	if p.mirror.cluster == nil {
		return p.revisions
	}
	return append(slices.Clone(p.revisions), p.mirror)
}

func (s *service) index(number uint32) int {
	for i, p := range s.ir.Ports {
		if p.Number == number {
			return i
		}
	}
	return -1
}

// makeService makes the resources of a Service, and takes over those of the
// previous one that are the same. A weight that moved makes one RouteConfiguration
// anew, a pod that came or went one ClusterLoadAssignment.
func (m mesh) makeService(previous *service, next ir.Service) (*service, error) {
	made := &service{ports: make([]port, len(next.Ports))}
	var err error
	if next, made.problems, err = withoutBadTraffic(next); err != nil {
		return nil, err
	}
	made.ir = next
	for i, p := range next.Ports {
		maker := portMaker{mesh: m, service: next, next: p}
		if previous != nil {
			if k := previous.index(p.Number); k >= 0 {
				maker.was, maker.wasIR = &previous.ports[k], previous.ir.Ports[k]
				maker.sameOwner = previous.ir.Policy.Equal(next.Policy) && previous.ir.Headless == next.Headless &&
					slices.Equal(previous.ir.ClusterIPs, next.ClusterIPs)
			}
		}
		if made.ports[i], err = maker.make(); err != nil {
			return nil, fmt.Errorf("make port %d of Service %s: %w", p.Number, next, err)
		}
	}
	return made, nil
}

// portMaker makes the resources of one port.
type portMaker struct {
	mesh    mesh
	service ir.Service
	next    ir.Port
	// was is what was made of the port before, nil where it is a new one; wasIR is what
	// it was made of.
	was   *port
	wasIR ir.Port
	// sameOwner says that what the port has from its Service is as it was.
	sameOwner bool
}

// sameKind says whether what does not depend on weights and pods is as it was.
func (k portMaker) sameKind() bool {
	return k.was != nil && k.sameOwner && k.wasIR.Protocol == k.next.Protocol
}

func (k portMaker) make() (port, error) {
	var made port
	for _, r := range k.next.Revisions {
		revision, err := k.makeRevision(r)
		if err != nil {
			return port{}, err
		}
		made.revisions = append(made.revisions, revision)
	}
	if err := k.makeRoutes(&made); err != nil {
		return port{}, err
	}
	var err error
	if k.mesh.grpc {
		if err = k.makePlain(&made); err != nil {
			return port{}, err
		}
	}
	if t := k.next.Traffic; t != nil && !t.Mirror.IsZero() {
		i := slices.IndexFunc(k.next.Revisions, func(r ir.Revision) bool { return r.Name == t.Canary })
		if made.mirror, err = k.makeMirror(k.next.Revisions[max(i, 0)]); err != nil {
			return port{}, err
		}
	}
	if k.mesh.on() && len(k.mesh.telemetries) > 0 {
		made.sidecar, err = k.makeSidecarPort(made.routes.Name)
	}
	return made, err
}

// previous is what was made of a revision before, and whether that is still right.
// Where only its pods are others, its cluster is.
func (k portMaker) previous(r ir.Revision) (was revision, same bool) {
	if !k.sameKind() {
		return revision{}, false
	}
	i := slices.IndexFunc(k.wasIR.Revisions, func(o ir.Revision) bool { return o.Name == r.Name })
	if i < 0 || k.wasIR.Revisions[i].NoEjection != r.NoEjection {
		return revision{}, false
	}
	before := k.wasIR.Revisions[i]
	before.Weight = r.Weight // It is not with the endpoints.
	return k.was.revisions[i], before.Equal(r)
}

func (k portMaker) makeRevision(r ir.Revision) (revision, error) {
	made, same := k.previous(r)
	if same {
		return made, nil
	}
	made.plainEndpoints = nil
	name := ClusterName(k.service.ServiceKey, k.next.Number, r.Name)
	var err error
	if made.cluster == nil {
		if made.cluster, err = k.makeCluster(k.mesh, name, r.NoEjection); err != nil {
			return revision{}, err
		}
	}
	made.endpoints, err = NewEndpoints(makeEndpoints(name, r.Endpoints), made.cluster)
	return made, err
}

// makePlain makes what gRPC clients get beside, or instead of, what Envoys get.
func (k portMaker) makePlain(made *port) error {
	for i := range made.revisions {
		if err := k.makePlainRevision(&made.revisions[i], k.next.Revisions[i]); err != nil {
			return err
		}
	}
	var err error
	if k.was != nil && k.was.listener != nil {
		made.listener = k.was.listener // It depends on names only.
	} else if made.listener, err = makeAPIListener(ListenerName(k.service.ServiceKey, k.next.Number), made.routes.Name); err != nil {
		return err
	}
	if k.sameRoutes() && k.was.plainRoutes != nil {
		made.plainRoutes = k.was.plainRoutes
	} else if made.plainRoutes = made.routes; k.next.Traffic != nil {
		made.plainRoutes, err = makeServiceRoutes(k.service, k.next, grpcClient)
	}
	return err
}

// makePlainRevision adds to a revision what it lacks.
func (k portMaker) makePlainRevision(made *revision, r ir.Revision) error {
	if !k.mesh.on() {
		made.plain, made.plainEndpoints = made.cluster, made.endpoints
		return nil
	}
	name := made.cluster.Name
	var err error
	if made.plain == nil {
		if made.plain, err = k.makeCluster(mesh{}, name, r.NoEjection); err != nil {
			return err
		}
	}
	if made.plainEndpoints == nil {
		made.plainEndpoints, err = NewEndpoints(makeEndpoints(name, r.Endpoints), made.plain)
	}
	return err
}

func (k portMaker) makeCluster(m mesh, name string, noEjection bool) (*Resource, error) {
	service := k.service
	service.Policy = withoutEjection(service.Policy, noEjection)
	cluster, err := m.makeCluster(name, service, k.next.Protocol)
	if err != nil {
		return nil, err
	}
	return NewResource(name, cluster)
}

// sameDivision says whether two states of a port divide requests in the same way. Equal
// weights have equal totals.
func sameDivision(a, b ir.Port) bool {
	return a.Traffic.Equal(b.Traffic) && slices.EqualFunc(a.Revisions, b.Revisions, func(r, s ir.Revision) bool {
		return r.Name == s.Name && r.Weight == s.Weight
	})
}

// sameRoutes says whether the requests are divided as before.
func (k portMaker) sameRoutes() bool {
	return k.was != nil && k.sameOwner && sameDivision(k.wasIR, k.next)
}

func (k portMaker) makeRoutes(made *port) error {
	if k.sameRoutes() {
		made.routes = k.was.routes
		return nil
	}
	var err error
	made.routes, err = makeServiceRoutes(k.service, k.next, envoy)
	return err
}

func makeServiceRoutes(s ir.Service, p ir.Port, reader dialect) (*Resource, error) {
	host, err := makeServiceHost(s, p, reader)
	if err != nil {
		return nil, err
	}
	name := RouteName(s.ServiceKey, p.Number)
	config := &routev3.RouteConfiguration{Name: name, VirtualHosts: []*routev3.VirtualHost{host}}
	return newReferring(name, config, clustersOf(config), []Split{splitOf(s, p)})
}

func newReferring(name string, message proto.Message, references []string, splits []Split) (*Resource, error) {
	r, err := NewResource(name, message)
	if err != nil {
		return nil, err
	}
	r.References, r.Splits = references, splits
	return r, nil
}
