package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net/url"
	"time"
)

// Workload is for whom a certificate is: a pod, and the ServiceAccount that it
// runs under.
type Workload struct {
	ID     ID
	PodUID string
}

// Authority signs certificates. Its zero value signs nothing.
type Authority struct {
	Issuer Issuer
	// Lifetime is how long a leaf is valid, if its issuer is.
	Lifetime time.Duration
}

// Leaf is a certificate that was signed.
type Leaf struct {
	// Chain is the certificate and what stands between it and its root.
	Chain               []*x509.Certificate
	NotBefore, NotAfter time.Time
}

// RenewAfter is how long from now half of the leaf's life is over.
func (l Leaf) RenewAfter(now time.Time) time.Duration {
	return max(l.NotAfter.Sub(now)/2, 0)
}

// SignWorkload signs the key of a request (PEM, see ParseCSR) for a workload.
func (a Authority) SignWorkload(csr []byte, w Workload, now time.Time, random io.Reader) (Leaf, error) {
	key, err := ParseCSR(csr)
	if err != nil {
		return Leaf{}, err
	}
	if err := w.ID.Validate(); err != nil {
		return Leaf{}, err
	}
	if w.PodUID == "" {
		return Leaf{}, Refuse(ReasonMalformed, "a certificate is for one pod, and this request names none")
	}
	template, err := workloadTemplate(w)
	if err != nil {
		return Leaf{}, err
	}
	return a.sign(template, key, now, random)
}

func workloadTemplate(w Workload) (*x509.Certificate, error) {
	uri, err := url.Parse(w.ID.String())
	if err != nil {
		return nil, fmt.Errorf("write identity: %w", err)
	}
	return &x509.Certificate{
		Subject: pkix.Name{SerialNumber: w.PodUID},
		URIs:    []*url.URL{uri},
		// A sidecar is client and server with the same certificate.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, nil
}

func serverTemplate(names []string) *x509.Certificate {
	return &x509.Certificate{DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
}

// SignServer makes a key and a certificate for a server of the control plane that
// is reached by these DNS names.
func (a Authority) SignServer(names []string, now time.Time, random io.Reader) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a server's key: %w", err)
	}
	leaf, err := a.sign(serverTemplate(names), key.Public(), now, random)
	if err != nil {
		return tls.Certificate{}, err
	}
	out := tls.Certificate{PrivateKey: key, Leaf: leaf.Chain[0]}
	for _, c := range leaf.Chain {
		out.Certificate = append(out.Certificate, c.Raw)
	}
	return out, nil
}

// Try says what is wrong with what this authority would sign for proxies of a trust
// domain, and for servers with these names, in the eyes of those who have its roots:
// roots that are not above it, a path that is too long, constraints of names. It keeps
// nothing of what it signs.
func (a Authority) Try(trustDomain string, names []string, now time.Time, random io.Reader) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	server, err := a.sign(serverTemplate(names), key.Public(), now, random)
	if err != nil {
		return err
	}
	roots, between := pools(a.Issuer.Roots(), server.Chain[1:])
	for _, name := range names {
		if _, err := server.Chain[0].Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: between, CurrentTime: now}); err != nil {
			return fmt.Errorf("nobody would believe a certificate for %s: %w", name, err)
		}
	}
	template, err := workloadTemplate(Workload{ID: ID{TrustDomain: trustDomain, Namespace: "default", ServiceAccount: "default"}})
	if err != nil {
		return err
	}
	proxy, err := a.sign(template, key.Public(), now, random)
	if err != nil {
		return err
	}
	if _, err := (Trust{TrustDomain: trustDomain, Roots: a.Issuer.Roots()}).Verify(proxy.Chain, now); err != nil {
		return fmt.Errorf("nobody would believe a proxy's certificate: %w", err)
	}
	return nil
}

// sign completes a template and signs it.
func (a Authority) sign(template *x509.Certificate, key crypto.PublicKey, now time.Time, random io.Reader) (Leaf, error) {
	if a.Issuer.IsZero() {
		return Leaf{}, Refuse(ReasonInternal, "there is no root to sign with yet")
	}
	end := a.Issuer.NotAfter()
	if !now.Before(end) {
		return Leaf{}, Refuse(ReasonInternal, "the root's time was over at %s: replace it", end.UTC().Format(time.RFC3339))
	}
	// A leaf that outlived its issuer would fail before its owner renews it.
	if own := now.Add(a.Lifetime); own.Before(end) {
		end = own
	}
	serial, err := serialNumber(random)
	if err != nil {
		return Leaf{}, err
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = now.Add(-backdate), end
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageDigitalSignature
	raw, err := x509.CreateCertificate(random, template, a.Issuer.chain[0], key, a.Issuer.key)
	if err != nil {
		return Leaf{}, fmt.Errorf("sign certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		return Leaf{}, fmt.Errorf("read certificate back: %w", err)
	}
	chain := []*x509.Certificate{certificate}
	for _, c := range a.Issuer.chain {
		if !selfSigned(c) { // Who verifies has the roots.
			chain = append(chain, c)
		}
	}
	return Leaf{Chain: chain, NotBefore: certificate.NotBefore, NotAfter: certificate.NotAfter}, nil
}
