package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// GiB is 2^30 bytes.
const GiB = 1 << 30

// CheckRoot returns a sentence when the caller may not do what is needed.
func CheckRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("the cluster needs root (namespaces, mounts, cgroups, links): run it as root or with sudo")
	}
	return nil
}

// CheckArchitecture returns a sentence on machines for which the pinned
// downloads are not made.
func CheckArchitecture() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("the cluster runs on linux/amd64 only; this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	return nil
}

// CheckDisk returns a sentence when the file system of path, which need not be
// there yet, has less free space than wanted.
func CheckDisk(path string, wanted uint64) error {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			break
		}
		path = filepath.Dir(path)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return fmt.Errorf("look at free disk space: %w", err)
	}
	return judgeDisk(path, fs.Bavail*uint64(fs.Bsize), wanted)
}

func judgeDisk(path string, free, wanted uint64) error {
	if free >= wanted {
		return nil
	}
	return fmt.Errorf("too little disk: %.1f GiB are free at %s, %.0f GiB are needed",
		float64(free)/GiB, path, float64(wanted)/GiB)
}

// CheckKernel returns a sentence when the kernel cannot run a node: kube-proxy
// writes nftables, containerd mounts overlays.
func CheckKernel(ctx context.Context) error {
	// On a stock kernel these are modules; where they are built in, modprobe
	// fails or is missing, and that is fine.
	_ = exec.CommandContext(ctx, "modprobe", "-a", "overlay", "br_netfilter", "nf_tables").Run()
	// In a network namespace of its own the try leaves nothing behind.
	try := exec.CommandContext(ctx, "nft", "add table ip crossfade; add chain ip crossfade c { type nat hook output priority 0; }")
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := try.CombinedOutput(); err != nil {
		return fmt.Errorf("no nftables: kube-proxy needs a kernel with nf_tables and NAT (nft says %q)",
			strings.TrimSpace(string(out)+" "+err.Error()))
	}
	filesystems, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("list file systems: %w", err)
	}
	if !strings.Contains(string(filesystems), "\toverlay\n") {
		return errors.New("no overlayfs: containerd needs a kernel with it")
	}
	if _, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables"); err != nil {
		return errors.New("no br_netfilter: Services need a kernel with it")
	}
	_, err = hierarchies()
	return err
}
