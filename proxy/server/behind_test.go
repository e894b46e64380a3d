package server

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBehind(t *testing.T) {
	s := New(testOptions())
	s.Publish(testView, weighted("1", 0))
	all := func(view string) bool { return view == testView }
	check := func(what string, want []string, of int) {
		t.Helper()
		await(t, s, what, func() bool {
			behind, n := s.Behind(all)
			return n == of && cmp.Equal(want, behind)
		})
	}
	check("nobody is connected", nil, 0)
	c := dial(t, serveOn(t, s), "p1")
	c.sync()
	check("synced", nil, 1)
	if behind, of := s.Behind(func(string) bool { return false }); of != 0 || behind != nil {
		t.Errorf("a view that does not concern the caller is in it: %v of %d", behind, of)
	}

	s.Publish(testView, weighted("2", 25))
	check("published", []string{"p1"}, 1)
	m := c.receive(routes)
	check("in flight", []string{"p1"}, 1)
	c.ack(routes, m)
	check("acked", nil, 1)

	s.Publish(testView, weighted("3", 50))
	c.nack(c.receive(routes), "bad route")
	await(t, s, "the refusal", func() bool { return s.Rejections() == 1 })
	check("refused", []string{"p1"}, 1)

	s.Publish(testView, weighted("4", 50))
	c.ack(routes, c.receive(routes))
	check("replaced by something better", nil, 1)

	// A proxy that has only begun may use what it has from before.
	other := dial(t, serveOn(t, s), "p2")
	other.ask(clusters)
	other.ack(clusters, other.receive(clusters))
	await(t, s, "the ack of the clusters", func() bool {
		proxies := s.Proxies()
		return len(proxies) == 2 && proxies[1].Types[typeURLs[clusters]].Acked.Nonce != ""
	})
	check("without listeners", []string{"p2"}, 2)
	other.ask(listeners)
	other.ack(listeners, other.receive(listeners))
	check("with both", nil, 2)
}
