package identity_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/proxy/identity"
)

// start is when all tests begin.
var start = time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)

func newRoot(t testing.TB, now time.Time, lifetime time.Duration) identity.Issuer {
	t.Helper()
	root, err := identity.NewRoot("cluster.local", now, lifetime, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newCSR asks under a name that nobody should believe.
func newCSR(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	raw, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "system:masters", SerialNumber: "somebody"},
		DNSNames: []string{"crossfade-controller.crossfade-system.svc"},
		URIs:     []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/kube-system/sa/admin"}},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: raw})
}

func payments() identity.Workload {
	return identity.Workload{ID: identity.ID{TrustDomain: "cluster.local", Namespace: "shop", ServiceAccount: "payments"}, PodUID: "6f1c"}
}

func TestParseCSR(t *testing.T) {
	good := newCSR(t, newKey(t, elliptic.P256()))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	forged := func() []byte {
		block, _ := pem.Decode(good)
		raw := bytes.Clone(block.Bytes)
		raw[len(raw)-1] ^= 1
		return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: raw})
	}
	cases := map[string]struct {
		reason string
		csr    []byte
		want   identity.Reason
	}{
		"Good":       {reason: "P-256, signed with its own key", csr: good},
		"NewlineEnd": {reason: "white space after the block is nothing", csr: append(bytes.Clone(good), '\n')},
		"P384":       {reason: "one kind of key only", csr: newCSR(t, newKey(t, elliptic.P384())), want: identity.ReasonKey},
		"RSA":        {reason: "one kind of key only", csr: newCSR(t, rsaKey), want: identity.ReasonKey},
		"Forged":     {reason: "who does not have the key does not get a certificate for it", csr: forged(), want: identity.ReasonKey},
		"TooLarge":   {reason: "not even decoded", csr: append(bytes.Clone(good), make([]byte, identity.MaxCSR)...), want: identity.ReasonTooLarge},
		"Empty":      {reason: "nothing is no request", csr: nil, want: identity.ReasonMalformed},
		"Two":        {reason: "one request at a time", csr: append(bytes.Clone(good), good...), want: identity.ReasonMalformed},
		"OtherBlock": {reason: "a certificate is no request", csr: bytes.ReplaceAll(good, []byte("CERTIFICATE REQUEST"), []byte("CERTIFICATE")), want: identity.ReasonMalformed},
		"Rubbish":    {reason: "a block of rubbish", csr: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("rubbish")}), want: identity.ReasonMalformed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := identity.ParseCSR(tc.csr)
			if (err == nil) != (tc.want == "") || err != nil && identity.ReasonOf(err) != tc.want {
				t.Errorf("%s: got %v, want reason %q", tc.reason, err, tc.want)
			}
		})
	}
}

