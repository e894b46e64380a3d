package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"
)

// backdate is how far before its making a certificate begins to be valid: clocks
// of two machines differ.
const backdate = time.Minute

// Issuer is what certificates are signed with: a root and its key, or the
// administrator's intermediate certificate, its key and the roots above it. The
// zero value is none.
type Issuer struct {
	// chain begins with the certificate whose key signs; those above it follow.
	chain []*x509.Certificate
	key   crypto.Signer
	// roots are what a leaf of this issuer chains up to.
	roots []*x509.Certificate
}

// NewRoot makes a self-signed root for a trust domain.
func NewRoot(trustDomain string, now time.Time, lifetime time.Duration, random io.Reader) (Issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return Issuer{}, fmt.Errorf("make the root's key: %w", err)
	}
	serial, err := serialNumber(random)
	if err != nil {
		return Issuer{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		// Two roots of one mesh must not have one name: some verifiers look for an
		// issuer by its name and try only the first that they find.
		Subject:               pkix.Name{CommonName: "Crossfade root of " + cut(trustDomain, 40), SerialNumber: hex.EncodeToString(serial.Bytes())},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(lifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	raw, err := x509.CreateCertificate(random, template, template, key.Public(), key)
	if err != nil {
		return Issuer{}, fmt.Errorf("sign the root: %w", err)
	}
	root, err := x509.ParseCertificate(raw)
	if err != nil {
		return Issuer{}, fmt.Errorf("read the root back: %w", err)
	}
	return Issuer{chain: []*x509.Certificate{root}, key: key, roots: []*x509.Certificate{root}}, nil
}

// cut shortens a name to what a certificate's field can hold.
func cut(s string, n int) string { return s[:min(len(s), n)] }

// ParseIssuer reads an issuer (PEM) as a Secret of type kubernetes.io/tls has it:
// the certificate, with those above it if there are any; its key; and further
// roots, which may be none when the certificate is a root itself.
func ParseIssuer(certificate, key, roots []byte) (Issuer, error) {
	chain, err := ParseCertificates(certificate)
	if err != nil {
		return Issuer{}, fmt.Errorf("read tls.crt: %w", err)
	}
	if len(chain) == 0 {
		return Issuer{}, errors.New("read tls.crt: there is no certificate in it")
	}
	signer, err := parseKey(key)
	if err != nil {
		return Issuer{}, fmt.Errorf("read tls.key: %w", err)
	}
	further, err := ParseCertificates(roots)
	if err != nil {
		return Issuer{}, fmt.Errorf("read ca.crt: %w", err)
	}
	i := Issuer{chain: chain, key: signer}
	for _, c := range append(chain, further...) {
		known := slices.ContainsFunc(i.roots, c.Equal)
		if c.IsCA && !known && selfSigned(c) {
			i.roots = append(i.roots, c)
		}
	}
	return i, i.check()
}

// check says why this issuer cannot sign, if it cannot.
func (i Issuer) check() error {
	own := i.chain[0]
	public, ok := own.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !ok || !public.Equal(i.key.Public()):
		return errors.New("tls.key is not the key of tls.crt")
	case !own.BasicConstraintsValid || !own.IsCA:
		return errors.New("tls.crt is not the certificate of a certificate authority")
	case own.KeyUsage != 0 && own.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("tls.crt may not sign certificates")
	case len(i.roots) == 0:
		return errors.New("tls.crt is not a root, and ca.crt has none")
	}
	return nil
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(c) == nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("there is no PEM block in it")
	}
	var key any
	var err error
	switch block.Type {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("it cannot sign")
	}
	return signer, nil
}

// Encode returns the issuer (PEM) as ParseIssuer reads it.
func (i Issuer) Encode() (certificate, key, roots []byte, err error) {
	if i.IsZero() {
		return nil, nil, nil, errors.New("encode issuer: there is none")
	}
	raw, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("encode key: %w", err)
	}
	return EncodeCertificates(i.chain), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), EncodeCertificates(i.roots), nil
}

// IsZero says whether there is no issuer.
func (i Issuer) IsZero() bool { return len(i.chain) == 0 }

// Fingerprint tells two issuers apart.
func (i Issuer) Fingerprint() string {
	if i.IsZero() {
		return ""
	}
	sum := sha256.Sum256(i.chain[0].Raw)
	return hex.EncodeToString(sum[:])
}

// NotBefore and NotAfter bound the time in which what it signs is valid.
func (i Issuer) NotBefore() time.Time { return i.chain[0].NotBefore }

// NotAfter is when the first certificate of its chain ends.
func (i Issuer) NotAfter() time.Time {
	end := i.chain[0].NotAfter
	for _, c := range i.chain[1:] {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}

// Roots are what its leaves chain up to.
func (i Issuer) Roots() []*x509.Certificate { return i.roots }

// serialNumber is random, so that nobody can foresee what will be signed.
func serialNumber(random io.Reader) (*big.Int, error) {
	raw := make([]byte, 16)
	if _, err := io.ReadFull(random, raw); err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	raw[0] &= 0x7f // A serial number is positive,
	raw[0] |= 0x40 // and has the same length each time.
	return new(big.Int).SetBytes(raw), nil
}
