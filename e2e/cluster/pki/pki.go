// Package pki makes the keys, certificates and kubeconfigs of one cluster.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// Files are file names and their contents. Every name that ends in .key or
// .kubeconfig is a secret.
type Files map[string][]byte

// Node is a kubelet to make certificates for.
type Node struct {
	Name string
	IP   netip.Addr
}

// Cluster is what the certificates have to name.
type Cluster struct {
	Name         string       // of the context in the kubeconfigs
	APIURL       string       // as every client reaches the API server
	APIServerIPs []netip.Addr // that the API server answers on
	Domain       string       // of the Services' names
	Nodes        []Node
}

// lifetime is longer than any cluster here lives; nothing is ever renewed.
const lifetime = 10 * 365 * 24 * time.Hour

// Create returns all files of the cluster. The caller passes the source of
// randomness and the time from which on the certificates are valid.
//
// The names are <user>.kubeconfig, <name>.crt and <name>.key for: ca,
// front-proxy-ca, admin, apiserver, apiserver-kubelet-client, front-proxy-client and
// kubelet-server-<node>; sa.key and sa.pub sign the tokens of ServiceAccounts.
func Create(random io.Reader, now time.Time, c Cluster) (Files, error) {
	m := &maker{random: random, now: now, files: Files{}}
	ca := m.authority("ca")
	frontProxy := m.authority("front-proxy-ca")
	m.keep("apiserver", m.issue(ca, request{
		name: "kube-apiserver", usage: x509.ExtKeyUsageServerAuth, ips: c.APIServerIPs,
		dns: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc." + c.Domain,
		},
	}))
	m.keep("apiserver-kubelet-client", m.issue(ca, client("kube-apiserver-kubelet-client", "system:masters")))
	m.keep("front-proxy-client", m.issue(frontProxy, client("front-proxy-client", "")))
	m.serviceAccounts()

	users := map[string]request{
		"admin":              client("admin", "system:masters"),
		"controller-manager": client("system:kube-controller-manager", ""),
		"scheduler":          client("system:kube-scheduler", ""),
		"kube-proxy":         client("system:kube-proxy", ""),
	}
	for _, n := range c.Nodes {
		users["kubelet-"+n.Name] = client("system:node:"+n.Name, "system:nodes")
		m.keep("kubelet-server-"+n.Name, m.issue(ca, request{
			name: "system:node:" + n.Name, organization: "system:nodes", usage: x509.ExtKeyUsageServerAuth,
			dns: []string{n.Name}, ips: []netip.Addr{n.IP},
		}))
	}
	for user, r := range users {
		p := m.issue(ca, r)
		if user == "admin" {
			m.keep(user, p)
		}
		m.files[user+".kubeconfig"] = kubeconfig(c, user, m.files["ca.crt"], p)
	}
	if m.err != nil {
		return nil, fmt.Errorf("create PKI: %w", m.err)
	}
	return m.files, nil
}

// request is what a certificate shall say.
type request struct {
	name         string
	organization string
	usage        x509.ExtKeyUsage
	dns          []string
	ips          []netip.Addr
}

func client(name, organization string) request {
	return request{name: name, organization: organization, usage: x509.ExtKeyUsageClientAuth}
}

// pair is a certificate and its key, parsed and as PEM.
type pair struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	crtPEM      []byte
	keyPEM      []byte
}

// maker keeps the first error, so that the list of certificates above reads
// as a list.
type maker struct {
	random io.Reader
	now    time.Time
	serial int64
	files  Files
	err    error
}

func (m *maker) authority(name string) pair {
	p := m.sign(&x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
	}, nil)
	m.keep(name, p)
	return p
}

func (m *maker) issue(ca pair, r request) pair {
	subject := pkix.Name{CommonName: r.name}
	if r.organization != "" {
		subject.Organization = []string{r.organization}
	}
	ips := make([]net.IP, len(r.ips))
	for i, ip := range r.ips {
		ips[i] = ip.AsSlice()
	}
	return m.sign(&x509.Certificate{
		Subject:               subject,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{r.usage},
		DNSNames:              r.dns,
		IPAddresses:           ips,
	}, &ca)
}

// sign signs with the issuer's key, or with the certificate's own when there
// is no issuer.
func (m *maker) sign(template *x509.Certificate, issuer *pair) pair {
	key, keyPEM := m.key()
	if m.err != nil {
		return pair{}
	}
	m.serial++
	template.SerialNumber = big.NewInt(m.serial)
	template.NotBefore, template.NotAfter = m.now.Add(-time.Minute), m.now.Add(lifetime)
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.certificate, issuer.key
	}
	der, err := x509.CreateCertificate(m.random, template, parent, &key.PublicKey, signer)
	if err != nil {
		m.err = fmt.Errorf("sign %q: %w", template.Subject.CommonName, err)
		return pair{}
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		m.err = fmt.Errorf("parse %q: %w", template.Subject.CommonName, err)
		return pair{}
	}
	return pair{certificate: certificate, key: key, crtPEM: encode("CERTIFICATE", der), keyPEM: keyPEM}
}

func (m *maker) key() (*ecdsa.PrivateKey, []byte) {
	if m.err != nil {
		return nil, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), m.random)
	if err != nil {
		m.err = fmt.Errorf("make key: %w", err)
		return nil, nil
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		m.err = fmt.Errorf("encode key: %w", err)
		return nil, nil
	}
	return key, encode("EC PRIVATE KEY", der)
}

func (m *maker) keep(name string, p pair) {
	m.files[name+".crt"], m.files[name+".key"] = p.crtPEM, p.keyPEM
}

func (m *maker) serviceAccounts() {
	key, keyPEM := m.key()
	if m.err != nil {
		return
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		m.err = fmt.Errorf("encode public key: %w", err)
		return
	}
	m.files["sa.key"], m.files["sa.pub"] = keyPEM, encode("PUBLIC KEY", der)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
