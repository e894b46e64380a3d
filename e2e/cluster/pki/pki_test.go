package pki

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func create(t *testing.T) Files {
	t.Helper()
	files, err := Create(rand.Reader, now, Cluster{
		Name: "crossfade-3", APIURL: "https://192.0.2.10:6443", Domain: "cluster.local",
		APIServerIPs: []netip.Addr{netip.MustParseAddr("192.0.2.10")},
		Nodes:        []Node{{Name: "node0", IP: netip.MustParseAddr("192.0.2.10")}, {Name: "node1", IP: netip.MustParseAddr("192.0.2.11")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func certificate(t *testing.T, content []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(content)
	if block == nil {
		t.Fatal("no certificate in the file")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCertificates(t *testing.T) {
	files := create(t)
	cases := map[string]struct {
		reason string
		file   string
		ca     string
		usage  x509.ExtKeyUsage
		host   string // that the certificate must be good for
		name   string
		group  string
	}{
		"APIServerByAddress": {
			reason: "kubectl and the nodes use the address.",
			file:   "apiserver", ca: "ca", usage: x509.ExtKeyUsageServerAuth, host: "192.0.2.10", name: "kube-apiserver",
		},
		"APIServerByName": {
			reason: "Pods may use the name of the Service.",
			file:   "apiserver", ca: "ca", usage: x509.ExtKeyUsageServerAuth, host: "kubernetes.default.svc", name: "kube-apiserver",
		},
		"Admin": {
			reason: "The group system:masters may do everything.",
			file:   "admin", ca: "ca", usage: x509.ExtKeyUsageClientAuth, name: "admin", group: "system:masters",
		},
		"KubeletServer": {
			reason: "The API server connects to kubelets by address.",
			file:   "kubelet-server-node1", ca: "ca", usage: x509.ExtKeyUsageServerAuth, host: "192.0.2.11",
			name: "system:node:node1", group: "system:nodes",
		},
		"FrontProxy": {
			reason: "Aggregated API servers trust another CA for the front proxy.",
			file:   "front-proxy-client", ca: "front-proxy-ca", usage: x509.ExtKeyUsageClientAuth, name: "front-proxy-client",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := tls.X509KeyPair(files[tc.file+".crt"], files[tc.file+".key"]); err != nil {
				t.Fatalf("%s\ncertificate and key: %v", tc.reason, err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(certificate(t, files[tc.ca+".crt"]))
			c := certificate(t, files[tc.file+".crt"])
			for _, at := range []time.Time{now, now.AddDate(9, 0, 0)} {
				_, err := c.Verify(x509.VerifyOptions{
					Roots: roots, CurrentTime: at, DNSName: tc.host, KeyUsages: []x509.ExtKeyUsage{tc.usage},
				})
				if err != nil {
					t.Errorf("%s\nVerify at %s: %v", tc.reason, at, err)
				}
			}
			got := []string{c.Subject.CommonName, strings.Join(c.Subject.Organization, ",")}
			if diff := cmp.Diff([]string{tc.name, tc.group}, got); diff != "" {
				t.Errorf("%s\nname and group (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestServerIsNoClient(t *testing.T) {
	c := certificate(t, create(t)["apiserver.crt"])
	if diff := cmp.Diff([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, c.ExtKeyUsage); diff != "" {
		t.Errorf("usage of the API server's certificate (-want +got):\n%s", diff)
	}
	if c.IsCA {
		t.Error("the API server's certificate can sign others")
	}
}

func TestServiceAccountKeysBelongTogether(t *testing.T) {
	files := create(t)
	private, _ := pem.Decode(files["sa.key"])
	public, _ := pem.Decode(files["sa.pub"])
	key, err := x509.ParseECPrivateKey(private.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParsePKIXPublicKey(public.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := parsed.(*ecdsa.PublicKey); !ok || !key.PublicKey.Equal(got) {
		t.Error("tokens signed with sa.key do not verify with sa.pub")
	}
}

func TestKubeconfigs(t *testing.T) {
	files := create(t)
	for _, user := range []string{"admin", "controller-manager", "scheduler", "kube-proxy", "kubelet-node0", "kubelet-node1"} {
		content := string(files[user+".kubeconfig"])
		for _, want := range []string{"server: https://192.0.2.10:6443", "current-context: crossfade-3", "user: " + user} {
			if !strings.Contains(content, want) {
				t.Errorf("kubeconfig of %s has no %q", user, want)
			}
		}
	}
}
