package identity

import (
	"crypto/x509"
	"errors"
	"time"
)

// maxChain is how many certificates a peer may show: its own and a few between it
// and a root. Each one costs a check of a signature.
const maxChain = 5

// Peer is somebody whose certificate was verified.
type Peer struct {
	ID ID
	// PodUID is the pod that the certificate was made for.
	PodUID string
	// NotAfter is when the certificate ends.
	NotAfter time.Time
}

// Trust is whom to believe.
type Trust struct {
	TrustDomain string
	Roots       []*x509.Certificate
}

// Verify checks what a peer has shown in a TLS handshake, its own certificate
// first, and says who it is. TLS itself has checked that the peer has the key.
func (t Trust) Verify(chain []*x509.Certificate, now time.Time) (Peer, error) {
	if len(chain) == 0 {
		return Peer{}, Refuse(ReasonNoCertificate, "the peer shows no certificate")
	}
	if len(chain) > maxChain {
		return Peer{}, Refuse(ReasonTooLarge, "the peer shows %d certificates: %d are allowed", len(chain), maxChain)
	}
	if err := t.verifyChain(chain, now); err != nil {
		return Peer{}, err
	}
	own := chain[0]
	if own.IsCA {
		return Peer{}, Refuse(ReasonUntrusted, "the peer's certificate is that of an authority")
	}
	if len(own.URIs) != 1 {
		return Peer{}, Refuse(ReasonMalformed, "the peer's certificate has %d URIs: an identity is exactly one", len(own.URIs))
	}
	id, err := ParseID(own.URIs[0].String())
	if err != nil {
		return Peer{}, err
	}
	if id.TrustDomain != t.TrustDomain {
		return Peer{}, Refuse(ReasonTrustDomain, "%s is of the trust domain %s: this is %s", id, id.TrustDomain, t.TrustDomain)
	}
	return Peer{ID: id, PodUID: own.Subject.SerialNumber, NotAfter: own.NotAfter}, nil
}

func pools(roots, between []*x509.Certificate) (rootPool, betweenPool *x509.CertPool) {
	rootPool, betweenPool = x509.NewCertPool(), x509.NewCertPool()
	for _, r := range roots {
		rootPool.AddCert(r)
	}
	for _, c := range between {
		betweenPool.AddCert(c)
	}
	return rootPool, betweenPool
}

func (t Trust) verifyChain(chain []*x509.Certificate, now time.Time) error {
	roots, between := pools(t.Roots, chain[1:])
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Refuse(ReasonExpired, "the peer's certificate is valid from %s to %s, and now it is %s",
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return Refuse(ReasonUntrusted, "the peer's certificate is not one of this mesh: %v", err)
}
