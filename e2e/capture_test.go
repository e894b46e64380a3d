//go:build e2e

package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// capture is what was read of the packets at a pod's interface, between it and all others: what its containers say to
// each other does not come by there.
type capture struct {
	packets, readable atomic.Int64
}

func (c *capture) String() string {
	return fmt.Sprintf("%d of %d packets readable", c.readable.Load(), c.packets.Load())
}

// capture counts a pod's packets from now on, and those in which some words can be read, until the test ends.
func (s *scene) capture(p corev1.Pod, words string) *capture {
	s.Helper()
	pids := processes(s.T, string(p.UID), "")
	if len(pids) == 0 {
		s.Fatalf("pod %s has no process", p.Name)
	}
	socket, err := packetSocket(pids[0])
	if err != nil {
		s.Fatalf("read the packets of pod %s: %v", p.Name, err)
	}
	c := &capture{}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = unix.Close(socket) }()
		packet := make([]byte, 1<<16)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, _, err := unix.Recvfrom(socket, packet, 0)
			if err != nil {
				continue // Nothing came, or the pod's interface is gone with the pod.
			}
			c.packets.Add(1)
			if bytes.Contains(packet[:n], []byte(words)) {
				c.readable.Add(1)
			}
		}
	}()
	s.Cleanup(func() { close(stop); <-done })
	return c
}

// packetSocket is a socket that reads all packets at the interface eth0 of a process's network. A read returns after a
// while without any.
func packetSocket(pid int) (int, error) {
	network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return 0, err
	}
	defer func() { _ = network.Close() }()
	type answer struct {
		socket int
		err    error
	}
	opened := make(chan answer)
	go func() {
		// Never unlocked: the thread, which is in the pod's network now, ends with this function.
		runtime.LockOSThread()
		socket, err := openIn(int(network.Fd()))
		opened <- answer{socket, err}
	}()
	a := <-opened
	return a.socket, a.err
}

func openIn(network int) (int, error) {
	if err := unix.Setns(network, unix.CLONE_NEWNET); err != nil {
		return 0, fmt.Errorf("enter the network: %w", err)
	}
	link, err := net.InterfaceByName("eth0")
	if err != nil {
		return 0, err
	}
	// The protocol is in the network's order of bytes.
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(all))
	if err != nil {
		return 0, fmt.Errorf("open the socket: %w", err)
	}
	wait := unix.Timeval{Usec: 100_000}
	return socket, errors.Join(
		unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}),
		unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait))
}
