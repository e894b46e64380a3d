package intercept

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace with one goroutine in it, on a thread of its
// own: network namespaces and users belong to threads.
type namespace struct {
	t    *testing.T
	name string
	tid  int
	todo chan func()
}

func newNamespace(t *testing.T, name string) *namespace {
	t.Helper()
	n := &namespace{t: t, name: name, todo: make(chan func())}
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // And never unlocked: the thread ends with the goroutine.
		n.tid = unix.Gettid()
		failed <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range n.todo {
			f()
		}
	}()
	if err := <-failed; err != nil {
		t.Fatalf("make a network namespace (these tests need root): %v", err)
	}
	t.Cleanup(func() { close(n.todo) })
	n.run("ip link set lo up")
	return n
}

// do runs f inside and waits for it.
func (n *namespace) do(f func()) {
	done := make(chan struct{})
	n.todo <- func() { defer close(done); f() }
	<-done
}

// run runs a command inside and returns what it printed.
func (n *namespace) run(command string) string {
	n.t.Helper()
	var out []byte
	var err error
	n.do(func() {
		parts := strings.Fields(command)
		out, err = exec.Command(parts[0], parts[1:]...).CombinedOutput()
	})
	if err != nil {
		n.t.Fatalf("%s: %s: %v\n%s", n.name, command, err, out)
	}
	return string(out)
}

// as runs f inside on a thread of another user and group.
func (n *namespace) as(uid, gid int, f func()) {
	n.t.Helper()
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		failed <- become(n.tid, uid, gid, f)
	}()
	if err := <-failed; err != nil {
		n.t.Fatal(err)
	}
}

// become changes the thread for good.
func become(tid, uid, gid int, f func()) error {
	fd, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", tid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open namespace: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace: %w", err)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); errno != 0 {
		return fmt.Errorf("become group %d: %w", gid, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
		return fmt.Errorf("become user %d: %w", uid, errno)
	}
	f()
	return nil
}

// listen answers every connection to a port with the namespace's name and the
// port.
func (n *namespace) listen(ports ...int) {
	n.t.Helper()
	for _, port := range ports {
		var l net.Listener
		var err error
		n.do(func() { l, err = net.Listen("tcp", fmt.Sprintf(":%d", port)) })
		if err != nil {
			n.t.Fatal(err)
		}
		n.t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "%s:%d", n.name, port)
				_ = c.Close()
			}
		}()
	}
}

// dialled is who answers a connection of a user and group, or why nobody does
// within that time.
func (n *namespace) dialled(uid, gid int, source, target string, patience time.Duration) string {
	n.t.Helper()
	var answer string
	n.as(uid, gid, func() {
		d := net.Dialer{Timeout: patience}
		if source != "" {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(source), 0))
		}
		c, err := d.DialContext(n.t.Context(), "tcp", target)
		if err != nil {
			answer = "nobody: " + err.Error()
			return
		}
		defer func() { _ = c.Close() }()
		raw, err := io.ReadAll(c)
		answer = string(raw)
		if err != nil {
			answer = err.Error()
		}
	})
	return answer
}

// pair makes a pod and a place outside it, with a cable between them.
func pair(t *testing.T) (pod, outside *namespace) {
	t.Helper()
	pod, outside = newNamespace(t, "pod"), newNamespace(t, "outside")
	pod.run(fmt.Sprintf("ip link add eth0 type veth peer name eth0 netns %d", outside.tid))
	for n, host := range map[*namespace]string{pod: "2", outside: "1"} {
		n.run("ip address add 10.77.0." + host + "/24 dev eth0")
		n.run("ip address add fd77::" + host + "/64 dev eth0 nodad")
		n.run("ip link set eth0 up")
	}
	return pod, outside
}
