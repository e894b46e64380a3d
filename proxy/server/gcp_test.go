package server

import (
	"context"
	"fmt"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	gcptypes "github.com/envoyproxy/go-control-plane/pkg/cache/types"
	gcpcache "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	gcpstream "github.com/envoyproxy/go-control-plane/pkg/server/stream/v3"
	"google.golang.org/protobuf/proto"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

const simNode = "proxy"

// plain is go-control-plane's SnapshotCache, asked the way its own delta server asks it.
type plain struct {
	t     *testing.T
	cache gcpcache.SnapshotCache
	count int
	// known finds the simulated resource by kind, name and the cache's version; hashes finds that version.
	known   map[string]*xds.Resource
	hashes  map[string]string
	nonces  int
	watches [kinds]plainWatch
	muxed   chan gcpcache.DeltaResponse
}

type plainWatch struct {
	subscription *gcpstream.Subscription
	cancel       func()
}

func newPlain(t *testing.T) *plain {
	t.Helper()
	p := &plain{t: t, known: map[string]*xds.Resource{}, hashes: map[string]string{}}
	p.connect(true)
	return p
}

func (p *plain) publish(snap *xds.Snapshot) {
	p.count++
	resources := map[string][]gcptypes.Resource{}
	for k := range kinds {
		resources[typeURLs[k]] = nil
		for _, r := range snap.Of(typeURLs[k]) {
			m := asProto(k, r)
			body, err := gcpcache.MarshalResource(m)
			if err != nil {
				p.t.Fatal(err)
			}
			hash := gcpcache.HashResource(body)
			p.known[fmt.Sprint(k, r.Name, "@", hash)] = r
			p.hashes[fmt.Sprint(k, r.Name, "@", r.Version)] = hash
			resources[typeURLs[k]] = append(resources[typeURLs[k]], m)
		}
	}
	s, err := gcpcache.NewSnapshot(fmt.Sprint(p.count), resources)
	if err == nil {
		err = p.cache.SetSnapshot(context.Background(), simNode, s)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// asProto makes an Envoy resource whose bytes change with the version.
func asProto(k kind, r *xds.Resource) proto.Message {
	switch k {
	case clusters:
		return &clusterv3.Cluster{Name: r.Name, AltStatName: r.Version}
	case endpoints:
		return &endpointv3.ClusterLoadAssignment{
			ClusterName: r.Name,
			Endpoints:   []*endpointv3.LocalityLbEndpoints{{Locality: &corev3.Locality{Zone: r.Version}}},
		}
	case listeners:
		return &listenerv3.Listener{Name: r.Name, StatPrefix: r.Version}
	default:
		return &routev3.RouteConfiguration{Name: r.Name, VirtualHosts: []*routev3.VirtualHost{{Name: r.Version}}}
	}
}

func (p *plain) connect(restarted bool) {
	for _, w := range p.watches {
		if w.cancel != nil {
			w.cancel()
		}
	}
	p.watches = [kinds]plainWatch{}
	p.muxed = make(chan gcpcache.DeltaResponse, 1000)
	if restarted && p.cache == nil {
		p.cache = gcpcache.NewSnapshotCache(true, gcpcache.IDHash{}, nil)
	}
}

func (p *plain) request(k kind, r *discoveryv3.DeltaDiscoveryRequest) {
	r.Node = &corev3.Node{Id: simNode}
	for name, version := range r.GetInitialResourceVersions() {
		r.InitialResourceVersions[name] = p.hashes[fmt.Sprint(k, name, "@", version)]
	}
	w := &p.watches[k]
	if w.subscription == nil {
		s := gcpstream.NewDeltaSubscription(
			r.GetResourceNamesSubscribe(), r.GetResourceNamesUnsubscribe(), r.GetInitialResourceVersions(), true)
		w.subscription = &s
	} else {
		if w.cancel != nil {
			w.cancel()
		}
		w.subscription.UpdateResourceSubscriptions(r.GetResourceNamesSubscribe(), r.GetResourceNamesUnsubscribe())
	}
	var err error
	if w.cancel, err = p.cache.CreateDeltaWatch(r, *w.subscription, p.muxed); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plain) take() []response {
	var out []response
	for {
		select {
		case r := <-p.muxed:
			out = append(out, p.translate(r))
		default:
			return out
		}
	}
}

func (p *plain) translate(r gcpcache.DeltaResponse) response {
	message, err := r.GetDeltaDiscoveryResponse()
	if err != nil {
		p.t.Fatal(err)
	}
	k, _ := kindOf(message.GetTypeUrl())
	p.watches[k].subscription.SetReturnedResources(r.GetNextVersionMap())
	p.nonces++
	out := response{kind: k, nonce: fmt.Sprint(p.nonces), removed: message.GetRemovedResources()}
	for _, res := range message.GetResources() {
		out.add = append(out.add, p.known[fmt.Sprint(k, res.GetName(), "@", res.GetVersion())])
	}
	return out
}

// TestSimulationFindsFaults runs the simulation against a server without any gates. If it found nothing there, its
// silence about ours would say nothing. Rejections and changed clusters are left out: order alone is compared.
func TestSimulationFindsFaults(t *testing.T) {
	const schedules = 300
	faults, example := 0, ""
	for seed := range uint64(schedules) {
		if _, fault := simulate(seed+1, newPlain(t), true, false); strings.HasPrefix(fault, "route ") {
			faults++
			example = fault
		}
		if _, fault := simulate(seed+1, &ours{}, true, false); fault != "" {
			t.Errorf("ours fails in schedule %d: %s", seed+1, fault)
		}
	}
	if faults == 0 {
		t.Fatal("the simulation finds nothing wrong with go-control-plane's SnapshotCache, so it is blind")
	}
	t.Logf("%d of %d schedules lose requests with go-control-plane's SnapshotCache, for instance: %s", faults, schedules, example)
}
