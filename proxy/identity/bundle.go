package identity

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ParseCertificates reads any number of certificates (PEM).
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			if strings.TrimSpace(string(text)) != "" {
				return nil, errors.New("there is something in it that is no PEM block")
			}
			return out, nil
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("there is a PEM block of type %q in it", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out, text = append(out, c), rest
	}
}

// EncodeCertificates is the reverse of ParseCertificates.
func EncodeCertificates(certificates []*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, c := range certificates {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return out.Bytes()
}

// Bundle puts roots together: each once, without those whose time is over, in an
// order that depends on nothing but the roots, so that all who make it from the
// same roots make the same bytes.
func Bundle(now time.Time, roots ...*x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, r := range roots {
		if now.Before(r.NotAfter) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *x509.Certificate) int {
		if c := a.NotBefore.Compare(b.NotBefore); c != 0 {
			return c
		}
		return bytes.Compare(a.Raw, b.Raw)
	})
	return slices.CompactFunc(out, func(a, b *x509.Certificate) bool { return a.Equal(b) })
}
