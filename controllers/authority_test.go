package controllers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crossfade-dev/crossfade/proxy/identity"
	"github.com/crossfade-dev/crossfade/proxy/server"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// identityCluster is an authority over a fake API server that knows some tokens.
type identityCluster struct {
	api       client.Client
	authority *Authority
	loop      *authorityLoop
	bundles   *trustLoop
	pods      *podBinding
	meters    *authorityMeters
	registry  *prometheus.Registry
	// now is the clock of all of them.
	now time.Time
}

func testPod(namespace, name, account, kind string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"crossfade.dev/proxy": kind}},
		Spec:       corev1.PodSpec{ServiceAccountName: account},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

// newIdentityCluster has two pods of one ServiceAccount, one of another, a
// gateway, and one that has ended. The token of each is its name.
func newIdentityCluster(t *testing.T) *identityCluster {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	ended := testPod("shop", "ended", "web", "sidecar")
	ended.Status.Phase = corev1.PodSucceeded
	c := &identityCluster{now: time.Now(), registry: prometheus.NewRegistry()}
	c.api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		testPod("shop", "web-0", "web", "sidecar"), testPod("shop", "web-1", "web", "sidecar"), testPod("shop", "admin-0", "admin", "sidecar"), ended,
		testPod("shop", "poser", "web", "gateway"), testPod("crossfade-system", "gateway-0", "gateway", "gateway"),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "crossfade-system"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"crossfade.dev/injection": "enabled"}}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "plain"}},
	).WithInterceptorFuncs(interceptor.Funcs{Create: c.create}).Build()
	o := AuthorityOptions{
		TrustDomain: "cluster.local", Namespace: "crossfade-system", ClusterDomain: "k8s.example.com", Now: func() time.Time { return c.now }, Random: rand.Reader,
		Lifetimes: identity.Lifetimes{Root: 300 * time.Hour, Leaf: 24 * time.Hour, Spread: 10 * time.Minute},
	}
	c.authority = newAuthority(o)
	if c.meters, err = newAuthorityMeters(c.registry, c.authority); err != nil {
		t.Fatal(err)
	}
	c.bundles = &trustLoop{cache: c.api, client: c.api, authority: c.authority, system: "crossfade-system"}
	c.loop = &authorityLoop{authority: c.authority, client: c.api, live: c.api, namespace: "crossfade-system", leads: leads(), published: c.bundles.published, log: logr.Discard()}
	c.pods = &podBinding{
		cache: c.api, live: c.api, client: c.api, authority: c.authority, meters: c.meters, log: logr.Discard(),
		gateway: types.NamespacedName{Namespace: "crossfade-system", Name: "crossfade"},
	}
	return c
}

func leads() <-chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}

// create is the API server's: a TokenReview is answered and never stored.
func (c *identityCluster) create(ctx context.Context, api client.WithWatch, o client.Object, options ...client.CreateOption) error {
	review, ok := o.(*authenticationv1.TokenReview)
	if !ok {
		return api.Create(ctx, o, options...)
	}
	name, others, _ := strings.Cut(review.Spec.Token, " ")
	if others == "for somebody else" {
		review.Status = authenticationv1.TokenReviewStatus{Error: "token audiences [other] is invalid for the target audiences [crossfade]"}
		return nil
	}
	pods := &corev1.PodList{}
	if err := api.List(ctx, pods); err != nil {
		return err
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; p.Name == name {
			review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: review.Spec.Audiences, User: authenticationv1.UserInfo{
				Username: "system:serviceaccount:" + p.Namespace + ":" + p.Spec.ServiceAccountName,
				Extra:    map[string]authenticationv1.ExtraValue{claimPodName: {p.Name}, claimPodUID: {string(p.UID)}},
			}}
		}
	}
	switch others {
	case "no audience":
		review.Status.Audiences = nil
	case "unbound":
		review.Status.User.Extra = nil
	case "former pod":
		review.Status.User.Extra[claimPodUID] = authenticationv1.ExtraValue{"uid-former"}
	case "other account":
		review.Status.User.Username = "system:serviceaccount:shop:admin"
	case "person":
		review.Status.User.Username = "jane"
	}
	return nil
}

