package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
	"github.com/crossfade-dev/crossfade/e2e/cluster/machine"
	"github.com/crossfade-dev/crossfade/e2e/cluster/node"
	"github.com/crossfade-dev/crossfade/e2e/cluster/pki"
)

// write makes the files of the instance: keys, certificates, configuration.
func (s *starter) write() error {
	if err := removeState(s.state); err != nil {
		return err
	}
	cluster := pki.Cluster{
		Name: fmt.Sprintf("crossfade-%d", s.Number), APIURL: s.APIURL(), Domain: layout.ClusterDomain,
		APIServerIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), s.NodeIP(0), s.APIServiceIP()},
	}
	for k := range s.Nodes {
		cluster.Nodes = append(cluster.Nodes, pki.Node{Name: s.NodeName(k), IP: s.NodeIP(k)})
	}
	files, err := pki.Create(rand.Reader, s.began, cluster)
	if err != nil {
		return err
	}
	if err := writeFiles(s.state.PKI(), files); err != nil {
		return err
	}
	if err := writeFile(s.state.Kubeconfig(), files["admin.kubeconfig"]); err != nil {
		return err
	}
	if s.Number == 0 {
		if err := writeFile(s.root.Kubeconfig(), files["admin.kubeconfig"]); err != nil {
			return err
		}
	}
	for k := range s.Nodes {
		if err := s.writeNode(k); err != nil {
			return err
		}
	}
	return nil
}

func (s *starter) writeNode(k int) error {
	config, err := node.Node{Instance: s.Instance, Number: k}.Config()
	if err != nil {
		return err
	}
	if err := writeFiles(s.state.Node(k), config); err != nil {
		return err
	}
	if err := os.MkdirAll(s.state.Logs(k), 0o755); err != nil {
		return fmt.Errorf("make log folder: %w", err)
	}
	return nil
}

// startNode starts process 1 of node k in namespaces of its own and connects
// it. It outlives this process: it has its own session and no pipe to here.
func (s *starter) startNode(ctx context.Context, k int) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	log, err := os.Create(filepath.Join(s.state.Logs(k), "node.log"))
	if err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	defer func() { _ = log.Close() }()
	wait, start, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	defer func() { _, _ = wait.Close(), start.Close() }()

	// Not CommandContext: the end of this command must not end the node.
	c := &exec.Cmd{
		Path: self, Args: machine.NodeArgs(s.root, s.Instance, k), Dir: "/",
		Stdout: log, Stderr: log, ExtraFiles: []*os.File{wait},
		SysProcAttr: &syscall.SysProcAttr{
			Setsid:     true,
			Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		},
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("start process: %w", err)
	}
	// Reaped here while this process lives; nobody waits for the result.
	go func() { _ = c.Wait() }()
	if err := machine.Plug(ctx, s.Instance, k, c.Process.Pid, node.Cable); err != nil {
		return err
	}
	if _, err := start.Write([]byte{1}); err != nil {
		return fmt.Errorf("tell the node to start: %w", err)
	}
	return nil
}

// writeFiles writes files below a folder, readable by root only.
func writeFiles(folder string, files map[string][]byte) error {
	for name, content := range files {
		if err := writeFile(filepath.Join(folder, name), content); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}

// removeState removes the files of an instance. What is still mounted below it
// would lose its contents, so then it refuses.
func removeState(state layout.State) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("read mounts: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], string(state)+"/") {
			return fmt.Errorf("%s is still mounted: unmount it and try again", fields[4])
		}
	}
	if err := os.RemoveAll(string(state)); err != nil {
		return fmt.Errorf("remove files: %w", err)
	}
	return nil
}
