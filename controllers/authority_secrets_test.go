package controllers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/proxy/identity"
	"github.com/crossfade-dev/crossfade/proxy/inject"
)

// reconcile brings the trust bundles up to date, as events would.
func (c *identityCluster) reconcile(t *testing.T) {
	t.Helper()
	for _, namespace := range []string{"crossfade-system", "shop", "plain"} {
		if _, err := c.bundles.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: namespace}}); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *identityCluster) secret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	s := &corev1.Secret{}
	if err := c.api.Get(t.Context(), types.NamespacedName{Namespace: "crossfade-system", Name: name}, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (c *identityCluster) signs() string { return c.authority.get().Signing.Fingerprint() }

func TestTrustBundles(t *testing.T) {
	c := newIdentityCluster(t)
	c.reconcile(t) // Before the root is known there is nothing to tell.
	c.look(t)
	c.reconcile(t)
	bundles := &corev1.ConfigMapList{}
	if err := c.api.List(t.Context(), bundles); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, b := range bundles.Items {
		got[b.Namespace+"/"+b.Name] = b.Data[inject.TrustKey]
	}
	roots := string(c.authority.Bundle())
	if diff := cmp.Diff(map[string]string{"crossfade-system/crossfade-trust": roots, "shop/crossfade-trust": roots}, got); diff != "" {
		t.Errorf("the control plane's namespace and those with the label have the bundle, others not (-want +got):\n%s", diff)
	}
	asked := testPod("plain", "one", "default", "")
	asked.Labels = map[string]string{"crossfade.dev/inject": "true"}
	if err := c.api.Create(t.Context(), asked); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.bundles.published(t.Context(), []byte(roots)); ok || err != nil {
		t.Errorf("a pod in a plain namespace asks for a sidecar and has no bundle: published = %v, %v", ok, err)
	}
	c.reconcile(t)
	if ok, err := c.bundles.published(t.Context(), []byte(roots)); !ok || err != nil {
		t.Errorf("it has one now: published = %v, %v", ok, err)
	}
}

func TestReplacedRoot(t *testing.T) {
	c := newIdentityCluster(t)
	c.look(t)
	c.reconcile(t)
	first := c.signs()
	other := newIdentityCluster(t) // Another cluster's root, as an administrator may bring one.
	other.look(t)
	theirs := c.secret(t, secretWanted)
	theirs.Data = other.secret(t, secretWanted).Data
	if err := c.api.Update(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	second := other.signs()
	for _, look := range []struct {
		reason  string
		after   time.Duration
		bundles bool
		want    string
		roots   int
	}{
		{reason: "noticed, and told to nobody yet", after: time.Second, want: first, roots: 2},
		{reason: "no clock runs before every bundle has it", after: time.Hour, bundles: true, want: first, roots: 2},
		{reason: "now it runs", after: time.Hour + time.Second, want: first, roots: 2},
		{reason: "it runs still", after: time.Hour + 9*time.Minute, want: first, roots: 2},
		{reason: "it is over", after: time.Hour + 11*time.Minute, want: second, roots: 2},
		{reason: "leaves of the former one are in use", after: 25 * time.Hour, want: second, roots: 2},
		{reason: "none is", after: 26 * time.Hour, want: second, roots: 1},
	} {
		now := c.now
		c.now = now.Add(look.after)
		c.look(t)
		if look.bundles {
			c.reconcile(t)
		}
		if got, roots := c.signs(), len(c.authority.trust().Roots); got != look.want || roots != look.roots {
			t.Errorf("after %v, %s: the second one signs: %v, %d roots; want %v, %d", look.after, look.reason, got == second, roots, look.want == second, look.roots)
		}
		c.now = now
	}
	if own := ownCertificateOf(t, c); own.Leaf.CheckSignatureFrom(c.authority.get().Signing.Roots()[0]) != nil {
		t.Error("the control plane still shows a certificate of the former root")
	}
}

// TestLookWritesNothing: what is read back is what was written, however often.
func TestLookWritesNothing(t *testing.T) {
	c := newIdentityCluster(t)
	c.look(t)
	wanted, signing := c.secret(t, secretWanted).ResourceVersion, c.secret(t, secretSigning).ResourceVersion
	for range 3 {
		c.look(t)
	}
	if c.secret(t, secretWanted).ResourceVersion != wanted || c.secret(t, secretSigning).ResourceVersion != signing {
		t.Error("nothing has changed, and a Secret was written all the same")
	}
}

func TestRootsThatCannotBeUsed(t *testing.T) {
	c := newIdentityCluster(t)
	c.look(t)
	first := c.signs()
	broken := c.secret(t, secretWanted)
	broken.Data[identity.KeyPrivate] = []byte("rubbish")
	if err := c.api.Update(t.Context(), broken); err != nil {
		t.Fatal(err)
	}
	c.look(t)
	if c.signs() != first || c.loop.said == "" {
		t.Errorf("a Secret that cannot be read: signs the same %v, log %q; want it to go on, and to say so", c.signs() == first, c.loop.said)
	}
	if got := c.secret(t, secretWanted); string(got.Data[identity.KeyPrivate]) != "rubbish" {
		t.Error("the administrator's Secret was written over")
	}
}

func TestStandbyOnlyFollows(t *testing.T) {
	c := newIdentityCluster(t)
	c.loop.leads = make(chan struct{})
	c.look(t) // Without any root a standby makes one: a leader could be waiting for it to be ready.
	first := c.signs()
	if first == "" {
		t.Fatal("there is no root")
	}
	if err := c.api.Delete(t.Context(), c.secret(t, secretWanted)); err != nil {
		t.Fatal(err)
	}
	c.look(t)
	if err := c.api.Get(t.Context(), client.ObjectKey{Namespace: "crossfade-system", Name: secretWanted}, &corev1.Secret{}); err == nil {
		t.Error("a standby has made a root while there was one that signs")
	}
	if c.signs() != first {
		t.Error("a standby signs with another root than the Secret says")
	}
}

func TestLeaderLabel(t *testing.T) {
	c := newIdentityCluster(t)
	former := testPod("crossfade-system", "former", "crossfade-controller", "")
	former.Labels = map[string]string{"crossfade.dev/leader": "true"}
	for _, pod := range []*corev1.Pod{former, testPod("crossfade-system", "self", "crossfade-controller", "")} {
		if err := c.api.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	l := leaderLabel{live: c.api, api: c.api, self: types.NamespacedName{Namespace: "crossfade-system", Name: "self"}}
	if err := l.label(t.Context()); err != nil {
		t.Fatal(err)
	}
	pods := &corev1.PodList{}
	if err := c.api.List(t.Context(), pods, client.HasLabels{"crossfade.dev/leader"}); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 || pods.Items[0].Name != "self" {
		t.Errorf("labelled as leader: %d pods, want only the one that leads", len(pods.Items))
	}
}

// certManager is the Secret of a certificate authority under another one, as
// cert-manager writes it by default: an RSA key, and the root in ca.crt only.
func certManager(t *testing.T, now time.Time, above, inCA identity.Issuer) map[string][]byte {
	t.Helper()
	certificate, key, _, err := above.Encode()
	if err != nil {
		t.Fatal(err)
	}
	parent, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "mesh"}, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(200 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, parent.Leaf, own.Public(), parent.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		identity.KeyCertificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		identity.KeyPrivate:     pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(own)}),
		identity.KeyRoots:       identity.EncodeCertificates(inCA.Roots()),
	}
}

