//go:build e2e

package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// authority is a certificate authority of the administrator's.
type authority struct {
	certificate *x509.Certificate
	chain, key  []byte // as PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: fmt.Sprintf("e2e %d", now.Unix())},
		NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{
		certificate: certificate,
		chain:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey}),
	}
}

// quickTrust lets a new root sign soon after it is known everywhere, until the test ends; the controller is away.
func (s *scene) quickTrust() {
	s.Helper()
	const arguments = "/spec/template/spec/containers/0/args"
	before := s.kubectl("-n", system, "get", "deployment", "crossfade-controller", "-o", "jsonpath={.spec.template.spec.containers[0].args}")
	s.Cleanup(func() {
		s.kubectl("-n", system, "patch", "deployment", "crossfade-controller", "--type=json", "-p", fmt.Sprintf(`[{"op":"replace","path":%q,"value":%s}]`, arguments, before))
		s.kubectl("-n", system, "rollout", "status", "deployment/crossfade-controller", patiently)
	})
	s.kubectl("-n", system, "patch", "deployment", "crossfade-controller", "--type=json", "-p", fmt.Sprintf(`[{"op":"add","path":%q,"value":"--trust-spread=5s"}]`, arguments+"/-"))
}

// replaceRoot brings an administrator's root, and waits until all proxies of the scene and the gateways believe in it
// and it signs.
func (s *scene) replaceRoot() *authority {
	s.Helper()
	root := newAuthority(s.T)
	secret, err := json.Marshal(corev1.Secret{Data: map[string][]byte{"tls.crt": root.chain, "tls.key": root.key}})
	if err != nil {
		s.Fatal(err)
	}
	s.kubectl("-n", system, "patch", "secret", "crossfade-ca", "--type=merge", "-p", string(secret))
	for _, where := range []struct {
		namespace string
		labels    client.MatchingLabels
	}{{system, client.MatchingLabels{"crossfade.dev/proxy": "gateway"}}, {s.Namespace, nil}} {
		s.until("the new root is published in "+where.namespace, func() (string, bool) {
			bundle := s.kubectl("-n", where.namespace, "get", "configmap", "crossfade-trust", "-o", `jsonpath={.data.root\.pem}`)
			return bundle, strings.Contains(bundle, string(root.chain))
		})
		// A changed pod is looked after at once, its mounted ConfigMaps too; else that takes a minute or two.
		s.kubectl("-n", where.namespace, "annotate", "pods", "--all", "--overwrite", fmt.Sprintf("e2e/looked-at=%d", time.Now().UnixNano()))
		s.until("all proxies in "+where.namespace+" believe in the new root", func() (string, bool) {
			var list corev1.PodList
			if err := s.api.List(s.ctx, &list, client.InNamespace(where.namespace), where.labels); err != nil {
				s.Fatal(err)
			}
			for _, p := range list.Items {
				if !bytes.Contains(s.tls(p, "root.pem"), root.chain) {
					return p.Name, false
				}
			}
			return "", len(list.Items) > 0
		})
	}
	s.until("the new root signs", func() (string, bool) {
		var signer corev1.Secret
		if err := s.api.Get(s.ctx, client.ObjectKey{Namespace: system, Name: "crossfade-signer"}, &signer); err != nil {
			s.Fatal(err)
		}
		return "", bytes.Contains(signer.Data["tls.crt"], root.chain)
	})
	return root
}

// tls is a file that a pod's agent wrote; empty while there is no agent.
func (s *scene) tls(p corev1.Pod, file string) []byte {
	s.Helper()
	for _, pid := range processes(s.T, string(p.UID), "/usr/local/bin/envoy") {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/var/run/crossfade/tls/%s", pid, file)); err == nil {
			return text
		}
	}
	return nil
}

// signedBy fails unless a pod's certificate is below a root.
func (s *scene) signedBy(root *authority, p corev1.Pod) {
	s.Helper()
	block, _ := pem.Decode(s.tls(p, "cert.pem"))
	if block == nil {
		s.Fatalf("pod %s has no certificate", p.Name)
	}
	own, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		s.Fatal(err)
	}
	if err := own.CheckSignatureFrom(root.certificate); err != nil {
		s.Errorf("the certificate of pod %s is not of the new root: %v", p.Name, err)
	}
}
