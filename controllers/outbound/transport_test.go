package outbound

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// administrators is a guard of what the administrator has named; every address leads to
// server once it was judged.
func administrators(t *testing.T, dns names, server *httptest.Server) *Guard {
	t.Helper()
	g, err := New(Options{
		Trusted: true, Resolver: dns,
		Forbidden: func(context.Context) []netip.AddrPort {
			return []netip.AddrPort{netip.MustParseAddrPort("192.0.2.99:6443")}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.dialer = func(context.Context, string, netip.AddrPort) (net.Conn, error) {
		return net.Dial("tcp", server.Listener.Addr().String())
	}
	return g
}

// TestRoundTrip: a library's client goes where the guard lets it, however it came there.
func TestRoundTrip(t *testing.T) {
	to := func(location string, code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				http.Redirect(w, r, location, code)
			}
		}
	}
	ok := func(http.ResponseWriter, *http.Request) {}
	cases := map[string]struct {
		reason  string
		url     string
		handler http.HandlerFunc
		want    string
		asked   int32
	}{
		"any host":               {"the administrator has no list", "http://chat.test/", ok, "200", 1},
		"inside the cluster":     {"", "http://10.96.7.7/", ok, "200", 1},
		"password":               {"his addresses are secrets anyway", "http://me:secret@chat.test/", ok, "200", 1},
		"metadata":               {"", "http://169.254.169.254/", ok, "link-local", 0},
		"metadata by name":       {"", "http://meta.test/", ok, "link-local", 0},
		"loopback":               {"", "http://localhost.test:8080/", ok, "loopback", 0},
		"the API server":         {"by whatever name", "http://api.test:6443/", ok, "API server", 0},
		"beside the API server":  {"another port of its node", "http://api.test:30090/", ok, "200", 1},
		"scheme":                 {"", "ftp://chat.test/", ok, "only http", 0},
		"sent on":                {"", "http://chat.test/", to("http://other.test/there", http.StatusTemporaryRedirect), "200", 2},
		"sent on to metadata":    {"", "http://chat.test/", to("http://169.254.169.254/", http.StatusTemporaryRedirect), "link-local", 1},
		"sent on to a sly name":  {"", "http://chat.test/", to("http://meta.test/", http.StatusPermanentRedirect), "link-local", 1},
		"sent on to loopback":    {"", "http://chat.test/", to("http://localhost.test/", http.StatusPermanentRedirect), "loopback", 1},
		"sent on to the API":     {"", "http://chat.test/", to("http://api.test:6443/", http.StatusPermanentRedirect), "API server", 1},
		"sent on without a body": {"it would count as delivered", "http://chat.test/", to("http://chat.test/there", http.StatusSeeOther), "without what was to be sent", 1},
		"in a circle":            {"", "http://chat.test/", to("/", http.StatusTemporaryRedirect), "more than 3 redirects", 4},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				tc.handler(w, r)
			}))
			defer server.Close()
			g := administrators(t, names{
				"chat.test": {{"192.0.2.1"}}, "other.test": {{"192.0.2.2"}}, "api.test": {{"192.0.2.99"}},
				"meta.test": {{"169.254.169.254"}}, "localhost.test": {{"127.0.0.1"}},
			}, server)
			said := ""
			res, err := (&http.Client{Transport: g}).Post(tc.url, "application/json", strings.NewReader("{}"))
			if err != nil {
				said = err.Error()
			} else {
				said = res.Status
				_ = res.Body.Close()
			}
			if !strings.Contains(said, tc.want) || asked.Load() != tc.asked {
				t.Errorf("%s: %s, want %q; the server was asked %d times, want %d", tc.reason, said, tc.want, asked.Load(), tc.asked)
			}
		})
	}
}

// TestRoundTripDowngrade: what was to be sent in secret is not sent in the clear.
func TestRoundTripDowngrade(t *testing.T) {
	server := httptest.NewTLSServer(http.RedirectHandler("http://chat.test/", http.StatusTemporaryRedirect))
	defer server.Close()
	g := administrators(t, names{"chat.test": {{"192.0.2.1"}}}, server)
	g.base.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	g.base.TLSClientConfig.ServerName = "example.com"
	_, err := (&http.Client{Transport: g}).Post("https://chat.test/", "", strings.NewReader("{}"))
	if err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// TestRoundTripBody: a body up to the bound is whole, a longer one is an error.
func TestRoundTripBody(t *testing.T) {
	for size, whole := range map[int]bool{maxBody: true, maxBody + 1: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", size))
		}))
		res, err := (&http.Client{Transport: administrators(t, nil, server)}).Get("http://192.0.2.1/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		server.Close()
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) == whole || len(body) > maxBody {
			t.Errorf("of %d bytes %d were read: %v", size, len(body), err)
		}
	}
}

// TestLoopback: where the administrator's own side-car may be asked, nothing else is let
// through with it.
func TestLoopback(t *testing.T) {
	g, err := New(Options{Trusted: true, Loopback: true, Resolver: names{"sly.test": {{"127.0.0.1", "169.254.169.254"}}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	conn, err := g.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	for _, address := range []string{"169.254.169.254:80", "[::ffff:169.254.169.254]:80", "sly.test:9090", "0.0.0.0:9090"} {
		if _, err := g.DialContext(t.Context(), "tcp", address); err == nil || !strings.Contains(err.Error(), "nothing is sent there") {
			t.Errorf("%s: %v, want a refusal", address, err)
		}
		if err := g.CheckHost(t.Context(), address); err == nil {
			t.Errorf("CheckHost(%s) finds nothing wrong", address)
		}
	}
}
