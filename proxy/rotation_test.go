package proxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/proxy/identity"
)

// rotating is the control plane's part of identity with short lifetimes, and what agents
// and kubelets do with it.
type rotating struct {
	mu      sync.Mutex
	state   identity.State
	members []*member
	stop    chan struct{}
	done    sync.WaitGroup
}

// member is one proxy.
type member struct {
	id     identity.ID
	key    *ecdsa.PrivateKey
	chain  string
	renew  time.Time
	roots  string
	folder *folder
}

func rotationLifetimes() identity.Lifetimes {
	return identity.Lifetimes{Root: time.Hour, Leaf: 20 * time.Second, Spread: 3 * time.Second}
}

func newRotating(t *testing.T) *rotating {
	t.Helper()
	r := &rotating{stop: make(chan struct{})}
	if err := r.step(time.Now()); err != nil {
		t.Fatal(err)
	}
	return r
}

// join makes the folder of a proxy with its first certificate.
func (r *rotating) join(t *testing.T, id string) string {
	t.Helper()
	parsed, err := identity.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{id: parsed}
	if err := r.certify(m, time.Now()); err != nil {
		t.Fatal(err)
	}
	m.roots = r.bundle(time.Now())
	m.folder = newFolder(t, m.chain, m.key, m.roots)
	r.members = append(r.members, m)
	return m.folder.dir
}

func (r *rotating) bundle(now time.Time) string {
	return string(identity.EncodeCertificates(r.state.Bundle(now)))
}

// step is one look of the leader's.
func (r *rotating) step(now time.Time) error {
	published := true
	for _, m := range r.members {
		published = published && m.roots == r.bundle(now)
	}
	next, err := r.state.Next(identity.Step{
		Now: now, Published: published, TrustDomain: "cluster.local", Lifetimes: rotationLifetimes(), Random: rand.Reader,
	})
	if err != nil {
		return err
	}
	r.state = next
	return nil
}

// certify signs a new key of a proxy.
func (r *rotating) certify(m *member, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return err
	}
	leaf, err := identity.Authority{Issuer: r.state.Signing, Lifetime: rotationLifetimes().Leaf}.SignWorkload(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}), identity.Workload{ID: m.id, PodUID: "uid"}, now, rand.Reader)
	if err != nil {
		return err
	}
	m.key, m.chain, m.renew = key, string(identity.EncodeCertificates(leaf.Chain)), now.Add(leaf.RenewAfter(now))
	return nil
}

// turn looks once at all that is due.
func (r *rotating) turn(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.step(now); err != nil {
		return err
	}
	for _, m := range r.members {
		due, roots := !now.Before(m.renew), r.bundle(now)
		if !due && roots == m.roots {
			continue
		}
		if due {
			if err := r.certify(m, now); err != nil {
				return err
			}
		}
		m.roots = roots
		if err := m.folder.replace(m.chain, m.key, m.roots); err != nil {
			return err
		}
	}
	return nil
}

// run goes on until the test ends.
func (r *rotating) run(t *testing.T) {
	r.done.Go(func() {
		for tick := time.NewTicker(250 * time.Millisecond); ; {
			select {
			case <-r.stop:
				tick.Stop()
				return
			case <-tick.C:
				if err := r.turn(time.Now()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	t.Cleanup(func() { close(r.stop); r.done.Wait() })
}

// replace is an administrator who brings another root.
func (r *rotating) replace(t *testing.T) string {
	t.Helper()
	root, err := identity.NewRoot("cluster.local", time.Now(), time.Hour, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Wanted, r.state.Ours = root, false
	return root.Fingerprint()
}

// await waits until the state is as it should be.
func (r *rotating) await(t *testing.T, what string, is func(identity.State) bool) {
	t.Helper()
	for late := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		r.mu.Lock()
		ok := is(r.state)
		r.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("it does not come to this: %s", what)
		}
	}
}

// TestRotationUnderLoad replaces the root twice while real sidecars with short-lived
// certificates carry load. At the end nobody believes a root but the last one.
func TestRotationUnderLoad(t *testing.T) {
	r := newRotating(t)
	w := newMeshWorldOf(t, func(id string) string { return r.join(t, id) }, 5)
	r.run(t)
	load := w.load(t)
	shown := w.shows(t, r)
	stale := w.credentials(t, r)
	for range 2 {
		last := r.replace(t)
		r.await(t, "the new root signs", func(s identity.State) bool { return s.Signing.Fingerprint() == last })
	}
	r.await(t, "the former roots are believed no more", func(s identity.State) bool { return len(s.Former) == 0 })
	r.mu.Lock()
	roots := r.state.Bundle(time.Now())
	r.mu.Unlock()
	if len(roots) != 1 {
		t.Fatalf("%d roots are believed, want the last one", len(roots))
	}
	// Envoy reads a renamed file at once; the load goes on meanwhile.
	for late := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if now := w.shows(t, r); now.CheckSignatureFrom(roots[0]) == nil {
			break
		} else if time.Now().After(late) {
			t.Fatalf("the sidecar shows a certificate of %s", now.Issuer)
		}
	}
	if shown.CheckSignatureFrom(roots[0]) == nil {
		t.Error("the first certificate is the last root's, so nothing was replaced")
	}
	load.check(t)
	if _, err := w.handshake(t.Context(), stale); err == nil {
		t.Error("a certificate of the first root still opens a connection")
	}
}

// credentials are those of the first member just now, as somebody might have copied them.
func (w *meshWorld) credentials(t *testing.T, r *rotating) tls.Certificate {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	chain, err := identity.ParseCertificates([]byte(r.members[0].chain))
	if err != nil {
		t.Fatal(err)
	}
	out := tls.Certificate{PrivateKey: r.members[0].key}
	for _, c := range chain {
		out.Certificate = append(out.Certificate, c.Raw)
	}
	return out
}

// shows is the certificate of stable's sidecar.
func (w *meshWorld) shows(t *testing.T, r *rotating) *x509.Certificate {
	t.Helper()
	certificate, err := w.handshake(t.Context(), w.credentials(t, r))
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// handshake connects to stable's sidecar from the pod that has none. Whether the
// certificate was taken is known when an answer comes.
func (w *meshWorld) handshake(ctx context.Context, own tls.Certificate) (*x509.Certificate, error) {
	raw, err := w.plain.dial(ctx, "", "10.203.0.11:8080")
	if err != nil {
		return nil, err
	}
	defer func() { _ = raw.Close() }()
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	c := tls.Client(raw, &tls.Config{
		Certificates: []tls.Certificate{own}, NextProtos: []string{"crossfade-http/1.1"},
		InsecureSkipVerify: true, // The certificate is what is asked for.
	})
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")); err != nil {
		return nil, err
	}
	if n, err := c.Read(make([]byte, 1)); n == 0 {
		return nil, errors.Join(errors.New("no answer"), err)
	}
	return c.ConnectionState().PeerCertificates[0], nil
}
