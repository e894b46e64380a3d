package kube

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestConditions(t *testing.T) {
	cases := map[string]struct {
		reason string
		code   int
		body   string
		want   string // in the error; empty means ready
	}{
		"Ready": {
			reason: "Only the asked condition counts, wherever it is in the list.",
			body:   `{"status":{"conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"True"}]}}`,
		},
		"NotReady": {
			reason: "The kubelet's own words say what it waits for.",
			body:   `{"status":{"conditions":[{"type":"Ready","status":"False","message":"no network"}]}}`,
			want:   "no network",
		},
		"NoCondition": {reason: "A node that just registered has none.", body: `{"status":{}}`, want: "not Ready yet"},
		"NotFound":    {reason: "A node that has not registered.", code: http.StatusNotFound, body: `{}`, want: "404"},
		"NoJSON":      {reason: "Something else listens there.", body: `hello`, want: "decode"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/v1/nodes/node0" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				if tc.code != 0 {
					w.WriteHeader(tc.code)
				}
				fmt.Fprint(w, tc.body)
			}))
			defer server.Close()
			err := (&Client{url: server.URL, http: server.Client()}).NodeReady(t.Context(), "node0")
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\nNodeReady() = %v, want %q", tc.reason, err, tc.want)
			}
		})
	}
}
