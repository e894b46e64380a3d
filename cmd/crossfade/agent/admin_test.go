package agent

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSumConnections(t *testing.T) {
	cases := map[string]struct {
		reason string
		stats  string
		want   int
		fails  bool
	}{
		"Nothing": {reason: "Without a listener there is no connection."},
		"Sum": {
			reason: "Listeners count; the admin interface and the workers' shares of the same connections do not.",
			stats: `listener.0.0.0.0_10080.downstream_cx_active: 3
listener.0.0.0.0_10080.worker_0.downstream_cx_active: 1
listener.0.0.0.0_10080.worker_1.downstream_cx_active: 2
listener.0.0.0.0_10443.downstream_cx_active: 4
listener.admin.downstream_cx_active: 1
listener.admin.main_thread.downstream_cx_active: 1
`,
			want: 7,
		},
		"NoNumber": {reason: "What cannot be read is not zero.", stats: "listener.a.downstream_cx_active: many\n", fails: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := sumConnections(tc.stats)
			if got != tc.want || (err != nil) != tc.fails {
				t.Errorf("%s\nsumConnections(): got %d, %v", tc.reason, got, err)
			}
		})
	}
}

func TestReadiness(t *testing.T) {
	cases := map[string]struct {
		reason    string
		condition string
		state     string
		err       error
		want      string
		code      int
	}{
		"Live":     {reason: "Envoy has all and nobody stops it.", state: "LIVE", want: "ready\n", code: 200},
		"Starting": {reason: "Without its first configuration it would refuse connections.", state: "PRE_INITIALIZING", want: "Envoy is PRE_INITIALIZING\n", code: 503},
		"Stopping": {reason: "The agent's word comes first: Envoy still serves.", condition: "stopping", state: "LIVE", want: "stopping\n", code: 503},
		"Frozen":   {reason: "No answer is not ready.", err: errors.New("no answer"), want: "no answer\n", code: 503},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var c condition
			c.set(tc.condition)
			w := httptest.NewRecorder()
			readiness(c.get, func(context.Context) (string, error) { return tc.state, tc.err }).
				ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ready", nil))
			if diff := cmp.Diff(tc.want, w.Body.String()); diff != "" || w.Code != tc.code {
				t.Errorf("%s\nstatus %d, body -want, +got:\n%s", tc.reason, w.Code, diff)
			}
		})
	}
}