func TestSignWorkload(t *testing.T) {
	root := newRoot(t, start, 365*24*time.Hour)
	key := newKey(t, elliptic.P256())
	a := identity.Authority{Issuer: root, Lifetime: 24 * time.Hour}
	leaf, err := a.SignWorkload(newCSR(t, key), payments(), start, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := leaf.Chain[0]
	type facts struct {
		URIs, DNS           []string
		Serial, Common      string
		IsCA, Chain         bool
		NotBefore, NotAfter time.Time
	}
	got := facts{
		DNS: own.DNSNames, Serial: own.Subject.SerialNumber, Common: own.Subject.CommonName, IsCA: own.IsCA,
		Chain: len(leaf.Chain) == 1, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
	}
	for _, u := range own.URIs {
		got.URIs = append(got.URIs, u.String())
	}
	want := facts{
		URIs: []string{"spiffe://cluster.local/ns/shop/sa/payments"}, Serial: "6f1c", Chain: true,
		NotBefore: start.Add(-time.Minute), NotAfter: start.Add(24 * time.Hour),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who the pod is says its token, not its request (-want +got):\n%s", diff)
	}
	if !key.PublicKey.Equal(own.PublicKey) {
		t.Error("the certificate is for another key than the request's")
	}
	if bits := own.SerialNumber.BitLen(); bits != 127 {
		t.Errorf("the serial number has %d bits, want 127: random, positive and always as long", bits)
	}
	if got := leaf.RenewAfter(start); got != 12*time.Hour {
		t.Errorf("to be renewed after %v, want half of its life", got)
	}
	peer, err := identity.Trust{TrustDomain: "cluster.local", Roots: root.Roots()}.Verify(leaf.Chain, start)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(identity.Peer{ID: payments().ID, PodUID: "6f1c", NotAfter: leaf.NotAfter}, peer); diff != "" {
		t.Errorf("who was signed is not who is verified (-want +got):\n%s", diff)
	}
}

func TestSignBounds(t *testing.T) {
	csr := newCSR(t, newKey(t, elliptic.P256()))
	root := newRoot(t, start, 10*time.Hour)
	a := identity.Authority{Issuer: root, Lifetime: 24 * time.Hour}
	leaf, err := a.SignWorkload(csr, payments(), start, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if want := start.Add(10 * time.Hour); !leaf.NotAfter.Equal(want) {
		t.Errorf("the leaf is valid until %v, want the root's end, %v: nobody could verify it after that", leaf.NotAfter, want)
	}
	cases := map[string]struct {
		reason    string
		authority identity.Authority
		workload  identity.Workload
		at        time.Time
		want      identity.Reason
	}{
		"NoRoot":   {reason: "before there is a root", workload: payments(), at: start, want: identity.ReasonInternal},
		"RootOver": {reason: "a root whose time is over", authority: a, workload: payments(), at: start.Add(10 * time.Hour), want: identity.ReasonInternal},
		"NoPod":    {reason: "a certificate is bound to a pod", authority: a, workload: identity.Workload{ID: payments().ID}, at: start, want: identity.ReasonMalformed},
		"BadName":  {reason: "names are checked here too", authority: a, workload: identity.Workload{ID: identity.ID{TrustDomain: "td", Namespace: "a/b", ServiceAccount: "c"}, PodUID: "1"}, at: start, want: identity.ReasonMalformed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := tc.authority.SignWorkload(csr, tc.workload, tc.at, rand.Reader); err == nil || identity.ReasonOf(err) != tc.want {
				t.Errorf("%s: got %v, want reason %q", tc.reason, err, tc.want)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	root, other := newRoot(t, start, 365*24*time.Hour), newRoot(t, start, 365*24*time.Hour)
	sign := func(a identity.Issuer, w identity.Workload) []*x509.Certificate {
		leaf, err := identity.Authority{Issuer: a, Lifetime: 24 * time.Hour}.SignWorkload(newCSR(t, newKey(t, elliptic.P256())), w, start, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Chain
	}
	server, err := identity.Authority{Issuer: root, Lifetime: time.Hour}.SignServer([]string{"crossfade-controller.crossfade-system.svc"}, start, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := payments()
	elsewhere.ID.TrustDomain = "elsewhere.example"
	good := sign(root, payments())
	cases := map[string]struct {
		reason string
		chain  []*x509.Certificate
		at     time.Time
		want   identity.Reason
	}{
		"Good":             {reason: "signed by the root", chain: good, at: start},
		"None":             {reason: "no certificate", at: start, want: identity.ReasonNoCertificate},
		"OtherRoot":        {reason: "signed by somebody else under our name", chain: sign(other, payments()), at: start, want: identity.ReasonUntrusted},
		"OtherTrustDomain": {reason: "another mesh with the same root", chain: sign(root, elsewhere), at: start, want: identity.ReasonTrustDomain},
		"Expired":          {reason: "its time is over", chain: good, at: start.Add(24*time.Hour + time.Second), want: identity.ReasonExpired},
		"TooEarly":         {reason: "its time has not begun", chain: good, at: start.Add(-2 * time.Minute), want: identity.ReasonExpired},
		"Root":             {reason: "the root itself is nobody", chain: root.Roots(), at: start, want: identity.ReasonUntrusted},
		"Server":           {reason: "a certificate of the control plane is not for clients", chain: []*x509.Certificate{server.Leaf}, at: start, want: identity.ReasonUntrusted},
		"TooMany":          {reason: "each further certificate costs work", chain: append(good[:1:1], make([]*x509.Certificate, 5)...), at: start, want: identity.ReasonTooLarge},
	}
	trust := identity.Trust{TrustDomain: "cluster.local", Roots: root.Roots()}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			peer, err := trust.Verify(tc.chain, tc.at)
			if (err == nil) != (tc.want == "") || err != nil && identity.ReasonOf(err) != tc.want {
				t.Errorf("%s: got %v, %v; want reason %q", tc.reason, peer, err, tc.want)
			}
		})
	}
}

// TestVerifyURIs signs, with the root's key, what Authority never would.
func TestVerifyURIs(t *testing.T) {
	root := newRoot(t, start, time.Hour)
	certificate, keyPEM, _, err := root.Encode()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(keyPEM)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	parents, err := identity.ParseCertificates(certificate)
	if err != nil {
		t.Fatal(err)
	}
	uri := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	id := payments().ID.String()
	cases := map[string]struct {
		reason string
		uris   []*url.URL
		want   identity.Reason
	}{
		"One":     {reason: "as it should be", uris: []*url.URL{uri(id)}},
		"None":    {reason: "a certificate without an identity", want: identity.ReasonMalformed},
		"Two":     {reason: "who has two identities has none", uris: []*url.URL{uri(id), uri("spiffe://cluster.local/ns/shop/sa/admin")}, want: identity.ReasonMalformed},
		"Escaped": {reason: "an id that is written in another way", uris: []*url.URL{uri("spiffe://cluster.local/ns/shop/sa/pay%6dents")}, want: identity.ReasonMalformed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
				SerialNumber: big.NewInt(1), NotBefore: start, NotAfter: start.Add(time.Hour), URIs: tc.uris,
				ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			}, parents[0], newKey(t, elliptic.P256()).Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			own, err := x509.ParseCertificate(raw)
			if err != nil {
				t.Fatal(err)
			}
			_, err = identity.Trust{TrustDomain: "cluster.local", Roots: root.Roots()}.Verify([]*x509.Certificate{own}, start)
			if (err == nil) != (tc.want == "") || err != nil && identity.ReasonOf(err) != tc.want {
				t.Errorf("%s: got %v, want reason %q", tc.reason, err, tc.want)
			}
		})
	}
}

func TestParseIssuer(t *testing.T) {
	root := newRoot(t, start, time.Hour)
	certificate, key, roots, err := root.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, _, err := newRoot(t, start, time.Hour).Encode()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := identity.Authority{Issuer: root, Lifetime: time.Hour}.SignServer([]string{"a"}, start, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leafKey, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	leafPEM := identity.EncodeCertificates([]*x509.Certificate{leaf.Leaf})
	cases := map[string]struct {
		reason                  string
		certificate, key, roots []byte
		want                    string
	}{
		"Whole":    {reason: "as Encode writes it", certificate: certificate, key: key, roots: roots},
		"NoRoots":  {reason: "a root needs nothing above it", certificate: certificate, key: key},
		"OtherKey": {reason: "key and certificate of two roots", certificate: certificate, key: otherKey, want: "tls.key is not the key of tls.crt"},
		"Leaf":     {reason: "somebody put a server's certificate there", certificate: leafPEM, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: leafKey}), want: "not the certificate of a certificate authority"},
		"NoKey":    {reason: "the Secret lacks the key", certificate: certificate, want: "read tls.key"},
		"Empty":    {reason: "an empty Secret", want: "read tls.crt"},
		"Rubbish":  {reason: "rubbish after the certificate is not passed over", certificate: append(bytes.Clone(certificate), "rubbish"...), key: key, want: "no PEM block"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := identity.ParseIssuer(tc.certificate, tc.key, tc.roots)
			if tc.want == "" {
				if err != nil || got.Fingerprint() != root.Fingerprint() || len(identity.Bundle(start, got.Roots()...)) != 1 {
					t.Errorf("%s: got %q, %v", tc.reason, got.Fingerprint(), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: got %v, want an error with %q", tc.reason, err, tc.want)
			}
		})
	}
}

// FuzzParseCSR: no panic, and what is taken is P-256.
func FuzzParseCSR(f *testing.F) {
	key := newKey(f, elliptic.P256())
	good := newCSR(f, key)
	f.Add(good)
	f.Add([]byte(""))
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := identity.ParseCSR(text)
		if err == nil && got.Curve != elliptic.P256() {
			t.Errorf("took a key on %s", got.Curve.Params().Name)
		}
	})
}
