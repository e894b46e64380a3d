package metrics

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
)

// roundTrip answers requests without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func withTransport(t *testing.T, s *Source, status int, body string) *Source {
	t.Helper()
	base := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(body))}, nil
	})
	c, err := api.NewClient(api.Config{Address: "http://prometheus.test", Client: &http.Client{
		Transport:     &transport{base: base},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.api = promv1.NewAPI(statusClient{c})
	return s
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNewRefuses(t *testing.T) {
	token := writeFile(t, "token", "t0ken")
	cases := map[string]struct {
		reason  string
		options Options
		want    string
	}{
		"NoURL":        {reason: "An address is needed.", options: Options{}, want: "neither http:// nor https://"},
		"NoScheme":     {reason: "The name would be read as the scheme.", options: Options{URL: "prometheus:9090"}, want: "neither http:// nor https://"},
		"OtherScheme":  {reason: "Only HTTP is spoken.", options: Options{URL: "unix:///run/prometheus"}, want: "neither http:// nor https://"},
		"NoHost":       {reason: "A port alone is no address.", options: Options{URL: "http://:9090"}, want: "names no host"},
		"Broken":       {reason: "The text does not parse; it is not repeated, as it may hold a password.", options: Options{URL: "http://u:pass word@h"}, want: "parse the Prometheus URL: write it like"},
		"Password":     {reason: "Arguments of a process are public.", options: Options{URL: "http://u:p@h"}, want: "bearer token file instead"},
		"QueryPart":    {reason: "It would be sent with each query.", options: Options{URL: "http://h/?a=b"}, want: "leave out everything from the ? or # on"},
		"QuestionMark": {reason: "The same, with nothing behind it.", options: Options{URL: "http://h/?"}, want: "leave out everything from the ? or # on"},
		"Fragment":     {reason: "It means nothing to a server.", options: Options{URL: "http://h/#/graph"}, want: "leave out everything from the ? or # on"},
		"APIPath":      {reason: "The path is appended.", options: Options{URL: "http://h:9090/api/v1/query"}, want: "leave out /api/v1"},
		"Negative":     {reason: "Time runs forward.", options: Options{URL: "http://h", Timeout: -time.Second}, want: "-1s is negative"},
		"TokenHTTP":    {reason: "A token is not sent in the clear.", options: Options{URL: "http://h", BearerTokenFile: token}, want: "not sent over an http:// URL"},
		"CAHTTP":       {reason: "The administrator believes in TLS that is not there.", options: Options{URL: "http://h", CAFile: token}, want: "no use with an http:// URL"},
		"CAMissing":    {reason: "The file is named.", options: Options{URL: "https://h", CAFile: "/nonexistent/ca.pem"}, want: "/nonexistent/ca.pem"},
		"CANotPEM":     {reason: "The file is named.", options: Options{URL: "https://h", CAFile: token}, want: "holds no PEM certificate"},
		"TokenAway":    {reason: "The file is named.", options: Options{URL: "https://h", BearerTokenFile: "/nonexistent/token"}, want: "/nonexistent/token"},
		"TokenEmpty":   {reason: "An empty token is a mistake.", options: Options{URL: "https://h", BearerTokenFile: writeFile(t, "e", " \n")}, want: "is empty"},
		"TokenLines":   {reason: "A second line would be a second header.", options: Options{URL: "https://h", BearerTokenFile: writeFile(t, "e", "a\nHost: b")}, want: "more than one token"},
		"NoClock":      {reason: "Seconds need a clock.", options: Options{URL: "http://h", Observe: func(Outcome, float64) {}}, want: "without Now"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.options)
			if err == nil {
				t.Fatalf("%s\nNew: no error", tc.reason)
			}
			if !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "pass word") {
				t.Errorf("%s\nNew: %q lacks %q", tc.reason, err, tc.want)
			}
		})
	}
}

func TestBearerToken(t *testing.T) {
	var got []string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		data("scalar", `[1700000000.5,"1"]`).ServeHTTP(w, r)
	}))
	defer srv.Close()
	ca := writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	token := writeFile(t, "token", "first\n")
	s, err := New(Options{URL: srv.URL, CAFile: ca, BearerTokenFile: token})
	if err != nil {
		t.Fatal(err)
	}
	samples := []Sample{s.Query(t.Context(), "up", at)}
	if err := os.WriteFile(token, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	samples = append(samples, s.Query(t.Context(), "up", at))
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	samples = append(samples, s.Query(t.Context(), "up", at))

	if diff := cmp.Diff([]string{"Bearer first", "Bearer second"}, got); diff != "" {
		t.Errorf("A rotated token is sent from the next request on, and without one no request is made (-want +got):\n%s", diff)
	}
	want := []Sample{
		{Outcome: Number, Value: 1},
		{Outcome: Number, Value: 1},
		{Outcome: Unreachable, Message: "Prometheus cannot be reached: read the Prometheus bearer token file: open " + token + ": no such file or directory"},
	}
	if diff := cmp.Diff(want, samples); diff != "" {
		t.Errorf("Samples (-want +got):\n%s", diff)
	}
}

func TestRedirectKeepsToken(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	srv := httptest.NewTLSServer(answer{status: http.StatusTemporaryRedirect, header: map[string]string{"Location": other.URL}})
	defer srv.Close()
	ca := writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	s, err := New(Options{URL: srv.URL, CAFile: ca, BearerTokenFile: writeFile(t, "token", "secret")})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Query(t.Context(), "up", at); got.Outcome != Unreachable || asked {
		t.Errorf("Query: got %+v, and the other server was asked: %t; want Unreachable and false", got, asked)
	}
}

// TestDial: who gives the dialer decides who is asked, and its words say why nobody is.
func TestDial(t *testing.T) {
	asked := false
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer srv.Close()
	s, err := New(Options{URL: srv.URL, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("nothing is sent there")
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := Sample{Outcome: Unreachable, Message: "Prometheus cannot be reached: nothing is sent there"}
	if diff := cmp.Diff(want, s.Query(t.Context(), "up", at)); diff != "" || asked {
		t.Errorf("The server was asked: %t. Sample (-want +got):\n%s", asked, diff)
	}
}
