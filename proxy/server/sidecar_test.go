package server

import (
	"slices"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// bytesWorld is what a sidecar has for a port without requests: a listener that leads
// to a cluster by itself, whose endpoints carry the weights.
func bytesWorld(canary uint32) *xds.Snapshot {
	resource := func(name, version string) *xds.Resource {
		return &xds.Resource{Name: name, Version: version, Body: &anypb.Any{Value: []byte(version)}}
	}
	weighted := resource("tcp", string(rune('a'+canary)))
	weighted.Splits = []xds.Split{{Service: "shop/db", Port: 5432, Total: 100, Weights: map[string]uint32{"s": 100 - canary, "c": canary}}}
	listener := resource("l", "1")
	listener.Clusters = []string{"tcp"}
	return &xds.Snapshot{
		Clusters:  map[string]*xds.Resource{"tcp": resource("tcp", "1")},
		Endpoints: map[string]*xds.Resource{"tcp": weighted},
		Listeners: map[string]*xds.Resource{"l": listener},
	}
}

// names are the resources of a response.
func names(m *discoveryv3.DeltaDiscoveryResponse) []string {
	var out []string
	for _, r := range m.GetResources() {
		out = append(out, r.GetName())
	}
	return out
}

func TestWeightsInEndpointsAreAcked(t *testing.T) {
	s := New(testOptions())
	s.Publish(testView, bytesWorld(0))
	c := dial(t, serveOn(t, s), "shop/web")
	c.ask(clusters)
	cds := c.receive(clusters)
	c.ask(endpoints, "tcp")
	c.ack(endpoints, c.receive(endpoints))
	c.ack(clusters, cds)
	confirmed := func(share float64) func() bool {
		return func() bool {
			acks := s.ServiceAcks("shop/db")
			return len(acks) == 1 && acks[0].Current && acks[0].LowestShare("c") == share && acks[0].HighestShare("c") == share
		}
	}
	await(t, s, "the first weights are confirmed", confirmed(0))

	s.Publish(testView, bytesWorld(25))
	eds := c.receive(endpoints)
	await(t, s, "the next ones are on their way", func() bool {
		acks := s.ServiceAcks("shop/db")
		return len(acks) == 1 && !acks[0].Current && acks[0].LowestShare("c") == 0 && acks[0].HighestShare("c") == 0.25
	})
	c.ack(endpoints, eds)
	await(t, s, "the next ones are confirmed", confirmed(0.25))
}

// TestListenersWaitForTheirClusters lets a proxy ask for listeners while its clusters
// are not confirmed: it would take connections that lead nowhere.
func TestListenersWaitForTheirClusters(t *testing.T) {
	s := New(testOptions())
	s.Publish(testView, bytesWorld(0))
	c := dial(t, serveOn(t, s), "shop/web")
	c.ask(clusters)
	cds := c.receive(clusters)
	c.ask(listeners)
	c.ask(endpoints, "tcp")
	c.ack(endpoints, c.receive(endpoints)) // Not the listeners: nothing came in between.
	c.ack(clusters, cds)
	if got := names(c.receive(listeners)); !slices.Equal(got, []string{"l"}) {
		t.Errorf("listeners %v, want l", got)
	}
}

// TestClustersOfListenersGoLast takes a listener away: its cluster goes when the proxy
// has confirmed that.
func TestClustersOfListenersGoLast(t *testing.T) {
	s := New(testOptions())
	s.Publish(testView, bytesWorld(0))
	c := dial(t, serveOn(t, s), "shop/web")
	c.ask(clusters)
	cds := c.receive(clusters)
	c.ask(endpoints, "tcp")
	c.ack(endpoints, c.receive(endpoints))
	c.ack(clusters, cds)
	c.ask(listeners)
	c.ack(listeners, c.receive(listeners))
	s.Publish(testView, &xds.Snapshot{})
	gone := c.receive(listeners)
	if !slices.Equal(gone.GetRemovedResources(), []string{"l"}) {
		t.Fatalf("removed %v, want l first", gone.GetRemovedResources())
	}
	c.ack(listeners, gone)
	eds := c.receive(endpoints)
	if got := c.receive(clusters).GetRemovedResources(); !slices.Equal(got, []string{"tcp"}) || len(eds.GetRemovedResources()) != 1 {
		t.Errorf("removed %v, want tcp after its endpoints", got)
	}
}

func TestReassign(t *testing.T) {
	options := testOptions()
	views := make(chan string, 1)
	options.ViewOf = func(n *corev3.Node) (string, error) {
		if n.GetId() == "stays" {
			return testView, nil
		}
		view := <-views
		views <- view
		return view, nil
	}
	views <- testView
	s := New(options)
	s.Publish(testView, bytesWorld(0))
	s.Publish("another", bytesWorld(0))
	address := serveOn(t, s)
	moves, stays := dial(t, address, "moves"), dial(t, address, "stays")
	for _, c := range []*deltaClient{moves, stays} {
		c.ask(clusters)
		c.receive(clusters)
	}
	s.Reassign()
	if got := len(s.Proxies()); got != 2 {
		t.Fatalf("nobody has another view, and %d of 2 streams are left", got)
	}
	<-views
	views <- "another"
	s.Reassign()
	if _, err := moves.stream.Recv(); err == nil {
		t.Error("a proxy with another view keeps its stream")
	}
	await(t, s, "the other one stays", func() bool {
		proxies := s.Proxies()
		return len(proxies) == 1 && proxies[0].Node == "stays"
	})
}

// TestViewsShareAWorld publishes the same to many views: what changed is found once.
func TestViewsShareAWorld(t *testing.T) {
	s := New(Options{Now: time.Now})
	for _, snapshot := range []*xds.Snapshot{bytesWorld(0), bytesWorld(5)} {
		s.Publish("sidecar/a/", snapshot)
		s.Publish("sidecar/b/", snapshot)
		if s.views["sidecar/a/"].world.Load() != s.views["sidecar/b/"].world.Load() {
			t.Error("two views have two worlds of the same snapshot")
		}
	}
	s.Publish("sidecar/b/", bytesWorld(6))
	if s.views["sidecar/a/"].world.Load() == s.views["sidecar/b/"].world.Load() {
		t.Error("two views have one world of two snapshots")
	}
}
