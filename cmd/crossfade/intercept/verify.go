package intercept

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crossfade-dev/crossfade/proxy/intercept"
)

const (
	// verifyTimeout bounds one connection to ourselves, which takes less than a
	// millisecond when it works.
	verifyTimeout = 2 * time.Second
	// settleTime is how long a fresh IPv6 address may not be usable yet, because
	// the kernel asks the link whether somebody else has it.
	settleTime = 5 * time.Second
)

// addresses are those of the pod in one family, with the sizes of their
// networks: without loopback's and those that reach no farther than the link.
func addresses(f intercept.Family) ([]netip.Prefix, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var out []netip.Prefix
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue // No address of IP.
		}
		if p.Addr().Is4() == (f == intercept.IPv4) && p.Addr().IsGlobalUnicast() && p.Addr() != f.InboundSource() {
			out = append(out, p)
		}
	}
	return out, nil
}

// verify opens a connection to where nobody is and sees it arrive at the
// proxy's port. This process is not the proxy's user, so it is treated as the
// application will be.
func verify(ctx context.Context, r intercept.Rules, e intercept.Exclusions, own []netip.Prefix) error {
	// Where the proxy runs already, as after a restart of this container alone, it
	// is who answers.
	listener, err := net.ListenTCP(network(r.Family), &net.TCPAddr{Port: intercept.OutboundPort})
	if err != nil && !errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("listen in the proxy's place: %w", err)
	}
	if listener != nil {
		defer func() { _ = listener.Close() }()
	}
	targets := targets(r.Family, e, own)
	if len(targets) == 0 {
		return nil // All that could be tried is excluded from interception.
	}
	var unreachable error
	for _, target := range targets {
		err := arrives(ctx, network(r.Family), target, listener)
		if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
			unreachable = err
			continue
		}
		if err != nil {
			return fmt.Errorf("the rules are in place, but a connection to %s did not arrive at the proxy's port %d: %w; "+
				"something else in this pod or on its node redirects or filters connections", target, intercept.OutboundPort, err)
		}
		return nil
	}
	return fmt.Errorf("cannot see whether connections arrive at the proxy, because the pod has no %s route to anywhere: %w", r.Family, unreachable)
}

// arrives connects to target and waits for it at the listener. Without a
// listener it is proof enough that somebody answers for an address that nobody
// has.
func arrives(ctx context.Context, network string, target netip.AddrPort, listener *net.TCPListener) error {
	c, err := dial(ctx, network, target)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if listener == nil {
		return nil
	}
	if err := listener.SetDeadline(time.Now().Add(verifyTimeout)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	for {
		got, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("wait for it: %w", err)
		}
		from := got.RemoteAddr().String()
		_ = got.Close()
		if from == c.LocalAddr().String() {
			return nil
		}
		// Somebody else's: the pod has its address, so anybody may connect already.
	}
}

func dial(ctx context.Context, network string, target netip.AddrPort) (c net.Conn, err error) {
	err = whileUnavailable(ctx, func() error {
		c, err = (&net.Dialer{Timeout: verifyTimeout}).DialContext(ctx, network, target.String())
		return err
	})
	return c, err
}

// whileUnavailable tries again as long as an address of the pod cannot be used
// yet, settleTime at most.
func whileUnavailable(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(settleTime)
	for {
		err := try()
		if !errors.Is(err, unix.EADDRNOTAVAIL) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func network(f intercept.Family) string { return "tcp" + strconv.Itoa(int(f)) }

// targets are addresses where nobody is, those for documentation, and neighbours
// for a pod without a default route. What is excluded is no target.
func targets(f intercept.Family, e intercept.Exclusions, own []netip.Prefix) []netip.AddrPort {
	candidates := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")}
	if f == intercept.IPv6 {
		candidates = []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:ffff::1")}
	}
	for _, p := range own {
		for _, neighbour := range []netip.Addr{p.Addr().Next(), p.Addr().Prev()} {
			if neighbour.IsValid() && p.Contains(neighbour) {
				candidates = append(candidates, neighbour)
			}
		}
	}
	port := uint16(9) // Discard: nobody listens there.
	for slices.Contains(e.OutboundPorts, port) {
		port++
	}
	var out []netip.AddrPort
	for _, c := range candidates {
		if !slices.ContainsFunc(e.OutboundCIDRs, func(p netip.Prefix) bool { return p.Contains(c) }) {
			out = append(out, netip.AddrPortFrom(c, port))
		}
	}
	return out
}
