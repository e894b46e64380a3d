package outbound

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// names is a DNS; each look-up of a name gives its next answer, the last one for ever.
type names map[string][][]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	list := n[host]
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(list) > 1 {
		n[host] = list[1:]
	}
	var out []netip.Addr
	for _, a := range list[0] {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

// reachable lets a test's servers be reached: they can only listen on loopback. The
// guard's own judgement is of the address that a pod would have.
func reachable(t *testing.T, g *Guard, at *httptest.Server, pretend string) Target {
	t.Helper()
	u, err := url.Parse(at.URL)
	if err != nil {
		t.Fatal(err)
	}
	g.dialer = func(context.Context, string, netip.AddrPort) (net.Conn, error) {
		return net.Dial("tcp", at.Listener.Addr().String())
	}
	return Target{URL: &url.URL{Scheme: u.Scheme, Host: "hook.shop:80", Path: "/"}, Own: []netip.AddrPort{netip.MustParseAddrPort(pretend)}}
}

func TestCheckURL(t *testing.T) {
	g, err := New(Options{Hosts: []string{"Deploys.Example.com.", "*.hooks.example.com", "192.0.2.7", "[2001:db8::7]"}})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason, url, want string
	}{
		"exact":               {"as it is listed", "https://deploys.example.com/x", ""},
		"other case":          {"names have no case", "https://DEPLOYS.example.COM", ""},
		"dot at the end":      {"the same name", "http://deploys.example.com./", ""},
		"port":                {"any port", "http://deploys.example.com:8443/", ""},
		"below the suffix":    {"", "https://a.b.hooks.example.com", ""},
		"the suffix itself":   {"only what is below it", "https://hooks.example.com", "not allowed"},
		"not a label's end":   {"the dot counts", "https://evilhooks.example.com", "not allowed"},
		"suffix in front":     {"", "https://a.hooks.example.com.evil.org", "not allowed"},
		"address":             {"as it is listed", "http://192.0.2.7/", ""},
		"address, mapped":     {"the same address", "http://[::ffff:192.0.2.7]/", ""},
		"address 6":           {"", "http://[2001:db8::7]:80/", ""},
		"other address":       {"", "http://192.0.2.8/", "not allowed"},
		"metadata":            {"whatever is listed", "http://169.254.169.254/latest/meta-data", "link-local"},
		"metadata, mapped":    {"", "http://[::ffff:a9fe:a9fe]/", "link-local"},
		"metadata, NAT64":     {"", "http://[64:ff9b::a9fe:a9fe]/", "link-local"},
		"metadata, decimal":   {"a name that nobody has listed", "http://2852039166/", "not allowed"},
		"metadata, octal":     {"", "http://0251.0376.0251.0376/", "not allowed"},
		"metadata, hex":       {"", "http://0xa9fea9fe/", "not allowed"},
		"loopback, short":     {"", "http://127.1/", "not allowed"},
		"localhost":           {"", "http://localhost:8080/", "not allowed"},
		"the API server":      {"by its name", "https://kubernetes.default.svc/", "not allowed"},
		"another namespace":   {"a Service of somebody else", "http://payments.bank.svc:80/", "not allowed"},
		"file":                {"", "file:///etc/passwd", "only http"},
		"gopher":              {"", "gopher://deploys.example.com/", "only http"},
		"user":                {"passwords have no place in a Rollout", "https://u:p@deploys.example.com/", "neither user nor password"},
		"no host":             {"", "http:///x", "must have a host"},
		"name before the @":   {"what counts is after it", "http://deploys.example.com@169.254.169.254/", "neither user"},
		"escaped in the host": {"", "http://169.254.169.254%2f.hooks.example.com/", "cannot"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(tc.url)
			if err == nil {
				err = g.CheckURL(u)
			} else if tc.want == "cannot" {
				return
			}
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: CheckURL(%s): %v, want %q", tc.reason, tc.url, err, tc.want)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	for _, bad := range []string{"*", "*.", "", "https://x.example.com", "x.example.com:80", "a*.example.com", "*.*.example.com", "u@x"} {
		if _, err := New(Options{Hosts: []string{bad}}); err == nil || !strings.Contains(err.Error(), "--hook-hosts") {
			t.Errorf("--hook-hosts %q: %v, want a refusal", bad, err)
		}
	}
}

// TestDialled: whatever a name says, only checked addresses are dialled.
func TestDialled(t *testing.T) {
	api := func(context.Context) []netip.AddrPort {
		return []netip.AddrPort{netip.MustParseAddrPort("10.96.0.1:443"), netip.MustParseAddrPort("192.0.2.99:6443")}
	}
	cases := map[string]struct {
		reason  string
		dns     [][]string
		want    string
		refused bool
	}{
		"fine":                  {"one address, and nothing wrong with it", [][]string{{"192.0.2.1"}}, "dialled 192.0.2.1:80", false},
		"metadata":              {"a name of the user's own", [][]string{{"169.254.169.254"}}, "link-local", true},
		"loopback":              {"", [][]string{{"127.0.0.1"}}, "loopback", true},
		"one of two":            {"which one is taken is chance", [][]string{{"192.0.2.1", "169.254.169.254"}}, "link-local", true},
		"changes":               {"what was checked is what is dialled: there is no second look-up", [][]string{{"192.0.2.1"}, {"169.254.169.254"}}, "dialled 192.0.2.1:80", false},
		"mapped":                {"", [][]string{{"::ffff:169.254.169.254"}}, "link-local", true},
		"NAT64":                 {"as DNS64 makes them", [][]string{{"64:ff9b::a9fe:a9fe"}}, "link-local", true},
		"the API server":        {"its Service", [][]string{{"10.96.0.1"}}, "API server", true},
		"the API server, NAT64": {"the same behind a translation", [][]string{{"64:ff9b::a60:1"}}, "API server", true},
		"the API server's own":  {"its endpoint", [][]string{{"192.0.2.99"}}, "API server", true},
		"no such name":          {"that is no mistake for ever", nil, "its name is not found", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g, err := New(Options{Hosts: []string{"hooks.example.com"}, Forbidden: api, Resolver: names{"hooks.example.com": tc.dns}})
			if err != nil {
				t.Fatal(err)
			}
			var dialled []string
			g.dialer = func(_ context.Context, _ string, a netip.AddrPort) (net.Conn, error) {
				dialled = append(dialled, a.String())
				return nil, io.EOF
			}
			u, _ := url.Parse("http://hooks.example.com/")
			got := g.Post(t.Context(), Target{URL: u}, nil, nil, time.Second)
			said := got.Message
			if len(dialled) > 0 {
				said = "dialled " + strings.Join(dialled, " ")
			}
			if !strings.Contains(said, tc.want) || got.Refused != tc.refused {
				t.Errorf("%s: %+v, dialled %v, want %q", tc.reason, got, dialled, tc.want)
			}
		})
	}
}

