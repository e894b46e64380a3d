package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"strings"
)

// MaxCSR is the size, in bytes, above which a signing request is not looked at.
// An honest one with a P-256 key has about 500.
const MaxCSR = 8 << 10

// ParseCSR returns the public key of a signing request (PEM), after checking that
// the sender has the private one. Everything else in it, names too, is ignored:
// who the sender is says his token.
//
// Only ECDSA on P-256 is taken. One kind of key is one kind of code that checks
// signatures, and RSA would let a sender choose how much work a check is.
func ParseCSR(text []byte) (*ecdsa.PublicKey, error) {
	if len(text) > MaxCSR {
		return nil, Refuse(ReasonTooLarge, "the signing request has %d bytes: %d are allowed", len(text), MaxCSR)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || strings.TrimSpace(string(rest)) != "" {
		return nil, Refuse(ReasonMalformed, "the signing request is not one PEM block of type CERTIFICATE REQUEST")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, Refuse(ReasonMalformed, "the signing request cannot be read: %v", err)
	}
	key, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, Refuse(ReasonKey, "the signing request's key is not ECDSA on P-256")
	}
	if err := request.CheckSignature(); err != nil {
		return nil, Refuse(ReasonKey, "the signing request is not signed with its own key: %v", err)
	}
	return key, nil
}
