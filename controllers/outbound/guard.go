package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// connectTimeout bounds one attempt to connect.
const connectTimeout = 10 * time.Second

// answerTimeout bounds the wait of a client that is not ours for an answer's headers.
const answerTimeout = 30 * time.Second

// maxRedirects is how often an answer may send us on.
const maxRedirects = 3

// Resolver finds the addresses of a name; net.DefaultResolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options are the administrator's choices.
type Options struct {
	// Hosts may be asked: exact names or addresses, or "*.example.com" for all names
	// below example.com.
	Hosts []string
	// CAFile holds certificates that a server's may chain up to, beside the system's, or
	// the public authorities' where the system has none.
	CAFile string
	// Forbidden are addresses that are never dialled beside those that nobody may: the
	// API server's. It is asked at each connection.
	Forbidden func(context.Context) []netip.AddrPort
	// Trusted says that the administrator writes the addresses himself: he needs no list
	// of hosts, and of Forbidden only the very ports are meant, for what else runs on a
	// node of the API server's is his to know. The environment's proxies are asked: they
	// are his, too.
	Trusted bool
	// Loopback says that the controller's own pod may be asked: a side-car there.
	Loopback bool
	// Resolver is net.DefaultResolver when it is nil.
	Resolver Resolver
}

// Guard lets out what may leave.
type Guard struct {
	options Options
	tls     *tls.Config
	// dialer connects to an address that was checked.
	dialer func(ctx context.Context, network string, a netip.AddrPort) (net.Conn, error)
	// base sends what RoundTrip has let through.
	base *http.Transport
}

// Target is who is asked.
type Target struct {
	URL *url.URL
	// Own are the addresses of a Service of the user's namespace, which needs nobody's
	// permission; they are checked all the same. Without them the URL's host must be
	// among Options.Hosts.
	Own []netip.AddrPort
}

// Refusal is why something must not leave. It is a user's mistake, or worse.
type Refusal struct{ Why string }

func (r *Refusal) Error() string { return r.Why }

// New checks what the administrator chose.
func New(o Options) (*Guard, error) {
	for i, h := range o.Hosts {
		o.Hosts[i] = canonical(h)
		name := strings.TrimPrefix(o.Hosts[i], "*.")
		if name == "" || strings.ContainsAny(name, "*/@?# ") || (strings.Contains(name, ":") && !isAddress(name)) {
			return nil, fmt.Errorf("--hook-hosts %q: want a name, an address, or *.example.com, without port", h)
		}
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	roots, err := trust(o.CAFile)
	if err != nil {
		return nil, err
	}
	return newGuard(o, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}), nil
}

// Derive makes a guard with other choices about addresses. Certificates are read once:
// both believe the same.
func (g *Guard) Derive(change func(*Options)) *Guard {
	o := g.options
	change(&o)
	return newGuard(o, g.tls)
}

func newGuard(o Options, t *tls.Config) *Guard {
	g := &Guard{options: o, tls: t}
	g.dialer = g.connect
	g.base = g.transport(g.DialContext)
	g.base.ResponseHeaderTimeout = answerTimeout // Not every library's client has a timeout.
	return g
}

// trust adds the certificates of a file to those that are believed anyway.
func trust(file string) (*x509.CertPool, error) {
	system, err := x509.SystemCertPool()
	if err != nil {
		system = x509.NewCertPool()
	}
	roots, err := believed(system)
	if err != nil || file == "" {
		return roots, err
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read --hook-ca-file: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read --hook-ca-file: %s holds no PEM certificate", file)
	}
	return roots, nil
}

// believed are the system's authorities, or, where it has none, as in the image of the
// controller, the public ones that this program was built with. Not for the whole
// process: who speaks to Prometheus believes only what its flags say.
func believed(system *x509.CertPool) (*x509.CertPool, error) {
	if !system.Equal(x509.NewCertPool()) {
		return system, nil
	}
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, fmt.Errorf("read the public certificates: %w", err)
		}
		if root.Constraint == nil {
			pool.AddCert(certificate)
		} else {
			pool.AddCertWithConstraint(certificate, root.Constraint)
		}
	}
	return pool, nil
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// canonical writes a host as hosts are compared.
func canonical(host string) string {
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().WithZone("").String()
	}
	return host
}

// CheckURL says at once what needs no DNS to be refused; nil when nothing is wrong
// so far.
func (g *Guard) CheckURL(u *url.URL) error {
	host := canonical(u.Hostname())
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return &Refusal{Why: "only http:// and https:// are asked"}
	case host == "":
		return &Refusal{Why: "the URL must have a host"}
	case u.User != nil && !g.options.Trusted:
		return &Refusal{Why: "the URL must have neither user nor password"}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if c := g.classOf(a); c != "" {
			return &Refusal{Why: fmt.Sprintf("%s is %s: nothing is sent there", host, c)}
		}
	}
	if !g.options.Trusted && !g.allows(host) {
		return &Refusal{Why: fmt.Sprintf("host %s is not allowed: name a Service of the Rollout's namespace by serviceRef, or ask the administrator to add the host to --hook-hosts", host)}
	}
	return nil
}

