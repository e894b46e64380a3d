package xds

import (
	"path"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// TLSDir is where a proxy's agent writes its certificate and whom to trust.
const TLSDir = "/var/run/crossfade/tls"

// The names of the secrets that proxies read from files.
const (
	SecretIdentity = "identity"
	SecretTrust    = "trust"
)

// IdentitySDS says where a proxy finds its certificate and key.
func IdentitySDS(dir string) *tlsv3.SdsSecretConfig {
	return makeSDS(SecretIdentity, path.Join(dir, "certificate.yaml"))
}

// TrustSDS says where a proxy finds the certificates of those who may vouch for others.
func TrustSDS(dir string) *tlsv3.SdsSecretConfig {
	return makeSDS(SecretTrust, path.Join(dir, "trust.yaml"))
}

func makeSDS(name, file string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{
		Name: name,
		SdsConfig: &corev3.ConfigSource{
			ConfigSourceSpecifier: &corev3.ConfigSource_PathConfigSource{
				PathConfigSource: &corev3.PathConfigSource{Path: file},
			},
			ResourceApiVersion: corev3.ApiVersion_V3,
		},
	}
}
