package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs the certificates of a test's proxies.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return authority{key: key, certificate: certificate}
}

// write makes the directory of a proxy with an identity, as its agent does.
func (a authority) write(t testing.TB, id string) string {
	t.Helper()
	uri, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), URIs: []*url.URL{uri},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	leaf, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return newFolder(t, encode("CERTIFICATE", leaf), key, encode("CERTIFICATE", a.certificate.Raw)).dir
}

// folder is what a proxy reads its identity from.
type folder struct {
	dir  string
	link int
}

// newFolder makes the directory of a proxy as its agent does: the files are links into
// one that is replaced as a whole.
func newFolder(t testing.TB, chain string, key *ecdsa.PrivateKey, roots string) *folder {
	t.Helper()
	f := &folder{dir: t.TempDir()}
	for name, content := range map[string]string{
		"certificate.yaml": fmt.Sprintf(`resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: identity
  tls_certificate: {certificate_chain: {filename: %[1]s/cert.pem}, private_key: {filename: %[1]s/key.pem}, watched_directory: {path: %[1]s}}
`, f.dir),
		"trust.yaml": fmt.Sprintf(`resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: trust
  validation_context: {trusted_ca: {filename: %[1]s/root.pem}, watched_directory: {path: %[1]s}}
`, f.dir),
	} {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"cert.pem", "key.pem", "root.pem"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(f.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.replace(chain, key, roots); err != nil {
		t.Fatal(err)
	}
	return f
}

// replace writes all of it anew, and puts it in place by one rename.
func (f *folder) replace(chain string, key *ecdsa.PrivateKey, roots string) error {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	f.link++
	next := fmt.Sprintf("..%d", f.link)
	if err := os.Mkdir(filepath.Join(f.dir, next), 0o755); err != nil {
		return err
	}
	for name, content := range map[string]string{"cert.pem": chain, "key.pem": encode("PRIVATE KEY", private), "root.pem": roots} {
		if err := os.WriteFile(filepath.Join(f.dir, next, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	if err := os.Symlink(next, filepath.Join(f.dir, "..next")); err != nil {
		return err
	}
	return os.Rename(filepath.Join(f.dir, "..next"), filepath.Join(f.dir, "..data"))
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encode(kind string, raw []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}))
}
