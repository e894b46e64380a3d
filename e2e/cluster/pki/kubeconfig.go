package pki

import (
	"encoding/base64"
	"fmt"
)

// kubeconfig carries its keys inside, so that it can be copied and read from
// another mount namespace.
func kubeconfig(c Cluster, user string, ca []byte, p pair) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: %[1]s
  cluster:
    server: %[2]s
    certificate-authority-data: %[3]s
users:
- name: %[4]s
  user:
    client-certificate-data: %[5]s
    client-key-data: %[6]s
contexts:
- name: %[1]s
  context: {cluster: %[1]s, user: %[4]s}
current-context: %[1]s
`, c.Name, c.APIURL, b64(ca), user, b64(p.crtPEM), b64(p.keyPEM))
}
