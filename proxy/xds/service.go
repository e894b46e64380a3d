package xds

import (
	"fmt"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// service is a Service with the resources that were made of it.
type service struct {
	ir    ir.Service
	ports []port
}

// port is a port of a Service with its resources; clusters and endpoints are in
// the order of its revisions.
type port struct {
	clusters, endpoints []*Resource
	// routes and listener are for clients in the mesh.
	routes, listener *Resource
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
func makeService(previous *service, next ir.Service) (*service, error) {
	made := &service{ir: next, ports: make([]port, len(next.Ports))}
	for i, p := range next.Ports {
		var err error
		if made.ports[i], err = makePort(previous, next, p); err != nil {
			return nil, fmt.Errorf("make port %d of Service %s: %w", p.Number, next, err)
		}
	}
	return made, nil
}

func makePort(previous *service, next ir.Service, p ir.Port) (port, error) {
	var made port
	var was *port
	var wasIR ir.Port
	if previous != nil {
		if i := previous.index(p.Number); i >= 0 {
			was, wasIR = &previous.ports[i], previous.ir.Ports[i]
		}
	}
	for _, r := range p.Revisions {
		cluster, endpoints, err := makeRevision(was, wasIR, next.ServiceKey, p, r)
		if err != nil {
			return port{}, err
		}
		made.clusters = append(made.clusters, cluster)
		made.endpoints = append(made.endpoints, endpoints)
	}
	if was != nil && sameWeights(wasIR, p) {
		made.routes, made.listener = was.routes, was.listener
		return made, nil
	}
	var err error
	if made.routes, err = makeServiceRoutes(next, p); err != nil {
		return port{}, err
	}
	if was != nil {
		made.listener = was.listener // It depends on names only.
		return made, nil
	}
	made.listener, err = makeAPIListener(ListenerName(next.ServiceKey, p.Number), made.routes.Name)
	return made, err
}

func makeRevision(was *port, wasIR ir.Port, key ir.ServiceKey, p ir.Port, r ir.Revision) (cluster, endpoints *Resource, err error) {
	name := ClusterName(key, p.Number, r.Name)
	if was != nil && wasIR.Protocol == p.Protocol {
		for i, old := range wasIR.Revisions {
			if old.Name != r.Name {
				continue
			}
			if old.Weight = r.Weight; old.Equal(r) {
				return was.clusters[i], was.endpoints[i], nil
			}
			cluster = was.clusters[i]
		}
	}
	if cluster == nil {
		message, err := makeCluster(name, p.Protocol)
		if err != nil {
			return nil, nil, err
		}
		if cluster, err = NewResource(name, message); err != nil {
			return nil, nil, err
		}
	}
	endpoints, err = NewEndpoints(makeEndpoints(name, r.Endpoints), cluster)
	return cluster, endpoints, err
}

// sameWeights says whether two states of a port divide requests in the same way. Equal
// weights have equal totals.
func sameWeights(a, b ir.Port) bool {
	if len(a.Revisions) != len(b.Revisions) {
		return false
	}
	for i, r := range a.Revisions {
		if r.Name != b.Revisions[i].Name || r.Weight != b.Revisions[i].Weight {
			return false
		}
	}
	return true
}

func makeServiceRoutes(s ir.Service, p ir.Port) (*Resource, error) {
	host, err := makeServiceHost(s, p)
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