// TestOwn: a Service's endpoints are checked, too: whoever writes EndpointSlices may
// write any address into them.
func TestOwn(t *testing.T) {
	cases := map[string]struct{ address, want string }{
		"link-local": {"169.254.169.254:80", "link-local"},
		"loopback":   {"[::1]:80", "loopback"},
		"API server": {"192.0.2.99:6443", "API server"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g, err := New(Options{Forbidden: func(context.Context) []netip.AddrPort {
				return []netip.AddrPort{netip.MustParseAddrPort("192.0.2.99:6443")}
			}})
			if err != nil {
				t.Fatal(err)
			}
			u, _ := url.Parse("http://x.shop:80/")
			got := g.Post(t.Context(), Target{URL: u, Own: []netip.AddrPort{netip.MustParseAddrPort(tc.address)}}, nil, nil, time.Second)
			if !got.Refused || !strings.Contains(got.Message, tc.want) {
				t.Errorf("%+v, want a refusal: %s", got, tc.want)
			}
		})
	}
	g, _ := New(Options{})
	u, _ := url.Parse("http://x.shop:80/")
	if got := g.Post(t.Context(), Target{URL: u, Own: []netip.AddrPort{}}, nil, nil, time.Second); got.Refused || got.Message != "no ready pod answers for it" {
		t.Errorf("a Service without endpoints: %+v", got)
	}
}

// TestNoDialPastTheCheck: the net below: the kernel is asked for nothing that is
// forbidden even if the check before it were gone.
func TestNoDialPastTheCheck(t *testing.T) {
	g, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if _, err := g.connect(t.Context(), "tcp", netip.MustParseAddrPort(server.Listener.Addr().String())); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("connect to %s: %v, want a refusal", server.Listener.Addr(), err)
	}
}

