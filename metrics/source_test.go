package metrics

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at is when the tests' queries are evaluated; Prometheus repeats it in each sample.
var at = time.Unix(1700000000, 500e6)

func TestQueryRequest(t *testing.T) {
	type request struct {
		Method, Path string
		Form         url.Values
	}
	want := url.Values{"query": {`up{a="b"}`}, "time": {"1700000000.5"}, "timeout": {"2s"}}
	cases := map[string]struct {
		reason string
		refuse int // The status for a POST, or zero.
		want   []request
	}{
		"Post": {reason: "A long query fits only into a POST.", want: []request{{"POST", "/prom/api/v1/query", want}}},
		"GetFallback": {
			reason: "Some servers and proxies allow only GET.", refuse: 405,
			want: []request{{"POST", "/prom/api/v1/query", want}, {"GET", "/prom/api/v1/query", want}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []request
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				got = append(got, request{r.Method, r.URL.Path, r.Form})
				if r.Method == http.MethodPost && tc.refuse != 0 {
					w.WriteHeader(tc.refuse)
					return
				}
				data("scalar", `[1700000000.5,"3"]`).ServeHTTP(w, r)
			}))
			defer srv.Close()
			// A timeout that Go writes as 1.5s, which Prometheus would refuse as a bad duration.
			s, err := New(Options{URL: srv.URL + "/prom/", Timeout: 1500 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Sample{Outcome: Number, Value: 3}, s.Query(t.Context(), `up{a="b"}`, at)); diff != "" {
				t.Errorf("%s\nQuery (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nRequests (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestQueryUnreachable(t *testing.T) {
	tlsServer := httptest.NewUnstartedServer(data("scalar", `[1,"1"]`))
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0) // It would tell of the refused handshake.
	tlsServer.StartTLS()
	defer tlsServer.Close()
	dropper := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer dropper.Close()

	cases := map[string]struct {
		reason string
		url    string
		want   string
	}{
		"Refused":      {reason: "Nothing listens on port 1, and no other test is given it.", url: "http://127.0.0.1:1", want: "connection refused"},
		"NoSuchHost":   {reason: "The name does not exist (.invalid never does).", url: "http://prometheus.invalid:9090", want: "lookup prometheus.invalid"},
		"UntrustedTLS": {reason: "The certificate's authority is not known.", url: tlsServer.URL, want: "certificate"},
		"Dropped":      {reason: "The connection ends before the answer.", url: dropper.URL, want: "EOF"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := New(Options{URL: tc.url})
			if err != nil {
				t.Fatal(err)
			}
			got := s.Query(t.Context(), "secret_query", at)
			if got.Outcome != Unreachable || !strings.Contains(got.Message, tc.want) || strings.Contains(got.Message, "Post ") {
				t.Errorf("%s\nQuery: got %+v, want Unreachable with %q and without the request", tc.reason, got, tc.want)
			}
		})
	}
}

func TestQueryTime(t *testing.T) {
	cases := map[string]struct {
		reason  string
		timeout time.Duration
		cancel  bool
		started string // What the server sends before it falls silent.
		want    Sample
	}{
		"NoAnswer": {
			reason: "The server takes the request and says nothing.", timeout: 50 * time.Millisecond,
			want: Sample{Outcome: TimedOut, Message: "Prometheus did not answer in time (a query may take 50ms)"},
		},
		"HalfAnAnswer": {
			reason: "The time covers the whole answer.", timeout: 50 * time.Millisecond, started: `{"status":`,
			want: Sample{Outcome: TimedOut, Message: "Prometheus did not answer in time (a query may take 50ms)"},
		},
		"Cancelled": {
			reason: "The controller stops.", timeout: time.Minute, cancel: true,
			want: Sample{Outcome: Unreachable, Message: "the query was cancelled before its answer came"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan struct{})
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if tc.started != "" {
					_, _ = io.WriteString(w, tc.started)
					_ = http.NewResponseController(w).Flush()
				}
				if tc.cancel {
					cancel()
				}
				<-done
			}))
			defer srv.Close()
			defer close(done)
			s, err := New(Options{URL: srv.URL, Timeout: tc.timeout})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, s.Query(ctx, "up", at)); diff != "" {
				t.Errorf("%s\nQuery (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestObserve(t *testing.T) {
	srv := httptest.NewServer(data("vector", "[]"))
	defer srv.Close()
	now := at
	var got []string
	s, err := New(Options{
		URL:     srv.URL,
		Observe: func(o Outcome, seconds float64) { got = append(got, fmt.Sprint(o, " ", seconds)) },
		Now:     func() time.Time { now = now.Add(250 * time.Millisecond); return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Query(t.Context(), "up", at)
	if diff := cmp.Diff([]string{"NoData 0.25"}, got); diff != "" {
		t.Errorf("Observe (-want +got):\n%s", diff)
	}
}
