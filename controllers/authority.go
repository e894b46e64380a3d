package controllers

import (
	"crypto/tls"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/crossfade-dev/crossfade/proxy/certificates"
	"github.com/crossfade-dev/crossfade/proxy/identity"
)

// Authority is the mesh's certificate authority as this replica knows it: it
// signs, says whom to believe, and has the control plane's own certificate. It
// can be handed on before the root is known: until then handshakes fail, and
// whoever dials comes again.
type Authority struct {
	trustDomain string
	names       []string
	lifetimes   identity.Lifetimes
	now         func() time.Time
	random      io.Reader

	mu          sync.Mutex
	state       identity.State
	own         ownCertificate
	subscribers map[chan struct{}]struct{}
}

// ownCertificate is what this replica's servers show, with whose signature, and
// when to get the next one.
type ownCertificate struct {
	certificate *tls.Certificate
	issuer      string
	renew       time.Time
}

// newAuthority makes one that knows no root yet. The DNS names are those under
// which the control plane is dialled.
func newAuthority(o AuthorityOptions) *Authority {
	return &Authority{
		trustDomain: o.TrustDomain, names: o.serverNames(), lifetimes: o.Lifetimes, now: o.Now, random: o.Random,
		subscribers: map[chan struct{}]struct{}{},
	}
}

// set takes over what the Secrets hold.
func (a *Authority) set(state identity.State) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	before, after := a.state.Bundle(now), state.Bundle(now)
	a.state = state
	if string(identity.EncodeCertificates(before)) == string(identity.EncodeCertificates(after)) {
		return
	}
	for ch := range a.subscribers {
		select {
		case ch <- struct{}{}:
		default: // A signal is waiting already.
		}
	}
}

// get returns the present state.
func (a *Authority) get() identity.State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

// Bundle are all the roots to believe (PEM): what every trust bundle, and a
// webhook's caBundle, has to be. It is empty until the root is known.
func (a *Authority) Bundle() []byte {
	return identity.EncodeCertificates(a.get().Bundle(a.now()))
}

// Subscribe returns a channel that gets a signal after the bundle has changed, and
// a function that ends the subscription.
func (a *Authority) Subscribe() (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.subscribers[ch] = struct{}{}
	return ch, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.subscribers, ch)
	}
}

// trust is whom this replica believes now.
func (a *Authority) trust() identity.Trust {
	return identity.Trust{TrustDomain: a.trustDomain, Roots: a.get().Bundle(a.now())}
}

// sign answers a request for a certificate.
func (a *Authority) sign(csr []byte, w identity.Workload) (certificates.Answer, error) {
	now, state := a.now(), a.get()
	leaf, err := identity.Authority{Issuer: state.Signing, Lifetime: a.lifetimes.Leaf}.SignWorkload(csr, w, now, a.random)
	if err != nil {
		return certificates.Answer{}, err
	}
	return certificates.Answer{
		Chain:      string(identity.EncodeCertificates(leaf.Chain)),
		Bundle:     string(identity.EncodeCertificates(state.Bundle(now))),
		RenewAfter: certificates.Duration(leaf.RenewAfter(now)),
	}, nil
}

// try says what is wrong with what an issuer would sign.
func (a *Authority) try(issuer identity.Issuer) error {
	return identity.Authority{Issuer: issuer, Lifetime: a.lifetimes.Leaf}.Try(a.trustDomain, a.names, a.now(), a.random)
}

// GetCertificate is the control plane's own certificate, for tls.Config. It is
// made when it is first asked for, and anew at half of its life and when another
// root signs.
func (a *Authority) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, issuer := a.now(), a.state.Signing.Fingerprint()
	if a.own.certificate != nil && a.own.issuer == issuer && now.Before(a.own.renew) {
		return a.own.certificate, nil
	}
	made, err := identity.Authority{Issuer: a.state.Signing, Lifetime: a.lifetimes.Leaf}.SignServer(a.names, now, a.random)
	if err != nil {
		return nil, err
	}
	a.own = ownCertificate{certificate: &made, issuer: issuer, renew: now.Add(made.Leaf.NotAfter.Sub(now) / 2)}
	return &made, nil
}

// servingUntil is when the control plane's own certificate ends, in seconds since
// 1970; 0 before there is one.
func (a *Authority) servingUntil() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.own.certificate == nil {
		return 0
	}
	return a.own.certificate.Leaf.NotAfter.Unix()
}

// Ready says why this replica cannot show a certificate, if it cannot.
func (a *Authority) Ready() error {
	if a.get().Signing.IsZero() {
		return errors.New("the mesh's root is not known yet")
	}
	_, err := a.GetCertificate(nil)
	return err
}

// ServerConfig is for servers that ask nobody for a certificate.
func (a *Authority) ServerConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: a.GetCertificate}
}

// mutualConfig is for servers that serve nobody without a certificate of the mesh.
// It is checked here, with the roots of this moment, before a byte of what the
// peer has to say is read.
func (a *Authority) mutualConfig() *tls.Config {
	c := a.ServerConfig()
	c.NextProtos = []string{"h2"}
	c.ClientAuth = tls.RequireAnyClientCert
	// A resumed session would be verified by roots of the past.
	c.SessionTicketsDisabled = true
	c.VerifyConnection = func(state tls.ConnectionState) error {
		_, err := a.trust().Verify(state.PeerCertificates, a.now())
		return err
	}
	return c
}
