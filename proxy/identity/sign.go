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
	uri, err := url.Parse(w.ID.String())
	if err != nil {
		return Leaf{}, fmt.Errorf("write identity: %w", err)
	}
	return a.sign(&x509.Certificate{
		Subject: pkix.Name{SerialNumber: w.PodUID},
		URIs:    []*url.URL{uri},
		// A sidecar is client and server with the same certificate.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, key, now, random)
}

// SignServer makes a key and a certificate for a server of the control plane that
// is reached by these DNS names.
func (a Authority) SignServer(names []string, now time.Time, random io.Reader) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a server's key: %w", err)
	}
	leaf, err := a.sign(&x509.Certificate{
		DNSNames:    names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, key.Public(), now, random)
	if err != nil {
		return tls.Certificate{}, err
	}
	out := tls.Certificate{PrivateKey: key, Leaf: leaf.Chain[0]}
	for _, c := range leaf.Chain {
		out.Certificate = append(out.Certificate, c.Raw)
	}
	return out, nil
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
