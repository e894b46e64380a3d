package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/crossfade-dev/crossfade/proxy/certificates"
	"github.com/crossfade-dev/crossfade/proxy/identity"
)

const (
	// lookAtRoots is how often the projected roots are looked at. The kubelet takes a
	// minute to bring them; a look is the reading of a small file.
	lookAtRoots = 5 * time.Second
	// askWithin bounds one request for a certificate.
	askWithin = 10 * time.Second

	// The agent's own metrics, beside Envoy's.
	metricExpiry   = "crossfade_proxy_certificate_expiry_timestamp_seconds"
	metricLifetime = "crossfade_proxy_certificate_lifetime_seconds"
)

// keeper gets this proxy's certificate and keeps it fresh. The key is made here,
// anew each time, and leaves the pod at no time.
type keeper struct {
	address  string // of the controller's endpoint for certificates
	store    store
	tokenDir string
	log      *slog.Logger
	now      func() time.Time
	jitter   func() float64
	// state tells /ready.
	state validity
	// first is closed when there is a certificate.
	first chan struct{}

	have credentials
	// notAfter is when the certificate ends; zero without one.
	notAfter time.Time
	// projected are the roots as the kubelet brought them last.
	projected []byte
	failures  int
}

// validity is until when there is nothing against the certificate, and what there
// is from then on. The keeper writes it, probes read it.
type validity struct {
	mutex sync.Mutex
	until time.Time
	text  string
	// begin and end are the certificate's own times; zero before the first one.
	begin, end time.Time
}

func (v *validity) set(text string, until time.Time) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	v.text, v.until = text, until
}

// holds notes which certificate there is.
func (v *validity) holds(leaf *x509.Certificate) {
	v.set("the certificate's time is over", leaf.NotAfter)
	v.mutex.Lock()
	defer v.mutex.Unlock()
	v.begin, v.end = leaf.NotBefore, leaf.NotAfter
}

// metrics are the certificate's times as Prometheus reads them; nothing before there
// is one. The lifetime tells how much of it is left, however the controller is set.
func (v *validity) metrics() string {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if v.end.IsZero() {
		return ""
	}
	return fmt.Sprintf(`# TYPE %[1]s gauge
%[1]s %[2]d
# TYPE %[3]s gauge
%[3]s %[4]d
`, metricExpiry, v.end.Unix(), metricLifetime, int64(v.end.Sub(v.begin)/time.Second))
}

// problem is what is wrong with the certificate now; empty when nothing is.
func (v *validity) problem(now time.Time) string {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if now.Before(v.until) {
		return ""
	}
	return v.text
}

func newKeeper(o Options, log *slog.Logger, now func() time.Time, jitter func() float64) *keeper {
	return &keeper{
		address: o.Certificates, store: store{dir: o.TLSDir}, tokenDir: o.TokenDir,
		log: log, now: now, jitter: jitter, first: make(chan struct{}),
	}
}

// prepare takes over what an agent before this one has left: a container that is
// restarted while the controller is away goes on with it.
func (k *keeper) prepare() error {
	if err := k.store.prepare(); err != nil {
		return err
	}
	k.state.set("there is no certificate yet", time.Time{})
	c, ok := k.store.read()
	if !ok {
		return nil
	}
	leaf, err := k.check(c)
	if err != nil {
		k.log.Info("the certificate of an earlier agent is not used", "why", err.Error())
		return nil
	}
	k.have = c
	k.got(leaf)
	return nil
}

// run keeps the certificate fresh until ctx ends.
func (k *keeper) run(ctx context.Context) {
	wait := time.Duration(0)
	for {
		due := time.NewTimer(wait)
		for asking := true; asking; {
			select {
			case <-ctx.Done():
				due.Stop()
				return
			case <-time.After(lookAtRoots):
				k.followRoots()
			case <-due.C:
				asking = false
			}
		}
		k.followRoots()
		wait = k.renew(ctx)
	}
}

// renew asks for a certificate, and returns how long to wait until the next time.
func (k *keeper) renew(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	told, err := k.ask(ctx)
	if err == nil {
		k.failures = 0
		wait := renewAfter(told, k.jitter())
		k.log.Info("have a certificate", "until", k.notAfter.UTC().Format(time.RFC3339), "renewIn", wait.Round(time.Second).String())
		return wait
	}
	k.failures++
	valid := k.now().Before(k.notAfter)
	wait := retryAfter(k.failures, valid, k.jitter())
	if !valid {
		k.state.set("there is no valid certificate: "+err.Error(), time.Time{})
	}
	k.log.Error("no certificate", "error", err.Error(), "inARow", k.failures, "retryIn", wait.Round(time.Millisecond).String(), "haveOneUntil", k.notAfter.UTC().Format(time.RFC3339))
	return wait
}

