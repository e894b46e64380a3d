package node

import (
	"path/filepath"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

// program is one long-running process of a node. Its name is also that of its
// log file.
type program struct {
	name string
	args []string // with the path of the program first
}

func containerd() program {
	return program{"containerd", []string{"containerd", "--config", inNode("containerd.toml")}}
}

// store is etcd. It listens on the node's own loopback, so it needs no TLS, and
// what it holds does not outlive the instance, so it need not wait for the disk.
func store() program {
	return program{"etcd", []string{
		bin("etcd"), "--data-dir", inNode("etcd"), "--unsafe-no-fsync", "--log-level", "warn",
	}}
}

func (n Node) apiServer() program {
	ip := n.NodeIP(n.Number).String()
	return program{"kube-apiserver", []string{
		bin("kube-apiserver"),
		"--etcd-servers", "http://127.0.0.1:2379",
		"--bind-address", ip, "--advertise-address", ip, "--secure-port", "6443",
		"--tls-cert-file", pkiFile("apiserver.crt"), "--tls-private-key-file", pkiFile("apiserver.key"),
		"--client-ca-file", pkiFile("ca.crt"),
		"--kubelet-client-certificate", pkiFile("apiserver-kubelet-client.crt"),
		"--kubelet-client-key", pkiFile("apiserver-kubelet-client.key"),
		"--kubelet-certificate-authority", pkiFile("ca.crt"),
		// By default the host name comes first, which nobody resolves here:
		// logs and exec would fail.
		"--kubelet-preferred-address-types", "InternalIP,Hostname",
		"--service-account-key-file", pkiFile("sa.pub"),
		"--service-account-signing-key-file", pkiFile("sa.key"),
		"--service-account-issuer", "https://kubernetes.default.svc." + layout.ClusterDomain,
		"--requestheader-client-ca-file", pkiFile("front-proxy-ca.crt"),
		"--requestheader-allowed-names", "front-proxy-client",
		"--requestheader-extra-headers-prefix", "X-Remote-Extra-",
		"--requestheader-group-headers", "X-Remote-Group",
		"--requestheader-username-headers", "X-Remote-User",
		"--proxy-client-cert-file", pkiFile("front-proxy-client.crt"),
		"--proxy-client-key-file", pkiFile("front-proxy-client.key"),
		"--enable-admission-plugins", "NodeRestriction",
		"--authorization-mode", "Node,RBAC",
		"--service-cluster-ip-range", n.ServiceRange().String(),
		"--allow-privileged=true",
	}}
}

func (n Node) controllerManager() program {
	args := append([]string{bin("kube-controller-manager")}, delegation("controller-manager")...)
	return program{"kube-controller-manager", append(args,
		// The default of 20 a second makes the first ServiceAccount 5 s late.
		"--kube-api-qps", "500", "--kube-api-burst", "1000",
		// A Service with the default of 100 would need 101 pods to have a second
		// EndpointSlice: what only happens between slices would never be seen here.
		"--max-endpoints-per-slice", "4",
		"--use-service-account-credentials",
		"--root-ca-file", pkiFile("ca.crt"),
		"--service-account-private-key-file", pkiFile("sa.key"),
		"--cluster-signing-cert-file", pkiFile("ca.crt"),
		"--cluster-signing-key-file", pkiFile("ca.key"),
		"--service-cluster-ip-range", n.ServiceRange().String(),
	)}
}

func scheduler() program {
	return program{"kube-scheduler", append([]string{bin("kube-scheduler")}, delegation("scheduler")...)}
}

// delegation are the flags that controller manager and scheduler share.
func delegation(user string) []string {
	kubeconfig := pkiFile(user + ".kubeconfig")
	return []string{
		"--kubeconfig", kubeconfig, "--authentication-kubeconfig", kubeconfig, "--authorization-kubeconfig", kubeconfig,
		"--bind-address", "127.0.0.1", "--leader-elect=false",
	}
}

func (n Node) kubelet() program {
	return program{"kubelet", []string{
		bin("kubelet"), "--config", inNode("kubelet.yaml"),
		"--kubeconfig", pkiFile("kubelet-" + n.name() + ".kubeconfig"),
		"--root-dir", inNode("kubelet"), "--cert-dir", inNode("kubelet-pki"),
		"--hostname-override", n.name(), "--node-ip", n.NodeIP(n.Number).String(),
	}}
}

func (n Node) proxy() program {
	return program{"kube-proxy", []string{
		bin("kube-proxy"), "--config", inNode("kube-proxy.yaml"), "--hostname-override", n.name(),
	}}
}

func bin(name string) string     { return filepath.Join(layout.InNodeBin, name) }
func inNode(name string) string  { return filepath.Join(layout.InNode, name) }
func pkiFile(name string) string { return filepath.Join(layout.InNodePKI, name) }
