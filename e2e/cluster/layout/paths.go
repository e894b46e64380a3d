package layout

import (
	"fmt"
	"path/filepath"
)

// Root is the folder of the checkout. Everything that is built or run for it
// is below its .local folder, which git ignores.
type Root string

// Local holds everything of this checkout that is not source.
func (r Root) Local() string { return filepath.Join(string(r), ".local") }

// Source is a folder of the cluster module.
func (r Root) Source(elem ...string) string {
	return filepath.Join(append([]string{string(r), "e2e", "cluster"}, elem...)...)
}

// Bin holds the programs that were built or downloaded.
func (r Root) Bin() string { return filepath.Join(r.Local(), "bin") }

// Program is a program in Bin.
func (r Root) Program(name string) string { return filepath.Join(r.Bin(), name) }

// Image is the archive of an image that every node needs.
func (r Root) Image(name string) string { return filepath.Join(r.Local(), "images", name+".tar") }

// Stamp says from what a part was built.
func (r Root) Stamp(part string) string { return filepath.Join(r.Local(), "stamps", part) }

// Downloads keeps what came from a package index.
func (r Root) Downloads() string { return filepath.Join(r.Local(), "downloads") }

// Kubeconfig is the one of instance 0, the user's.
func (r Root) Kubeconfig() string { return filepath.Join(r.Local(), "kubeconfig") }

// State is the folder of a running instance.
func (r Root) State(i Instance) State {
	return State(filepath.Join(r.Local(), fmt.Sprintf("instance%d", i.Number)))
}

// State is the folder with everything that one running instance writes.
type State string

// Kubeconfig is the administrator's.
func (s State) Kubeconfig() string { return filepath.Join(string(s), "kubeconfig") }

// PKI holds keys, certificates and the components' kubeconfigs.
func (s State) PKI() string { return filepath.Join(string(s), "pki") }

// Node is the folder of node k.
func (s State) Node(k int) string { return filepath.Join(string(s), fmt.Sprintf("node%d", k)) }

// Logs holds one file per program of node k.
func (s State) Logs(k int) string { return filepath.Join(s.Node(k), "log") }

// A node sees its folders under short, fixed paths, wherever the checkout is:
// a UNIX socket's path ends at 107 bytes, and overlayfs splits its options at
// colons.
const (
	// InNode is the node's own folder as seen in the node.
	InNode = "/run/crossfade/node"
	// InNodePKI is the instance's PKI folder as seen in the node.
	InNodePKI = "/run/crossfade/pki"
	// InNodeBin is the checkout's program folder as seen in the node.
	InNodeBin = "/run/crossfade/bin"
	// InNodeImages holds the archives that every node loads at its start.
	InNodeImages = "/run/crossfade/images"
	// ContainerdSocket is containerd's socket as seen in the node.
	ContainerdSocket = "/run/crossfade/containerd.sock"
)