// ask makes a key, has it signed, and writes both.
func (k *keeper) ask(ctx context.Context) (time.Duration, error) {
	token, err := os.ReadFile(filepath.Join(k.tokenDir, "token"))
	if err != nil {
		return 0, fmt.Errorf("read token: %w", err)
	}
	keyPEM, csr, err := newRequest()
	if err != nil {
		return 0, err
	}
	client, err := k.client()
	if err != nil {
		return 0, err
	}
	answer, err := certificates.Ask(ctx, client, k.address, certificates.Request{Token: string(bytes.TrimSpace(token)), CSR: string(csr)})
	if err != nil {
		return 0, err
	}
	c := credentials{cert: []byte(answer.Chain), key: keyPEM, root: []byte(answer.Bundle)}
	leaf, err := k.check(c)
	if err != nil {
		return 0, fmt.Errorf("read the answer of %s: %w", k.address, err)
	}
	if err := k.store.write(c, k.now()); err != nil {
		return 0, fmt.Errorf("write certificate: %w", err)
	}
	k.have = c
	k.got(leaf)
	return time.Duration(answer.RenewAfter), nil
}

// got notes that there is a certificate.
func (k *keeper) got(leaf *x509.Certificate) {
	before := k.notAfter
	k.notAfter = leaf.NotAfter
	k.state.holds(leaf)
	if before.IsZero() {
		close(k.first)
	}
}

// newRequest makes a key and a signing request, both as PEM.
func newRequest() (keyPEM, csr []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	// No name in it: the controller would not believe one.
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a signing request: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}), nil
}

// client believes the roots that the kubelet brought, and those of the last
// answer: the token goes to nobody else.
func (k *keeper) client() (*http.Client, error) {
	roots := x509.NewCertPool()
	any := roots.AppendCertsFromPEM(k.projected)
	if last := roots.AppendCertsFromPEM(k.have.root); !any && !last {
		return nil, fmt.Errorf("there are no roots in %s", filepath.Join(k.tokenDir, rootFile))
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots},
		DisableKeepAlives: true, // The next request is due in hours.
	}}, nil
}

// check reads a certificate, and says whether it can be used: it is for this key,
// chains up to these roots, and is valid now.
func (k *keeper) check(c credentials) (*x509.Certificate, error) {
	if _, err := tls.X509KeyPair(c.cert, c.key); err != nil {
		return nil, fmt.Errorf("certificate and key do not belong together: %w", err)
	}
	chain, err := identity.ParseCertificates(c.cert)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	roots, err := identity.ParseCertificates(c.root)
	if err != nil {
		return nil, fmt.Errorf("roots: %w", err)
	}
	if len(chain) == 0 || len(chain[0].URIs) != 1 {
		return nil, errors.New("the certificate has no identity")
	}
	id, err := identity.ParseID(chain[0].URIs[0].String())
	if err != nil {
		return nil, err
	}
	_, err = identity.Trust{TrustDomain: id.TrustDomain, Roots: roots}.Verify(chain, k.now())
	return chain[0], err
}

// followRoots takes over the roots that the kubelet has brought when they have
// changed. The answer's and the kubelet's are the same bundle, earlier or later:
// what came last counts, and within minutes that is the newest.
func (k *keeper) followRoots() {
	roots, err := os.ReadFile(filepath.Join(k.tokenDir, rootFile))
	if err != nil || bytes.Equal(roots, k.projected) {
		return
	}
	if parsed, err := identity.ParseCertificates(roots); err != nil || len(parsed) == 0 {
		return // What cannot be read is worse than what there was.
	}
	k.projected = roots
	if k.have.cert == nil || bytes.Equal(roots, k.have.root) {
		return
	}
	k.have.root = roots
	if err := k.store.write(k.have, k.now()); err != nil {
		k.log.Error("the changed roots are not written", "error", err.Error())
		k.projected = nil // Tried again at the next look.
		return
	}
	k.log.Info("the mesh's roots have changed")
}