func (c *identityCluster) look(t *testing.T) {
	t.Helper()
	if err := c.loop.look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// certificate is what a pod gets for its token.
func (c *identityCluster) certificate(t *testing.T, token string) *tls.Certificate {
	t.Helper()
	who, err := c.pods.authenticate(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.authority.sign(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), who)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := identity.ParseCertificates([]byte(answer.Chain))
	if err != nil {
		t.Fatal(err)
	}
	made := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		made.Certificate = append(made.Certificate, c.Raw)
	}
	return made
}

func TestAuthenticate(t *testing.T) {
	c := newIdentityCluster(t)
	c.look(t)
	cases := map[string]struct {
		reason, token string
		want          identity.Reason
	}{
		"Good":          {reason: "a pod's own token", token: "web-0"},
		"Unknown":       {reason: "the API server does not know it", token: "nobody", want: identity.ReasonToken},
		"OtherAudience": {reason: "a token that was made for somebody else", token: "web-0 for somebody else", want: identity.ReasonToken},
		"NoAudience":    {reason: "an API server that does not look at audiences", token: "web-0 no audience", want: identity.ReasonToken},
		"Unbound":       {reason: "a token that belongs to no pod outlives all of them", token: "web-0 unbound", want: identity.ReasonToken},
		"FormerPod":     {reason: "the pod of that name is another one now", token: "web-0 former pod", want: identity.ReasonOtherPod},
		"OtherAccount":  {reason: "the pod runs under another ServiceAccount", token: "web-0 other account", want: identity.ReasonServiceAccount},
		"Person":        {reason: "people are no workloads", token: "web-0 person", want: identity.ReasonToken},
		"Ended":         {reason: "a pod that has ended needs no certificate", token: "ended", want: identity.ReasonNoPod},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w, err := c.pods.authenticate(t.Context(), tc.token)
			if (err == nil) != (tc.want == "") || err != nil && identity.ReasonOf(err) != tc.want {
				t.Errorf("%s: got %v, want reason %q", tc.reason, err, tc.want)
			}
			if err == nil && (w.ID.String() != "spiffe://cluster.local/ns/shop/sa/web" || w.PodUID != "uid-web-0") {
				t.Errorf("%s: got %s of pod %s", tc.reason, w.ID, w.PodUID)
			}
		})
	}
}

