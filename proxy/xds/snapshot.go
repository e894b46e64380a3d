package xds

import (
	"encoding/hex"
	"fmt"

	"github.com/cespare/xxhash/v2"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// The type URLs of the four kinds of resources that a Snapshot carries.
const (
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
)

// Resource is one Envoy resource. It is marshalled once and shared by pointer between all proxies that get it, so
// nobody may change it after it is in a Snapshot.
type Resource struct {
	// Name is what proxies ask for; for a ClusterLoadAssignment the name of its cluster.
	Name string
	// Version is a hash of the content, so that all replicas and all restarts of the controller agree on it. The version
	// of a ClusterLoadAssignment also covers the version of its cluster (see NewEndpoints).
	Version string
	// Body is the marshalled resource.
	Body *anypb.Any
	// References names what must be there before this resource is of use: the clusters of a RouteConfiguration, with
	// weight zero too, and the RouteConfigurations of a Listener.
	References []string
	// Clusters are those that a Listener leads to by itself, without a RouteConfiguration.
	Clusters []string
	// Splits are the weights that a RouteConfiguration carries, or a ClusterLoadAssignment of several revisions; nil for
	// all others.
	Splits []Split
	// Direct says of a Cluster that its endpoints are not found by EDS.
	Direct bool
	// Empty says of a ClusterLoadAssignment that it has no endpoint.
	Empty bool
}

// Split says how one resource divides the requests (or, without requests, the connections) of one port of a Service between its revisions.
type Split struct {
	// Service is "<namespace>/<name>".
	Service string
	// Port is the port of the Service.
	Port uint32
	// Weights holds the share of each revision, out of Total. A revision with weight 0 may be listed.
	Weights map[string]uint32
	// Total is the sum of the weights, never 0.
	Total uint32
	// Reached is a revision that gets requests, or copies of some, whatever its weight is; empty for none.
	Reached string `json:",omitempty"`
	// Traffic is a hash of what divides the requests beside the weights; empty for nothing.
	Traffic string `json:",omitempty"`
}

// Snapshot is everything that one kind of proxy may have, by name. It must not change after it was built. Every cluster
// has an entry in Endpoints, an empty one if need be, unless its endpoints are not found by EDS.
type Snapshot struct {
	Clusters, Endpoints, Listeners, Routes map[string]*Resource
}

// NewResource marshals the message and hashes its bytes. References and Splits are left to the caller.
func NewResource(name string, msg proto.Message) (*Resource, error) {
	// Maps are marshalled in random order unless told otherwise, and then equal content would get unequal versions.
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("marshal resource %q: %w", name, err)
	}
	r := &Resource{Name: name, Version: hash(content), Body: &anypb.Any{TypeUrl: typeURLOf(msg), Value: content}}
	if cla, ok := msg.(*endpointv3.ClusterLoadAssignment); ok {
		r.Empty = true
		for _, locality := range cla.GetEndpoints() {
			r.Empty = r.Empty && len(locality.GetLbEndpoints()) == 0
		}
	}
	return r, nil
}

// typeURLOf is a constant for what a Snapshot carries: the library would make a string of its own for every resource.
func typeURLOf(msg proto.Message) string {
	switch msg.(type) {
	case *clusterv3.Cluster:
		return ClusterType
	case *endpointv3.ClusterLoadAssignment:
		return EndpointType
	case *listenerv3.Listener:
		return ListenerType
	case *routev3.RouteConfiguration:
		return RouteType
	default:
		return "type.googleapis.com/" + string(msg.ProtoReflect().Descriptor().FullName())
	}
}

// NewEndpoints is NewResource for a ClusterLoadAssignment. The version of its cluster is folded into its own: Envoy waits
// for endpoints after every change of a cluster without asking for them, so they count as changed together.
func NewEndpoints(cla *endpointv3.ClusterLoadAssignment, cluster *Resource) (*Resource, error) {
	r, err := NewResource(cla.GetClusterName(), cla)
	if err != nil {
		return nil, err
	}
	r.Version = hash([]byte(r.Version + cluster.Version))
	return r, nil
}

// Of returns the resources of one type by name, or nil for a type that is not served.
func (s *Snapshot) Of(typeURL string) map[string]*Resource {
	switch typeURL {
	case ClusterType:
		return s.Clusters
	case EndpointType:
		return s.Endpoints
	case ListenerType:
		return s.Listeners
	case RouteType:
		return s.Routes
	default:
		return nil
	}
}

func hash(content []byte) string {
	h := xxhash.New()
	_, _ = h.Write(content) // A hash never fails to write.
	return hex.EncodeToString(h.Sum(nil))
}
