package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// TestReached shows that what divides requests beside the weights is confirmed like
// these, and that a revision that it may lead to counts as routed to.
func TestReached(t *testing.T) {
	s := New(testOptions())
	s.Publish(testView, weighted("1", 25))
	c := dial(t, serveOn(t, s), "p1")
	c.sync()
	check := func(what string, current bool, low, high float64) {
		t.Helper()
		await(t, s, what, func() bool {
			got := s.ServiceAcks("shop/web")
			return len(got) == 1 && got[0].Current == current &&
				got[0].LowestShare("canary") == low && got[0].HighestShare("canary") == high
		})
	}
	check("weights only", true, 0.25, 0.25)
	reaching := weighted("2", 25)
	reaching.Routes["r"].Splits[0].Reached, reaching.Routes["r"].Splits[0].Traffic = "canary", "match"
	s.Publish(testView, reaching)
	m := c.receive(routes)
	check("the weights are the same, the conditions are not acked", false, 0.25, 1)
	c.ack(routes, m)
	check("conditions acked", true, 0.25, 1)
	s.Publish(testView, weighted("3", 25))
	m = c.receive(routes)
	check("the conditions may still hold", false, 0.25, 1)
	c.ack(routes, m)
	check("their end acked", true, 0.25, 0.25)
}

func TestServiceAcks(t *testing.T) {
	s := New(testOptions())
	s.Publish(testView, weighted("1", 0))
	c := dial(t, serveOn(t, s), "p1")
	c.sync()
	check := func(what string, want ServiceAck, canaryLow, canaryHigh float64) {
		t.Helper()
		var got []ServiceAck
		await(t, s, what, func() bool {
			got = s.ServiceAcks("shop/web")
			return len(got) == 1 && got[0].Current == want.Current && got[0].Rejected == want.Rejected &&
				got[0].HighestShare("canary") == canaryHigh
		})
		if low := got[0].LowestShare("canary"); low != canaryLow {
			t.Errorf("%s: acked share of the canary is %v, want %v", what, low, canaryLow)
		}
	}
	check("synced", ServiceAck{Current: true}, 0, 0)

	s.Publish(testView, weighted("2", 25))
	m := c.receive(routes)
	check("in flight", ServiceAck{}, 0, 0.25)
	c.ack(routes, m)
	check("acked", ServiceAck{Current: true}, 0.25, 0.25)

	s.Publish(testView, weighted("2b", 25)) // Somebody else's weight has changed in the same RouteConfiguration.
	m = c.receive(routes)
	check("another's change in flight", ServiceAck{Current: true}, 0.25, 0.25)
	c.nack(m, "another's fault")
	await(t, s, "the refusal", func() bool { return s.Rejections() == 1 })
	check("another's change refused", ServiceAck{Current: true}, 0.25, 0.25)

	s.Publish(testView, weighted("3", 50))
	c.nack(c.receive(routes), "bad route")
	check("refused", ServiceAck{Rejected: "bad route"}, 0.25, 0.25)
	if n := s.Rejections(); n != 2 {
		t.Errorf("%d rejections counted, want 2", n)
	}

	if acks := s.ServiceAcks("shop/other"); len(acks) != 0 {
		t.Errorf("the proxy does not route to this service, but is listed: %v", acks)
	}

	// After a restart of the server the proxy brings a version that nobody knows any more.
	restarted := New(testOptions())
	restarted.Publish(testView, weighted("9", 0))
	back := dial(t, serveOn(t, restarted), "p1")
	back.send(routes, &discoveryv3.DeltaDiscoveryRequest{
		ResourceNamesSubscribe: []string{"r"}, InitialResourceVersions: map[string]string{"r": "2"},
	})
	await(t, restarted, "unknown weights", func() bool {
		acks := restarted.ServiceAcks("shop/web")
		return len(acks) == 1 && acks[0].Unknown && !acks[0].Current && acks[0].HighestShare("canary") == 1
	})

	// A version that was replaced a moment ago is still known.
	again := dial(t, serveOn(t, s), "p1")
	again.send(listeners, &discoveryv3.DeltaDiscoveryRequest{})
	again.send(routes, &discoveryv3.DeltaDiscoveryRequest{
		ResourceNamesSubscribe: []string{"r"}, InitialResourceVersions: map[string]string{"r": "2"},
	})
	await(t, s, "known weights", func() bool {
		acks := s.ServiceAcks("shop/web")
		return len(acks) == 1 && !acks[0].Unknown && !acks[0].Current && acks[0].HighestShare("canary") == 0.25
	})
}

