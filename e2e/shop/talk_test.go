package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/load"
)

// TestCalls counts calls of gRPC as it does requests: by who answered, and whether with an error of his own.
func TestCalls(t *testing.T) {
	server := httptest.NewUnstartedServer(newShop(settings{version: "v2", pod: "pod-1", fault: fault{Errors: 0.5}}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	run, err := load.Start(t.Context(), load.Options{URL: server.URL, Protocol: load.Calls, Rate: 1000, Requests: 200})
	if err != nil {
		t.Fatal(err)
	}
	<-run.Done()
	got := load.Count(run.Stop(), time.Time{}, time.Time{})
	if got.Versions["v2"] != 200 || got.Own["v2"] == 0 || got.Own["v2"] == 200 || got.Lost > 0 {
		t.Errorf("200 calls, half of them UNAVAILABLE: %v\n%s", got, load.Describe(got.Failures))
	}
}

// TestTalks goes on until the shop ends its conversations, and begins others then.
func TestTalks(t *testing.T) {
	for _, kind := range []load.Kind{load.WebSocket, load.GRPC} {
		t.Run(string(kind), func(t *testing.T) {
			h := newShop(settings{version: "v2", pod: "pod-1"})
			server := httptest.NewUnstartedServer(h)
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetHTTP1(true)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			server.Start()
			t.Cleanup(server.CloseClientConnections)
			talks, err := load.StartTalks(t.Context(), kind, server.Listener.Addr().String(), "shop.example", 2)
			if err != nil {
				t.Fatal(err)
			}
			await := func(what string, is func([]load.Talk) bool) {
				t.Helper()
				for deadline := time.Now().Add(time.Minute); !is(talks.Now()); time.Sleep(20 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("%s: not in time: %+v", what, talks.Now())
					}
				}
			}
			await("both go on", func(all []load.Talk) bool { return len(all) == 2 && all[0].Messages > 2 && all[1].Messages > 2 })
			h.end()
			await("both end", func(all []load.Talk) bool { return !all[0].Ended.IsZero() && !all[1].Ended.IsZero() })
			for _, talk := range talks.Stop()[:2] {
				if talk.Version != "v2" || talk.Pod != "pod-1" || talk.Error == "" {
					t.Errorf("got %+v", talk)
				}
			}
		})
	}
	if _, err := load.StartTalks(t.Context(), "smoke", "127.0.0.1:1", "", 1); err == nil {
		t.Error("want an error: there is no such kind")
	}
}