func (g *Guard) allows(host string) bool {
	return slices.ContainsFunc(g.options.Hosts, func(h string) bool {
		if suffix, ok := strings.CutPrefix(h, "*"); ok {
			return strings.HasSuffix(host, suffix) && len(host) > len(suffix) && !isAddress(host)
		}
		return host == h
	})
}

// classOf is why an address is never dialled by this guard.
func (g *Guard) classOf(a netip.Addr) class {
	if g.options.Loopback && inner(a).IsLoopback() {
		return ""
	}
	return classOf(a)
}

// check refuses an address that must not be dialled.
func (g *Guard) check(ctx context.Context, a netip.AddrPort) error {
	if c := g.classOf(a.Addr()); c != "" {
		return &Refusal{Why: fmt.Sprintf("the host leads to %s: nothing is sent there", c)}
	}
	if g.options.Forbidden != nil {
		for _, f := range g.options.Forbidden(ctx) {
			if inner(f.Addr()) == inner(a.Addr()) && (f.Port() == a.Port() || !g.options.Trusted) {
				return &Refusal{Why: "the host leads to an address of the API server: nothing is sent there"}
			}
		}
	}
	return nil
}

// client makes a client for one question.
func (g *Guard) client(t Target) *http.Client {
	return &http.Client{
		Transport: g.transport(func(ctx context.Context, network, address string) (net.Conn, error) {
			return g.dial(ctx, network, address, t)
		}),
		CheckRedirect: func(req *http.Request, via []*http.Request) error { return g.redirect(req, via, t) },
	}
}

// transport keeps no connection: the next question is checked anew.
func (g *Guard) transport(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	t := &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        g.tls.Clone(),
		TLSHandshakeTimeout:    connectTimeout,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 64 << 10,
	}
	if g.options.Trusted {
		t.Proxy = http.ProxyFromEnvironment
	}
	return t
}

// redirect lets an answer send us on to where we would have gone ourselves. A POST
// stays one (307, 308); anything else would ask something that nobody wrote.
func (g *Guard) redirect(req *http.Request, via []*http.Request, t Target) error {
	switch {
	case len(via) > maxRedirects:
		return &Refusal{Why: fmt.Sprintf("more than %d redirects", maxRedirects)}
	case req.Method != via[0].Method:
		return http.ErrUseLastResponse
	case via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https":
		return &Refusal{Why: "redirected from https to http"}
	case t.Own != nil && req.URL.Scheme == t.URL.Scheme && req.URL.Host == t.URL.Host:
		return nil
	}
	if err := g.CheckURL(req.URL); err != nil {
		return &Refusal{Why: "redirected: " + err.Error()}
	}
	return nil
}

// dial connects to an address that was checked, never to a name.
func (g *Guard) dial(ctx context.Context, network, address string, t Target) (net.Conn, error) {
	found, err := g.lookUp(ctx, address, t)
	if err != nil {
		return nil, err
	}
	failed := errNoAddress
	for _, a := range found {
		conn, err := g.dialer(ctx, network, a)
		if err == nil {
			return conn, nil
		}
		failed = err
	}
	return nil, failed
}

// lookUp finds the addresses of a host, each of which may be dialled.
func (g *Guard) lookUp(ctx context.Context, address string, t Target) ([]netip.AddrPort, error) {
	found, err := g.resolve(ctx, address, t)
	if err != nil {
		return nil, err
	}
	for _, a := range found {
		if err := g.check(ctx, a); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// connect asks the kernel. Nothing gets here that was not checked; this is the net
// below that check.
func (g *Guard) connect(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: connectTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("read the address that is dialled: %w", err)
		}
		return g.check(ctx, a)
	}}
	return d.DialContext(ctx, network, to.String())
}

// errNoAddress says that a name, or a Service, leads nowhere.
var errNoAddress = errors.New("it has no address")

func (g *Guard) resolve(ctx context.Context, address string, t Target) ([]netip.AddrPort, error) {
	if t.Own != nil && address == hostPort(t.URL) {
		return t.Own, nil
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("read address: %w", err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("read port: %w", err)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a, uint16(port))}, nil
	}
	found, err := g.options.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	out := make([]netip.AddrPort, 0, len(found))
	for _, a := range found {
		out = append(out, netip.AddrPortFrom(a.Unmap(), uint16(port)))
	}
	return out, nil
}

// hostPort is what a client dials for a URL.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