func TestProxies(t *testing.T) {
	s := New(testOptions())
	s.Publish(testView, weighted("1", 0))
	address := serveOn(t, s)
	c := dial(t, address, "p1")
	c.sync()
	synced := func() bool {
		p := s.Proxies()
		return len(p) == 1 && p[0].Types[xds.RouteType].Acked.Nonce != ""
	}
	await(t, s, "synced", synced)
	s.Publish(testView, weighted("2", 5))
	c.nack(c.receive(routes), "bad route")
	await(t, s, "refused", func() bool { return s.Proxies()[0].Types[xds.RouteType].LastError != "" })

	p := s.Proxies()[0]
	want := map[string]ResourceStatus{"r": {Acked: "1", Sent: "1", Rejected: "bad route"}}
	if d := cmp.Diff(want, p.Types[xds.RouteType].Resources); d != "" {
		t.Errorf("routes: -want +got\n%s", d)
	}
	if p.Node != "p1" || p.View != testView || p.ConnectedSince.IsZero() {
		t.Errorf("unexpected head: %+v", p)
	}

	page := httptest.NewRecorder()
	s.Debug().ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/", nil))
	var shown struct{ Proxies []ProxyStatus }
	if err := json.Unmarshal(page.Body.Bytes(), &shown); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, shown.Proxies[0].Types[xds.RouteType].Resources); d != "" {
		t.Errorf("debug page: -want +got\n%s", d)
	}
	page = httptest.NewRecorder()
	s.Debug().ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/?service=shop/web", nil))
	var asked struct{ Acks []shownAck }
	if err := json.Unmarshal(page.Body.Bytes(), &asked); err != nil {
		t.Fatal(err)
	}
	if want := shownAcks(s.ServiceAcks("shop/web")); len(want) != 1 || !cmp.Equal(want, asked.Acks) {
		t.Errorf("debug page of a Service: -want +got\n%s", cmp.Diff(want, asked.Acks))
	}
	refusal := httptest.NewRecorder()
	s.Debug().ServeHTTP(refusal, httptest.NewRequest(http.MethodPost, "/", nil))
	if refusal.Code != http.StatusMethodNotAllowed {
		t.Errorf("a write to the debug page gives %d", refusal.Code)
	}

	// The same node again, before its old stream is known to be gone.
	newer := dial(t, address, "p1")
	newer.ask(clusters)
	newer.receive(clusters)
	await(t, s, "newer stream", func() bool {
		p := s.Proxies()
		return len(p) == 1 && p[0].Types[xds.ClusterType].Sent.Nonce == "1" && len(p[0].Types) == 1
	})
	newer.close()
	await(t, s, "newer stream gone", synced)
	c.close()
	await(t, s, "all gone", func() bool { return len(s.Proxies()) == 0 })
}

func TestVersions(t *testing.T) {
	s := New(testOptions())
	s.Publish(testView, weighted("1", 0))
	address := serveOn(t, s)
	for node, version := range map[string]string{"a": "v2", "b": "v1", "c": "v1", "d": "", "e": strings.Repeat("x", 1000)} {
		c := dial(t, address, node)
		c.version = version
		c.sync()
	}
	want := map[string]int{"v2": 1, "v1": 2, "": 1, strings.Repeat("x", maxVersion): 1}
	await(t, s, "all are connected", func() bool { return len(s.ServiceAcks("shop/web")) == 5 })
	if d := cmp.Diff(want, s.Versions()); d != "" {
		t.Errorf("versions: -want +got\n%s", d)
	}
	if acks, proxies := s.ServiceAcks("shop/web"), s.Proxies(); acks[0].Version != "v2" || proxies[0].Version != "v2" {
		t.Errorf("the first of %v, %v has not the version v2", acks, proxies)
	}
}

func TestUnanswered(t *testing.T) {
	o := testOptions()
	var offset atomic.Int64
	start := time.Now()
	o.Now = func() time.Time { return start.Add(time.Duration(offset.Load())) }
	s := New(o)
	s.Publish(testView, weighted("1", 0))
	c := dial(t, serveOn(t, s), "p1")
	c.sync()
	await(t, s, "all is answered", func() bool {
		p := s.Proxies()
		return len(p) == 1 && p[0].Types[xds.RouteType].Acked.Nonce != ""
	})
	offset.Store(int64(time.Hour))
	if got := s.Unanswered(); got != 0 {
		t.Errorf("everything is answered, but for %v something is not", got)
	}
	s.Publish(testView, weighted("2", 25))
	m := c.receive(routes)
	offset.Add(int64(time.Minute))
	if got := s.Unanswered(); got != time.Minute {
		t.Errorf("unanswered for %v, want a minute", got)
	}
	c.nack(m, "bad route")
	await(t, s, "a rejection is an answer", func() bool { return s.Unanswered() == 0 })
}