// companyRoot is a root that permits another authority under it.
func companyRoot(t *testing.T, now time.Time) identity.Issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "company"}, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := identity.ParseIssuer(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestIntermediate lets an administrator bring an authority whose root is elsewhere:
// proxies believe the root, and what is in between is shown in each handshake.
func TestIntermediate(t *testing.T) {
	c := newIdentityCluster(t)
	root := companyRoot(t, c.now)
	if err := c.api.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "crossfade-system", Name: secretWanted},
		Type:       corev1.SecretTypeTLS, Data: certManager(t, c.now, root, root),
	}); err != nil {
		t.Fatal(err)
	}
	c.look(t)
	c.look(t)
	if diff := cmp.Diff(string(identity.EncodeCertificates(root.Roots())), string(c.authority.Bundle())); diff != "" {
		t.Fatalf("the bundle is the root alone (-want +got):\n%s", diff)
	}
	address := serveStreams(t, c)
	certificate := c.certificate(t, "web-0")
	if len(certificate.Certificate) != 2 || len(ownCertificateOf(t, c).Certificate) != 2 {
		t.Errorf("a proxy shows %d certificates, the control plane %d; want 2 of each", len(certificate.Certificate), len(ownCertificateOf(t, c).Certificate))
	}
	if err := openStream(t, address, c, certificate, false, &corev3.Node{Id: "shop/web-0", Cluster: "sidecar/shop"}); err != nil {
		t.Errorf("a proxy is refused: %v", err)
	}
	// As cert-manager renews it, with the same name and another key.
	renewed := c.secret(t, secretWanted)
	renewed.Data = certManager(t, c.now, root, root)
	if err := c.api.Update(t.Context(), renewed); err != nil {
		t.Fatal(err)
	}
	first := c.signs()
	for range 3 {
		c.look(t)
		c.reconcile(t)
		c.now = c.now.Add(time.Hour)
	}
	c.look(t)
	if c.signs() == first {
		t.Fatal("the renewed authority does not sign")
	}
	for what, certificate := range map[string]*tls.Certificate{"former": certificate, "present": c.certificate(t, "web-0")} {
		if err := openStream(t, address, c, certificate, false, &corev3.Node{Id: "shop/web-0", Cluster: "sidecar/shop"}); err != nil {
			t.Errorf("a proxy with a certificate of the %s authority is refused: %v", what, err)
		}
	}
}

// TestAuthorityThatNobodyWouldBelieve brings one whose ca.crt is another root.
func TestAuthorityThatNobodyWouldBelieve(t *testing.T) {
	c := newIdentityCluster(t)
	c.look(t)
	first := c.signs()
	theirs := c.secret(t, secretWanted)
	theirs.Data = certManager(t, c.now, companyRoot(t, c.now), companyRoot(t, c.now))
	if err := c.api.Update(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.look(t)
		c.reconcile(t)
		c.now = c.now.Add(time.Hour)
	}
	if c.signs() != first || len(c.authority.trust().Roots) != 1 || !strings.Contains(c.loop.said, "nobody would believe") {
		t.Errorf("the same one signs %v, %d roots, log %q; want it to go on, and to say so", c.signs() == first, len(c.authority.trust().Roots), c.loop.said)
	}
}