// TestStreams opens streams to a real xDS server over real TLS.
func TestStreams(t *testing.T) {
	c := newIdentityCluster(t)
	c.look(t)
	stranger := newIdentityCluster(t)
	stranger.look(t)
	now := c.now
	c.now = now.Add(-25 * time.Hour)
	expired := c.certificate(t, "web-0")
	c.now = now
	web := c.certificate(t, "web-0")
	gone := c.certificate(t, "web-1")
	if err := c.api.Delete(t.Context(), testPod("shop", "web-1", "", "")); err != nil {
		t.Fatal(err)
	}
	address := serveStreams(t, c)
	cases := map[string]struct {
		reason        string
		certificate   *tls.Certificate
		plain         bool
		node, cluster string
		want          identity.Reason
	}{
		"Good":             {reason: "a pod under its own name", certificate: web, node: "shop/web-0", cluster: "sidecar/shop"},
		"Gateway":          {reason: "the gateway under its own name", certificate: c.certificate(t, "gateway-0"), node: "crossfade-system/gateway-0", cluster: "gateway/crossfade-system/crossfade"},
		"Stolen":           {reason: "a certificate that was taken to another pod of the same ServiceAccount", certificate: web, node: "shop/poser", cluster: "gateway/shop/crossfade", want: identity.ReasonOtherPod},
		"OtherAccount":     {reason: "a pod of another ServiceAccount", certificate: web, node: "shop/admin-0", cluster: "sidecar/shop", want: identity.ReasonOtherPod},
		"OtherNamespace":   {reason: "the gateway's name with a certificate of a user's namespace", certificate: web, node: "crossfade-system/gateway-0", cluster: "gateway/crossfade-system/crossfade", want: identity.ReasonServiceAccount},
		"PosesAsGateway":   {reason: "a sidecar that asks for the gateway's configuration", certificate: web, node: "shop/web-0", cluster: "gateway/crossfade-system/crossfade", want: identity.ReasonKind},
		"LabelledGateway":  {reason: "anybody can label his pods", certificate: c.certificate(t, "poser"), node: "shop/poser", cluster: "gateway/crossfade-system/crossfade", want: identity.ReasonKind},
		"OtherSidecar":     {reason: "a sidecar that asks for another namespace's configuration", certificate: web, node: "shop/web-0", cluster: "sidecar/bank", want: identity.ReasonKind},
		"PodGone":          {reason: "the pod was deleted", certificate: gone, node: "shop/web-1", cluster: "sidecar/shop", want: identity.ReasonNoPod},
		"NoName":           {reason: "a node without a name", certificate: web, node: "", want: identity.ReasonMalformed},
		"PathName":         {reason: "a name with more parts than a pod's", certificate: web, node: "shop/web-0/x", want: identity.ReasonMalformed},
		"OtherMesh":        {reason: "a certificate of another root", certificate: stranger.certificate(t, "web-0"), node: "shop/web-0", want: identity.ReasonUntrusted},
		"Expired":          {reason: "a certificate whose time is over", certificate: expired, node: "shop/web-0", want: identity.ReasonExpired},
		"NoCertificate":    {reason: "TLS without a certificate", node: "shop/web-0", want: identity.ReasonNoCertificate},
		"Plain":            {reason: "no TLS at all", plain: true, node: "shop/web-0", want: identity.ReasonNoCertificate},
		"ServerUnderPod":   {reason: "the control plane's own certificate is nobody's here", certificate: ownCertificateOf(t, c), node: "shop/web-0", want: identity.ReasonUntrusted},
		"OtherTrustDomain": {reason: "another mesh under the same root", certificate: elsewhere(t, c), node: "shop/web-0", want: identity.ReasonTrustDomain},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want := c.refusals(t)
			if tc.want != "" {
				want[tc.want]++
			}
			err := openStream(t, address, c, tc.certificate, tc.plain, &corev3.Node{Id: tc.node, Cluster: tc.cluster})
			if (err == nil) != (tc.want == "") {
				t.Fatalf("%s: got %v, want reason %q", tc.reason, err, tc.want)
			}
			// The peer hears of a failed handshake before it is counted.
			diff := cmp.Diff(want, c.refusals(t))
			for tries := 0; diff != "" && tries < 500; tries++ {
				time.Sleep(10 * time.Millisecond)
				diff = cmp.Diff(want, c.refusals(t))
			}
			if diff != "" {
				t.Errorf("%s: refusals by reason (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func serveStreams(t *testing.T, c *identityCluster) string {
	t.Helper()
	x := server.New(server.Options{
		Logger: logr.Discard(), Now: time.Now, Admit: c.pods.Admit,
		ViewOf: func(*corev3.Node) (string, error) { return "view", nil },
	})
	x.Publish("view", &xds.Snapshot{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(append(server.GRPCOptions(0), grpc.Creds(c.authority.credentials(logr.Discard(), c.meters)))...)
	x.Register(g)
	go func() { _ = g.Serve(server.Limit(t.Context(), listener, server.ListenLimits{})) }()
	t.Cleanup(g.Stop)
	return listener.Addr().String()
}

// openStream asks for clusters, and returns why there was no answer.
func openStream(t *testing.T, address string, c *identityCluster, certificate *tls.Certificate, plain bool, node *corev3.Node) error {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.authority.Bundle())
	config := &tls.Config{RootCAs: roots, ServerName: "crossfade-xds.crossfade-system.svc.k8s.example.com", Time: func() time.Time { return c.now }}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	creds := credentials.NewTLS(config)
	if plain {
		creds = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: xds.ClusterType}); err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}

// refusals are the counts of the metric by reason.
func (c *identityCluster) refusals(t *testing.T) map[identity.Reason]float64 {
	t.Helper()
	families, err := c.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[identity.Reason]float64{}
	for _, family := range families {
		if family.GetName() != "crossfade_xds_refused_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			if n := m.GetCounter().GetValue(); n > 0 {
				out[identity.Reason(m.GetLabel()[0].GetValue())] = n
			}
		}
	}
	return out
}

func ownCertificateOf(t *testing.T, c *identityCluster) *tls.Certificate {
	t.Helper()
	own, err := c.authority.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// elsewhere is a certificate that our root signed for another trust domain.
func elsewhere(t *testing.T, c *identityCluster) *tls.Certificate {
	t.Helper()
	before := c.authority.trustDomain
	c.authority.trustDomain = "elsewhere.example"
	defer func() { c.authority.trustDomain = before }()
	return c.certificate(t, "web-0")
}