func TestPost(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	cases := map[string]struct {
		reason  string
		handler http.HandlerFunc
		want    Answer
	}{
		"yes":     {"", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, Answer{Code: 204, Message: "answered 204"}},
		"no":      {"its words are not repeated", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "password=hunter2", 500) }, Answer{Code: 500, Message: "answered 500"}},
		"too big": {"the rest is not read", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, big) }, Answer{Code: 200, Message: "answered 200"}},
		"slow": {"", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that nobody waits
			<-r.Context().Done()
		}, Answer{Message: "no answer within 200ms"}},
		"cut off":          {"", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Answer{Message: "the connection failed"}},
		"sent on with GET": {"a POST stays one", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/else", http.StatusFound) }, Answer{Code: 302, Message: "answered 302"}},
		"sent on to metadata": {"", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusTemporaryRedirect)
		}, Answer{Refused: true, Message: "redirected: 169.254.169.254 is a link-local address, where machines keep their credentials: nothing is sent there"}},
		"sent on elsewhere": {"", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://evil.example.org/", http.StatusPermanentRedirect)
		}, Answer{Refused: true, Message: "redirected: host evil.example.org is not allowed: name a Service of the Rollout's namespace by serviceRef, or ask the administrator to add the host to --hook-hosts"}},
		"sent on to an allowed name": {"which leads to the machine's credentials", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://sly.example.com/", http.StatusPermanentRedirect)
		}, Answer{Refused: true, Message: "the host leads to a link-local address, where machines keep their credentials: nothing is sent there"}},
		"sent on to another port": {"of the same Service's name, which is not what was named", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://hook.shop:22/", http.StatusPermanentRedirect)
		}, Answer{Refused: true, Message: "redirected: host hook.shop is not allowed: name a Service of the Rollout's namespace by serviceRef, or ask the administrator to add the host to --hook-hosts"}},
		"in a circle": {"", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusTemporaryRedirect) }, Answer{Refused: true, Message: "more than 3 redirects"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tc.handler)
			server.Config.ErrorLog = nil
			defer server.Close()
			g, err := New(Options{Hosts: []string{"sly.example.com"}, Resolver: names{"sly.example.com": {{"169.254.169.254"}}}})
			if err != nil {
				t.Fatal(err)
			}
			got := g.Post(t.Context(), reachable(t, g, server, "10.0.0.1:80"), []byte("{}"), nil, 200*time.Millisecond)
			if got != tc.want {
				t.Errorf("%s: got %+v, want %+v", tc.reason, got, tc.want)
			}
		})
	}
}

// TestRedirected: what is sent on is the same POST, with its body.
func TestRedirected(t *testing.T) {
	var bodies atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, _ := io.ReadAll(r.Body); string(b) == `{"a":1}` && r.Method == http.MethodPost && r.Header.Get("Crossfade-Delivery") == "k" {
			bodies.Add(1)
		}
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		}
	}))
	defer server.Close()
	g, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := g.Post(t.Context(), reachable(t, g, server, "10.0.0.1:80"), []byte(`{"a":1}`), http.Header{"Crossfade-Delivery": {"k"}}, time.Second)
	if got.Code != 200 || bodies.Load() != 2 {
		t.Errorf("got %+v with %d right requests, want 200 with 2", got, bodies.Load())
	}
}

// TestNoProxy: the environment does not decide where a question goes.
func TestNoProxy(t *testing.T) {
	asked := false
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	g, err := New(Options{Hosts: []string{"hooks.example.com"}, Resolver: names{"hooks.example.com": {{"169.254.1.1"}}}})
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse("http://hooks.example.com/")
	if got := g.Post(t.Context(), Target{URL: u}, nil, nil, time.Second); asked || !got.Refused {
		t.Errorf("got %+v, the proxy was asked: %v", got, asked)
	}
}

// TestTLS: the name in the URL is what a certificate is for, and an authority must be
// known.
func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	server.Config.ErrorLog = nil
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	dns := names{"example.com": {{"192.0.2.1"}}, "other.test": {{"192.0.2.1"}}}
	cases := map[string]struct{ host, ca, want string }{
		"known":          {"example.com", ca, "answered 200"},
		"unknown":        {"example.com", "", "its certificate is not trusted"},
		"another's name": {"other.test", ca, "its certificate is not trusted"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g, err := New(Options{Hosts: []string{"example.com", "other.test"}, CAFile: tc.ca, Resolver: dns})
			if err != nil {
				t.Fatal(err)
			}
			reachable(t, g, server, "192.0.2.1:443")
			got := g.Post(t.Context(), Target{URL: &url.URL{Scheme: "https", Host: tc.host, Path: "/"}}, nil, nil, 5*time.Second)
			if got.Message != tc.want {
				t.Errorf("got %+v, want %q", got, tc.want)
			}
		})
	}
	empty := filepath.Join(t.TempDir(), "none.pem")
	if err := os.WriteFile(empty, []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + "-away"} {
		if _, err := New(Options{CAFile: file}); err == nil || !strings.Contains(err.Error(), "--hook-ca-file") {
			t.Errorf("CA file %s: %v", file, err)
		}
	}
}

// TestBelieved: the controller's image has no authorities, and chats and hooks are
// asked by https all the same.
func TestBelieved(t *testing.T) {
	public, err := believed(x509.NewCertPool())
	if err != nil || public.Equal(x509.NewCertPool()) {
		t.Fatalf("where the system has no authorities there are none: %v", err)
	}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	own := x509.NewCertPool()
	own.AddCert(server.Certificate())
	if got, err := believed(own); err != nil || !got.Equal(own) {
		t.Errorf("beside the system's authorities others are believed: %v", err)
	}
}

// TestFailed: every way to fail has words of ours.
func TestFailed(t *testing.T) {
	for _, err := range []error{fmt.Errorf("a secret"), &net.OpError{Op: "dial", Err: fmt.Errorf("a secret")}, x509.HostnameError{Certificate: &x509.Certificate{}, Host: "a secret"}} {
		if got := failed(err, time.Second); strings.Contains(got.Message, "secret") || got.Message == "" {
			t.Errorf("failed(%v) = %+v", err, got)
		}
	}
}
