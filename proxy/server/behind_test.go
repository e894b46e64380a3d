package server

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBehind(t *testing.T) {
	s := New(testOptions())
	s.Publish(testView, weighted("1", 0))
	all := func(node, view string) bool { return node != "" && view == testView }
	check := func(what string, want, done []string) {
		t.Helper()
		await(t, s, what, func() bool {
			behind, settled := s.Behind(all)
			return cmp.Equal(want, behind) && cmp.Equal(done, settled)
		})
	}
	check("nobody is connected", nil, nil)
	c := dial(t, serveOn(t, s), "p1")
	c.sync()
	check("synced", nil, []string{"p1"})
	if behind, settled := s.Behind(func(string, string) bool { return false }); settled != nil || behind != nil {
		t.Errorf("a view that does not concern the caller is in it: %v, %v", behind, settled)
	}

	s.Publish(testView, weighted("2", 25))
	check("published", []string{"p1"}, nil)
	m := c.receive(routes)
	check("in flight", []string{"p1"}, nil)
	c.ack(routes, m)
	check("acked", nil, []string{"p1"})

	s.Publish(testView, weighted("3", 50))
	c.nack(c.receive(routes), "bad route")
	await(t, s, "the refusal", func() bool { return s.Rejections() == 1 })
	check("refused", []string{"p1"}, nil)

	s.Publish(testView, weighted("4", 50))
	c.ack(routes, c.receive(routes))
	check("replaced by something better", nil, []string{"p1"})

	// A proxy that has only begun may use what it has from before.
	other := dial(t, serveOn(t, s), "p2")
	other.ask(clusters)
	other.ack(clusters, other.receive(clusters))
	await(t, s, "the ack of the clusters", func() bool {
		proxies := s.Proxies()
		return len(proxies) == 2 && proxies[1].Types[typeURLs[clusters]].Acked.Nonce != ""
	})
	check("without listeners", []string{"p2"}, []string{"p1"})
	other.ask(listeners)
	other.ack(listeners, other.receive(listeners))
	check("with both", nil, []string{"p1", "p2"})

	// Envoy uses a removed route until its listener has drained, and the route's cluster has to stay so long.
	s.Publish(testView, parse("CDS; EDS; LDS; RDS"))
	check("a listener goes", []string{"p1", "p2"}, nil)
	c.ack(listeners, c.receive(listeners))
	c.ack(routes, c.receive(routes))
	other.ack(clusters, other.receive(clusters))
	other.ack(listeners, other.receive(listeners))
	check("a route lingers", nil, []string{"p1", "p2"})
}
