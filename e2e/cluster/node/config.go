package node

import (
	"bytes"
	"embed"
	"fmt"
	"path/filepath"
	"text/template"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

//go:embed conf
var conf embed.FS

// Node is one node of an instance, by its number from 0 on. Node 0 also runs
// the control plane.
type Node struct {
	layout.Instance
	Number int
}

// Config returns the configuration files of the node's programs: paths below
// the node's folder and their contents.
func (n Node) Config() (map[string][]byte, error) {
	files := map[string][]byte{"resolv.conf": nil}
	for source, path := range map[string]string{
		"containerd.toml": "containerd.toml",
		"cni.conflist":    "cni/10-crossfade.conflist",
		"kubelet.yaml":    "kubelet.yaml",
		"kube-proxy.yaml": "kube-proxy.yaml",
	} {
		content, err := n.render(source)
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", source, err)
		}
		files[path] = content
	}
	return files, nil
}

func (n Node) render(source string) ([]byte, error) {
	t, err := template.New(source).Option("missingkey=error").ParseFS(conf, filepath.Join("conf", source))
	if err != nil {
		return nil, fmt.Errorf("parse template: %w", err)
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Name": n.name(), "IP": n.NodeIP(n.Number), "DNS": n.DNSServiceIP(), "Domain": layout.ClusterDomain,
		"PodRange": n.PodRange(n.Number), "PodRanges": n.PodRanges(), "Cgroup": n.Cgroup(n.Number),
		"PauseImage": layout.PauseImage, "Socket": layout.ContainerdSocket,
		"Node": layout.InNode, "PKI": layout.InNodePKI,
	})
	if err != nil {
		return nil, fmt.Errorf("execute template: %w", err)
	}
	return out.Bytes(), nil
}

func (n Node) name() string { return n.NodeName(n.Number) }
