package identity_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/proxy/identity"
)

// rung is a certificate of an authority, with its key.
type rung struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// below makes an authority under another one, or a root under the zero value.
func (r rung) below(t *testing.T, key crypto.Signer, change func(*x509.Certificate)) rung {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: start.Add(-time.Hour), NotAfter: start.Add(100 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if r.certificate != nil {
		template.Subject.CommonName = "below " + r.certificate.Subject.CommonName
	}
	if change != nil {
		change(template)
	}
	parent := r
	if r.certificate == nil {
		parent = rung{certificate: template, key: key}
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent.certificate, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return rung{certificate: certificate, key: key}
}

// issuer is the one at the top of a chain, as a Secret of cert-manager's has it.
func issuer(t *testing.T, roots []rung, chain ...rung) identity.Issuer {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(chain[0].key)
	if err != nil {
		t.Fatal(err)
	}
	i, err := identity.ParseIssuer(encodeRungs(chain), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), encodeRungs(roots))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func encodeRungs(rungs []rung) []byte {
	var list []*x509.Certificate
	for _, r := range rungs {
		list = append(list, r.certificate)
	}
	return identity.EncodeCertificates(list)
}

// TestTry has the certificate authorities that administrators bring.
func TestTry(t *testing.T) {
	key := func() crypto.Signer { return newKey(t, elliptic.P256()) }
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	root, other := rung{}.below(t, key(), nil), rung{}.below(t, key(), nil)
	middle := root.below(t, rsaKey, nil)
	lower := middle.below(t, key(), nil)
	shallow := rung{}.below(t, key(), func(c *x509.Certificate) { c.MaxPathLenZero = true })
	deep := []rung{lower, middle}
	for len(deep) < 5 {
		deep = slices.Insert(deep, 0, deep[0].below(t, key(), nil))
	}
	limited := func(change func(*x509.Certificate)) identity.Issuer {
		return issuer(t, []rung{root}, root.below(t, key(), change))
	}
	cases := map[string]struct {
		reason string
		issuer identity.Issuer
		// chain is how many certificates a proxy shows, want a part of the error.
		chain int
		want  string
	}{
		"Root":         {reason: "it is its own root", issuer: issuer(t, nil, root), chain: 1},
		"Intermediate": {reason: "the root's key is elsewhere; an RSA key is what cert-manager makes by default", issuer: issuer(t, []rung{root}, middle), chain: 2},
		"WholeChain":   {reason: "a root at the end of tls.crt is a root, and is shown to nobody", issuer: issuer(t, nil, lower, middle, root), chain: 3},
		"OneMoreRoot":  {reason: "ca.crt of an administrator who replaces his root himself", issuer: issuer(t, []rung{other, root}, middle), chain: 2},
		"OtherRoot":    {reason: "ca.crt of somebody else", issuer: issuer(t, []rung{other}, middle), want: "unknown authority"},
		"Gap":          {reason: "the one in between is in no file", issuer: issuer(t, []rung{root}, lower), want: "unknown authority"},
		"Shallow":      {reason: "a root that permits nothing between it and a leaf", issuer: issuer(t, []rung{shallow}, shallow.below(t, key(), nil)), want: "too many intermediates"},
		"Deep":         {reason: "longer than what is looked at of a peer", issuer: issuer(t, []rung{root}, deep...), want: "5 are allowed"},
		"OtherNames":   {reason: "not for the control plane's", issuer: limited(func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.com"} }), want: "not permitted"},
		"OtherURIs":    {reason: "not for this mesh's", issuer: limited(func(c *x509.Certificate) { c.PermittedURIDomains = []string{"example.com"} }), want: "not permitted"},
		"ServersOnly":  {reason: "a proxy is a client, too", issuer: limited(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), want: "incompatible key usage"},
		"Tomorrow":     {reason: "its time has not begun", issuer: limited(func(c *x509.Certificate) { c.NotBefore = start.Add(time.Hour) }), want: "not yet valid"},
	}
	names := []string{"crossfade-xds.crossfade-system.svc", "crossfade-xds.crossfade-system.svc.cluster.local"}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a := identity.Authority{Issuer: tc.issuer, Lifetime: time.Hour}
			err := a.Try("cluster.local", names, start, rand.Reader)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("%s: got %v, want an error with %q", tc.reason, err, tc.want)
			}
			if err != nil {
				return
			}
			leaf, err := a.SignWorkload(newCSR(t, newKey(t, elliptic.P256())), payments(), start, rand.Reader)
			if err != nil || len(leaf.Chain) != tc.chain {
				t.Errorf("%s: a proxy shows %d certificates, %v; want %d", tc.reason, len(leaf.Chain), err, tc.chain)
			}
		})
	}
}
