package agent

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/crossfade-dev/crossfade/proxy/certificates"
	"github.com/crossfade-dev/crossfade/proxy/identity"
)

// authority is a control plane's endpoint for certificates, with one good token.
type authority struct {
	root             identity.Issuer
	lifetime         time.Duration
	address          string
	tokenDir, tlsDir string
	away             atomic.Bool
}

// startAuthority begins to serve, and projects token and roots as the kubelet does.
func startAuthority(t *testing.T, lifetime time.Duration) *authority {
	t.Helper()
	root := newRoot(t)
	a := &authority{root: root, lifetime: lifetime, tokenDir: t.TempDir(), tlsDir: filepath.Join(t.TempDir(), "tls")}
	signer := identity.Authority{Issuer: root, Lifetime: lifetime}
	endpoint := certificates.NewEndpoint(certificates.Options{
		Logger: logr.Discard(), Now: time.Now, Limits: certificates.Limits{PerSecond: 1000, Burst: 1000, PerAddress: 1000, AddressBurst: 1000},
		Authenticate: func(_ context.Context, token string) (identity.Workload, error) {
			if token != "good" {
				return identity.Workload{}, identity.Refuse(identity.ReasonToken, "the API server does not stand for the token")
			}
			return identity.Workload{ID: identity.ID{TrustDomain: "cluster.local", Namespace: "a", ServiceAccount: "web"}, PodUID: "6f1c"}, nil
		},
		Sign: func(csr []byte, w identity.Workload) (certificates.Answer, error) {
			leaf, err := signer.SignWorkload(csr, w, time.Now(), rand.Reader)
			if err != nil {
				return certificates.Answer{}, err
			}
			return certificates.Answer{
				Chain: string(identity.EncodeCertificates(leaf.Chain)), Bundle: string(identity.EncodeCertificates(root.Roots())),
				RenewAfter: certificates.Duration(leaf.RenewAfter(time.Now())),
			}, nil
		},
	})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.away.Load() {
			panic(http.ErrAbortHandler)
		}
		endpoint.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, err := signer.SignServer([]string{"localhost"}, time.Now(), rand.Reader)
		return &c, err
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "https://"), ":")
	a.address = "localhost:" + port
	a.project(t, "token", "good\n")
	a.project(t, rootFile, string(identity.EncodeCertificates(root.Roots())))
	return a
}

