//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/live"
	"github.com/crossfade-dev/crossfade/e2e/load"
)

// users are people with an id of their own, who ask through the gateway.
func (s *scene) users(n int) map[string]string {
	s.Helper()
	answers := map[string]string{}
	// Each on a connection of its own, so that all gateways are asked.
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for i := range n {
		request, err := http.NewRequestWithContext(s.ctx, http.MethodGet, "http://"+s.gateway+"/", nil)
		if err != nil {
			s.Fatal(err)
		}
		id := fmt.Sprintf("user-%d", i)
		request.Host = s.Namespace + ".example"
		request.Header.Set("X-User-Id", id)
		answer, err := client.Do(request)
		if err != nil {
			s.Fatal(err)
		}
		_ = answer.Body.Close()
		answers[id] = answer.Header.Get("x-version")
	}
	return answers
}

// Users who are known by a header stay on the canary while its weight rises, at both gateways.
func stickyLadder(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Strategy: `{canary: {sticky: {header: {name: x-user-id}}, steps: [{weight: 10, pause: {}}, {weight: 40, pause: {}}, {weight: 80, pause: {}}]}}`})
	f := s.load()
	canary := s.change("v2")
	before := map[string]string{}
	for i, weight := range []int32{10, 40, 80, 100} {
		if weight < 100 {
			s.atWeight(canary, weight)
		} else {
			s.promoted(canary)
		}
		now, on := s.users(300), 0
		for id, version := range now {
			if version == "v2" {
				on++
			} else if before[id] == "v2" {
				t.Errorf("at weight %d %s is answered by %s, and was on the canary before", weight, id, version)
			}
		}
		t.Logf("at weight %d the canary has %d of 300 users", weight, on)
		if share := float64(weight) / 100; float64(on) < 300*share-45 || float64(on) > 300*share+45 {
			t.Errorf("at weight %d the canary has %d of 300 users", weight, on)
		}
		before = now
		if weight < 100 {
			s.promoteStep(canary, i+1)
		}
	}
	f.judge(map[string]string{canary: "v2"})
}

// A version that answers with errors is found out by copies: no user ever meets it.
func mirrorFails(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Check: true, Strategy: `{canary: {steps: [{mirror: {percent: 50}, pause: {duration: 60s}}, {weight: 50}]}}`})
	f := s.load()
	s.change("v3")
	s.rolledBack("errors")
	counts := f.judge(nil)
	if counts.Versions["v3"] > 0 || len(counts.Own) > 0 {
		t.Errorf("only copies go to the canary, and users met it: %v", counts)
	}
}

// Sidecars tell requests apart as the gateway does: one client's go to the canary, the other's to stable.
func meshRequests(t *testing.T) {
	s := begin(t, setup{Meshed: true, Replicas: 2, Strategy: `{canary: {steps: [{match: [{queryParams: [{name: team, value: checkout}]}], pause: {}}]}}`})
	s.meshClients(meshClient{Name: "mesh", Rate: 15, Protocol: load.KeepAlive}, meshClient{Name: "team", Query: "?team=checkout", Rate: 15, Protocol: load.KeepAlive})
	s.injected("app=client")
	f := s.load()
	canary := s.change("v2")
	s.await("holds the match", func(r live.Rollout) bool { return r.Status.StepSummary == "1/1" && r.Status.Phase == "Paused" })
	from := time.Now()
	s.until("the canary has the team's requests", func() (string, bool) {
		c := s.counts("team")
		return c.String(), c.Versions["v2"] > 60
	})
	if c := s.countsNow("mesh"); c.Versions["v2"] > 0 || c.Lost > 0 {
		t.Errorf("a client that is not of the team met the canary: %v", c)
	}
	if c := s.counts("team"); c.Lost > 0 || c.Last["v1"].After(from) {
		t.Errorf("the team was answered by stable after the match was confirmed, at %s: %v", from, c)
	}
	s.promote(canary)
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
}
