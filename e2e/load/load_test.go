package load

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCount(t *testing.T) {
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	samples := []Sample{
		{At: at(0), Took: 1, Status: 200, Version: "v1"},
		{At: at(1), Took: 3, Status: 200, Version: "v2"},
		{At: at(2), Took: 2, Status: 500, Version: "v2"},
		{At: at(3), Took: 1, Status: 503, Error: "no version answered"},
		{At: at(4), Took: 1, Error: "connection reset", Redone: true},
		{At: at(5), Took: 1, Status: 404, Version: "v1"},
		{At: at(6), Took: 1, Status: 200, Version: "v1"},
	}
	cases := map[string]struct {
		reason   string
		from, to time.Time
		want     Counts
	}{
		"All": {
			reason: "Without bounds everything counts, and only a version's own error is not lost.",
			want: Counts{
				Requests: 7, Versions: map[string]int{"v1": 2, "v2": 2}, Own: map[string]int{"v2": 1}, Redone: 1, Longest: 3,
				Lost: 3, Failures: []Sample{samples[3], samples[4], samples[5]},
				First: map[string]time.Time{"v1": at(0), "v2": at(1)}, Last: map[string]time.Time{"v1": at(6), "v2": at(2)},
			},
		},
		"Window": {
			reason: "A window holds its begin and not its end, so that windows side by side count nothing twice.",
			from:   at(1), to: at(3),
			want: Counts{
				Requests: 2, Versions: map[string]int{"v2": 2}, Own: map[string]int{"v2": 1}, Longest: 3,
				First: map[string]time.Time{"v2": at(1)}, Last: map[string]time.Time{"v2": at(2)},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Count(samples, tc.from, tc.to)); diff != "" {
				t.Errorf("%s\nCount(): -want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestBetween(t *testing.T) {
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	sample := func(sent, answered int) Sample {
		return Sample{At: begin.Add(time.Duration(sent) * time.Second), Took: time.Duration(answered-sent) * time.Second}
	}
	samples := []Sample{sample(1, 3), sample(2, 3), sample(4, 5), sample(5, 6)}
	want := []Sample{sample(2, 3), sample(4, 5)}
	if diff := cmp.Diff(want, Between(samples, begin.Add(2*time.Second), begin.Add(5*time.Second))); diff != "" {
		t.Errorf("Only what was sent and answered in the time is of the time.\nBetween(): -want +got:\n%s", diff)
	}
}

func TestWithin(t *testing.T) {
	cases := map[string]struct {
		reason string
		canary int
		want   float64
		within bool
	}{
		"Exact":     {reason: "The wanted share itself.", canary: 100, want: 0.1, within: true},
		"Chance":    {reason: "Two standard deviations happen every day.", canary: 119, want: 0.1, within: true},
		"TooMany":   {reason: "Twice the weight is no chance.", canary: 200, want: 0.1},
		"TooFew":    {reason: "Half the weight is no chance.", canary: 50, want: 0.1},
		"NotZero":   {reason: "At weight 0 a single request is wrong.", canary: 1, want: 0},
		"NotAll":    {reason: "At the whole weight a single request elsewhere is wrong.", canary: 999, want: 1},
		"AllIsFine": {reason: "At the whole weight all go there.", canary: 1000, want: 1, within: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := Counts{Requests: 1000, Versions: map[string]int{"v2": tc.canary, "v1": 1000 - tc.canary}}
			if got := c.Within("v2", tc.want); got != tc.within {
				t.Errorf("%s\nWithin(%v) with %d of 1000: want %v, got %v", tc.reason, tc.want, tc.canary, tc.within, got)
			}
		})
	}
}

// A server that answers its version over both protocols.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func TestRun(t *testing.T) {
	cases := map[string]struct {
		reason   string
		protocol Protocol
		major    int
	}{
		"KeepAlive":      {reason: "HTTP/1.1 with connections that are used again.", protocol: KeepAlive, major: 1},
		"NewConnections": {reason: "HTTP/1.1 with a connection each.", protocol: NewConnections, major: 1},
		"H2C":            {reason: "HTTP/2 by prior knowledge.", protocol: H2C, major: 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var wrong atomic.Int64
			target := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != tc.major || r.Host != "payments.example" {
					wrong.Add(1)
				}
				w.Header().Set("x-version", "v1")
			})
			run, err := Start(t.Context(), Options{URL: target, Host: "payments.example", Protocol: tc.protocol, Rate: 1000, Requests: 50})
			if err != nil {
				t.Fatal(err)
			}
			<-run.Done()
			got := Count(run.Stop(), time.Time{}, time.Time{})
			if got.Requests != 50 || got.Versions["v1"] != 50 || got.Lost != 0 || wrong.Load() != 0 {
				t.Errorf("%s\nwant 50 answers of v1, got %v; %d requests with another protocol or host\n%s", tc.reason, got, wrong.Load(), Describe(got.Failures))
			}
		})
	}
}

// Slow answers must not slow down the sending, and Stop must not forget who still waits.
func TestRunIsOpenLoop(t *testing.T) {
	release := make(chan struct{})
	var arrived atomic.Int64
	all := make(chan struct{})
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if arrived.Add(1) == 20 {
			close(all)
		}
		<-release
		w.Header().Set("x-version", "v1")
	})
	run, err := Start(t.Context(), Options{URL: target, Rate: 500, Requests: 20})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-all:
	case <-time.After(time.Minute):
		t.Fatalf("20 requests at 500 per second: only %d arrived while none was answered", arrived.Load())
	}
	if n := len(run.Samples()); n != 0 {
		t.Errorf("nothing is answered, but Samples() has %d", n)
	}
	close(release)
	if n := len(run.Stop()); n != 20 {
		t.Errorf("Stop() has to wait for answers: want 20, got %d", n)
	}
}

func TestRunKeepsFailures(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Host {
		case "proxy":
			http.Error(w, "no healthy upstream", http.StatusServiceUnavailable)
		case "reset":
			panic(http.ErrAbortHandler)
		default:
			w.Header().Set("x-version", "v2")
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	cases := map[string]struct {
		reason, host, text string
		lost, own          int
	}{
		"Proxy": {reason: "An answer that no version gave is lost.", host: "proxy", lost: 5, text: "no healthy upstream"},
		"Reset": {reason: "So is a reset connection.", host: "reset", lost: 5, text: "EOF"},
		"Own":   {reason: "A version's own error is counted apart.", host: "own", own: 5},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			run, err := Start(t.Context(), Options{URL: target, Host: tc.host, Rate: 500, Requests: 5, Protocol: NewConnections})
			if err != nil {
				t.Fatal(err)
			}
			<-run.Done()
			got := Count(run.Stop(), time.Time{}, time.Time{})
			if got.Lost != tc.lost || got.Own["v2"] != tc.own || !strings.Contains(Describe(got.Failures), tc.text) {
				t.Errorf("%s\nwant %d lost with %q and %d own, got %v\n%s", tc.reason, tc.lost, tc.text, tc.own, got, Describe(got.Failures))
			}
		})
	}
}

func TestStartRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"NoURL":    {Rate: 1},
		"NoRate":   {URL: "http://127.0.0.1"},
		"Protocol": {URL: "http://127.0.0.1", Rate: 1, Protocol: "gopher"},
		"Negative": {URL: "http://127.0.0.1", Rate: math.Inf(-1)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Start(t.Context(), o); err == nil {
				t.Errorf("Start(%+v): want an error", o)
			}
		})
	}
}