func newRoot(t *testing.T) identity.Issuer {
	t.Helper()
	root, err := identity.NewRoot("cluster.local", time.Now(), time.Hour, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func (a *authority) project(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(a.tokenDir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (a *authority) keeper(t *testing.T) *keeper {
	t.Helper()
	k := newKeeper(Options{Certificates: a.address, TLSDir: a.tlsDir, TokenDir: a.tokenDir}, slog.New(slog.DiscardHandler), time.Now, func() float64 { return 0.5 })
	if err := k.prepare(); err != nil {
		t.Fatal(err)
	}
	k.followRoots()
	return k
}

// readPair is what Envoy would load: certificate and key of one write.
func (a *authority) readPair(t *testing.T) *x509.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(a.tlsDir, certFile), filepath.Join(a.tlsDir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func TestKeeperRenews(t *testing.T) {
	a := startAuthority(t, 24*time.Hour)
	k := a.keeper(t)
	if text := k.state.metrics(); text != "" {
		t.Errorf("before the first one the metrics say %q", text)
	}
	if text := k.state.problem(time.Now()); text != "there is no certificate yet" {
		t.Errorf("before the first one /ready says %q", text)
	}
	wait := k.renew(t.Context())
	// The root's end, an hour from now, is the leaf's end too.
	if wait < 29*time.Minute || wait > 31*time.Minute {
		t.Errorf("renewed after %v, want half of the certificate's life", wait)
	}
	select {
	case <-k.first:
	default:
		t.Error("Envoy is not started though there is a certificate")
	}
	first := a.readPair(t)
	if text := k.state.problem(time.Now()); text != "" {
		t.Errorf("with a certificate /ready says %q", text)
	}
	if text := k.state.problem(first.NotAfter); text != "the certificate's time is over" {
		t.Errorf("when its time is over /ready says %q", text)
	}
	want := fmt.Sprintf("%s %d\n", metricExpiry, first.NotAfter.Unix())
	if got := k.state.metrics(); !strings.Contains(got, want) || !strings.Contains(got, fmt.Sprintf("\n%s %d\n", metricLifetime, first.NotAfter.Unix()-first.NotBefore.Unix())) {
		t.Errorf("the metrics are %q, want the certificate's end and its lifetime", got)
	}
	k.renew(t.Context())
	second := a.readPair(t)
	if first.SerialNumber.Cmp(second.SerialNumber) == 0 || first.PublicKey == second.PublicKey {
		t.Error("a renewal has brought the same certificate or the same key")
	}
	entries, err := filepath.Glob(filepath.Join(a.tlsDir, "..20*"))
	if err != nil || len(entries) != 1 {
		t.Errorf("earlier keys are left behind: %v, %v", entries, err)
	}
}

func TestKeeperWithoutControlPlane(t *testing.T) {
	a := startAuthority(t, 24*time.Hour)
	a.away.Store(true)
	k := a.keeper(t)
	if wait := k.renew(t.Context()); wait > time.Second {
		t.Errorf("the first retry is %v away, nobody can use this proxy meanwhile", wait)
	}
	if text := k.state.problem(time.Now()); !strings.Contains(text, "there is no valid certificate: ask for a certificate") {
		t.Errorf("/ready does not say why: %q", text)
	}
	a.away.Store(false)
	k.renew(t.Context())
	a.away.Store(true)
	for range 20 {
		k.renew(t.Context())
	}
	if text := k.state.problem(time.Now()); text != "" {
		t.Errorf("with a valid certificate and the control plane away /ready says %q", text)
	}
	// An agent that takes this one's place, in the same pod, goes on with it.
	next := a.keeper(t)
	select {
	case <-next.first:
	default:
		t.Error("a restarted agent waits for the control plane with a valid certificate in its folder")
	}
}

func TestKeeperRefusals(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*testing.T, *authority)
		want   string
	}{
		"OtherToken": {reason: "the controller's reason is told", change: func(t *testing.T, a *authority) { a.project(t, "token", "bad") }, want: "does not stand for the token"},
		"NoToken":    {reason: "the volume is not there yet", change: func(_ *testing.T, a *authority) { _ = os.Remove(filepath.Join(a.tokenDir, "token")) }, want: "read token"},
		"OtherServer": {reason: "the token goes to nobody whose root is not ours", change: func(t *testing.T, a *authority) {
			a.project(t, rootFile, string(identity.EncodeCertificates(newRoot(t).Roots())))
		}, want: "certificate signed by unknown authority"},
		"NoRoots":   {reason: "without roots nobody is believed", change: func(_ *testing.T, a *authority) { _ = os.Remove(filepath.Join(a.tokenDir, rootFile)) }, want: "there are no roots"},
		"Rubbish":   {reason: "roots that cannot be read are none", change: func(t *testing.T, a *authority) { a.project(t, rootFile, "rubbish") }, want: "there are no roots"},
		"OtherName": {reason: "a certificate for another name is another server's", change: func(_ *testing.T, a *authority) { a.address = strings.Replace(a.address, "localhost", "127.0.0.1", 1) }, want: "failed to verify certificate"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a := startAuthority(t, time.Hour)
			tc.change(t, a)
			k := a.keeper(t)
			k.renew(t.Context())
			if text := k.state.problem(time.Now()); !strings.Contains(text, tc.want) {
				t.Errorf("%s: /ready says %q, want %q in it", tc.reason, text, tc.want)
			}
		})
	}
}

func TestKeeperFollowsRoots(t *testing.T) {
	a := startAuthority(t, time.Hour)
	k := a.keeper(t)
	k.renew(t.Context())
	both := string(identity.EncodeCertificates(append(a.root.Roots(), newRoot(t).Roots()...)))
	a.project(t, rootFile, both)
	before := a.readPair(t)
	k.followRoots()
	got, err := os.ReadFile(filepath.Join(a.tlsDir, rootFile))
	if err != nil || string(got) != both {
		t.Errorf("the successor's root is not believed (%v)", err)
	}
	if a.readPair(t).SerialNumber.Cmp(before.SerialNumber) != 0 {
		t.Error("changed roots have changed the certificate")
	}
	a.project(t, rootFile, "rubbish")
	k.followRoots()
	if got, _ := os.ReadFile(filepath.Join(a.tlsDir, rootFile)); string(got) != both {
		t.Error("rubbish took the roots away")
	}
}

func TestRetryAfter(t *testing.T) {
	cases := map[string]struct {
		reason   string
		failures int
		valid    bool
		jitter   float64
		want     time.Duration
	}{
		"First":     {reason: "soon", failures: 1, want: 500 * time.Millisecond},
		"Fourth":    {reason: "twice as long each time", failures: 4, want: 4 * time.Second},
		"Without":   {reason: "nobody can use this proxy", failures: 50, want: 10 * time.Second},
		"With":      {reason: "there are hours left", failures: 50, valid: true, want: 2 * time.Minute},
		"Scattered": {reason: "up to half of it earlier", failures: 50, jitter: 1, want: 5 * time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := retryAfter(tc.failures, tc.valid, tc.jitter); got != tc.want {
				t.Errorf("%s: got %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}

func TestRenewAfter(t *testing.T) {
	for jitter, want := range map[float64]time.Duration{0: 54 * time.Minute, 0.5: time.Hour, 1: 66 * time.Minute} {
		if got := renewAfter(time.Hour, jitter); got != want {
			t.Errorf("renewAfter(1h, %v) = %v, want %v: a tenth more or less", jitter, got, want)
		}
	}
	if got := renewAfter(0, 0); got != time.Second {
		t.Errorf("a certificate that is over is renewed after %v, want a second: no busy loop", got)
	}
}
