package load

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDistribution(t *testing.T) {
	var low, high, none Distribution
	for i := 1; i <= 99; i++ {
		low.Record(time.Duration(i) * time.Microsecond)
	}
	high.Record(1234567 * time.Microsecond)
	all := low.Merge(none).Merge(high)
	type numbers struct{ P50, P99, P100, Max time.Duration }
	got := numbers{all.Percentile(0.5), all.Percentile(0.99), all.Percentile(1), all.Max}
	want := numbers{50 * time.Microsecond, 99 * time.Microsecond, 1230 * time.Millisecond, 1234567 * time.Microsecond}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
	if all.Total() != 100 || low.Total() != 99 || none.Percentile(0.99) != 0 {
		t.Errorf("100 and 99 answers, and 0 s of none: got %d, %d, %v", all.Total(), low.Total(), none.Percentile(0.99))
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var back Distribution
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, back); diff != "" {
		t.Errorf("over JSON (-want +got):\n%s", diff)
	}
}

func TestThreeDigits(t *testing.T) {
	for n, want := range map[int64]int64{0: 0, 7: 7, 999: 999, 1000: 1000, 1004: 1000, 1005: 1010, 99_949: 99_900, 99_950: 100_000, 999_999: 1_000_000} {
		if got := threeDigits(n); got != want {
			t.Errorf("threeDigits(%d) = %d, want %d", n, got, want)
		}
		if n > 0 && math.Abs(float64(threeDigits(n)-n)) > 0.005*float64(n) {
			t.Errorf("threeDigits(%d) is wrong by more than half a percent", n)
		}
	}
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		args   string
		want   string // part of the error; empty for none
	}{
		"Good":           {"what bench starts it with", "--url=http://payments.shop:80/a --rate=200 --connections=8 --duration=5s", ""},
		"NoURL":          {"there is nothing to guess it from", "--rate=5", "--url"},
		"TLS":            {"the mesh does that, and measures it", "--url=https://payments/", "--url"},
		"NoRate":         {"nothing would be measured", "--url=http://a --rate=0", "--rate"},
		"NotANumber":     {"it is neither above 0 nor below", "--url=http://a --rate=NaN", "--rate"},
		"LongRound":      {"something on the way would cut the answer", "--url=http://a --duration=2m", "--duration"},
		"NoConnection":   {"nothing could be sent", "--url=http://a --connections=0", "--connections"},
		"TooFew":         {"the pace would be another than asked for", "--url=http://a --rate=1 --duration=1s --connections=4", "two requests"},
		"Argument":       {"a forgotten -- must not go unnoticed", "--url=http://a payments", "payments"},
		"UnknownFlag":    {"a typing error", "--uri=http://a", "uri"},
		"TooHighARate":   {"one client cannot", "--url=http://a --rate=1000000", "--rate"},
		"TooManySockets": {"one client cannot", "--url=http://a --connections=100000 --rate=20000 --duration=1m", "--connections"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(strings.Fields(c.args), io.Discard)
			if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: error %v, want %q", c.reason, err, c.want)
			}
		})
	}
}

// upstream is a server with HTTP/1.1 and HTTP/2 without TLS that counts its connections.
func upstream(t *testing.T, h http.HandlerFunc) (string, *atomic.Int64) {
	t.Helper()
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, &connections
}

func ask(t *testing.T, o Options) (Round, int, string) {
	t.Helper()
	c := newClient(o)
	c.patience = 0
	server := httptest.NewServer(handler(t.Context(), c, func() {}))
	defer server.Close()
	answer, err := http.Post(server.URL+PathRound, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var r Round
	if answer.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, &r); err != nil {
			t.Fatalf("%v in %q", err, body)
		}
	}
	return r, answer.StatusCode, string(body)
}

func TestRound(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP1": false, "HTTP2": true} {
		t.Run(name, func(t *testing.T) {
			var major atomic.Int64
			var served atomic.Int64
			url, connections := upstream(t, func(w http.ResponseWriter, r *http.Request) {
				major.Store(int64(r.ProtoMajor))
				// After those that open the connections each tenth fails.
				if n := served.Add(1); n > 3 && n%10 == 0 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			r, status, body := ask(t, Options{URL: url, Rate: 100, Duration: time.Second, Connections: 3, HTTP2: http2, Timeout: 10 * time.Second})
			if status != http.StatusOK {
				t.Fatalf("status %d: %s", status, body)
			}
			if int64(r.Requests)+3 != served.Load() || r.Requests < 90 || r.Requests > 102 {
				t.Errorf("%d requests counted, %d served, want about 100 and the 3 before them", r.Requests, served.Load())
			}
			if failed := r.Errors["status 503"]; failed < 8 || r.Answers.Total()+failed != r.Requests {
				t.Errorf("%d answers and errors %v of %d requests", r.Answers.Total(), r.Errors, r.Requests)
			}
			if want := map[bool]int64{false: 1, true: 2}[http2]; major.Load() != want {
				t.Errorf("HTTP/%d, want HTTP/%d", major.Load(), want)
			}
			if connections.Load() != 3 {
				t.Errorf("%d connections, want 3", connections.Load())
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	url, _ := upstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	o := Options{URL: url, Rate: 10, Duration: time.Second, Connections: 1, Timeout: 10 * time.Second}
	if _, status, body := ask(t, o); status != http.StatusBadGateway || !strings.Contains(body, "status 403") {
		t.Errorf("status %d %q, want 502 and the status that was got", status, body)
	}
	o.URL = "http://127.0.0.1:1/"
	if _, status, body := ask(t, o); status != http.StatusBadGateway || !strings.Contains(body, "connection refused") || strings.Contains(body, "->") {
		t.Errorf("status %d %q, want 502 and the reason without a port of the client's", status, body)
	}
}

func TestAProxyMayStartLater(t *testing.T) {
	var asked atomic.Int64
	url, _ := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	if err := newClient(Options{URL: url, Connections: 1, Timeout: 10 * time.Second}).warm(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRoundEndsWithItsContext(t *testing.T) {
	url, _ := upstream(t, func(http.ResponseWriter, *http.Request) {})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	done := make(chan Round)
	go func() {
		done <- newClient(Options{URL: url, Rate: 2, Duration: time.Hour, Connections: 1, Timeout: time.Second}).round(ctx)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("the round goes on")
	}
}

func TestFewKindsOfErrors(t *testing.T) {
	var r Round
	for i := range 100 {
		r.fail(strings.Repeat("x", i))
	}
	if len(r.Errors) != maxKinds+1 || r.Errors["other"] != 100-maxKinds {
		t.Errorf("%d kinds, %d others", len(r.Errors), r.Errors["other"])
	}
}

func TestItEndsByItself(t *testing.T) {
	s := settings{options: Options{URL: "http://127.0.0.1:1/", Rate: 1, Duration: time.Second, Connections: 1}, listen: "127.0.0.1:0", idle: 50 * time.Millisecond}
	done := make(chan error)
	go func() { done <- serve(t.Context(), s) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nobody asks, and it goes on")
	}
}
