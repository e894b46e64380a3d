package node

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

// MountPoints are the folders of the host that programs of a node write to
// whatever their flags say. The node covers them with its own.
func MountPoints() []string {
	return []string{"/run", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers"}
}

// tunables are settings of the whole machine that the kubelet insists on. The
// node shows it files with these values in their place, so that the machine
// keeps its own.
var tunables = map[string]string{
	"kernel/keys/root_maxbytes": "25000000",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
}

// enter makes the node's view of the file system. It runs in a mount namespace
// of its own.
func (n Node) enter(root layout.Root) error {
	if err := unix.Sethostname([]byte(n.name())); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	// Private first, or the next mounts would show on the host; shared then,
	// because pods may ask for mount propagation.
	for _, propagation := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", unix.MS_REC|propagation, ""); err != nil {
			return fmt.Errorf("change propagation of /: %w", err)
		}
	}
	if err := mount("proc", "/proc", "proc", 0); err != nil {
		return err
	}
	// Opened before /run is covered: the checkout may be below it.
	state := root.State(n.Instance)
	binds := map[string]string{
		layout.InNode:       state.Node(n.Number),
		layout.InNodePKI:    state.PKI(),
		layout.InNodeBin:    root.Bin(),
		layout.InNodeImages: filepath.Dir(root.Image("pause")),
	}
	folders := map[string]int{}
	for target, source := range binds {
		fd, err := unix.Open(source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", source, err)
		}
		folders[target] = fd
	}
	for _, path := range MountPoints() {
		if err := mount("tmpfs", path, "tmpfs", 0); err != nil {
			return err
		}
	}
	for target, fd := range folders {
		if err := bindFolder(fd, target); err != nil {
			return err
		}
	}
	return coverTunables()
}

func bindFolder(fd int, target string) error {
	defer func() { _ = unix.Close(fd) }()
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	return mount(fmt.Sprintf("/proc/self/fd/%d", fd), target, "", unix.MS_BIND)
}

func coverTunables() error {
	for name, value := range tunables {
		file := filepath.Join("/run/crossfade/sysctl", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := mount(file, filepath.Join("/proc/sys", name), "", unix.MS_BIND); err != nil {
			return err
		}
	}
	return nil
}

func mount(source, target, kind string, flags uintptr) error {
	if err := unix.Mount(source, target, kind, flags, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	return nil
}
