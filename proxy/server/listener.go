package server

import (
	"context"
	"net"
	"sync"

	"golang.org/x/time/rate"
)

// ListenLimits bound who may open connections, before a byte of them is read: a
// handshake costs the server a signature.
type ListenLimits struct {
	// PerSecond are the connections that are taken per second, with a burst of as
	// many; those above it wait. 0 stands for 100.
	PerSecond float64
	// PerAddress are the connections that one address may have open; those above it
	// are closed at once. A proxy has one, and a second one while it moves. 0 stands
	// for 50: the proxies of a node's own network share its address.
	PerAddress int
	// Open are the connections that all together may have open. 0 stands for 20,000.
	Open int
}

// Limit makes a listener that keeps to the limits; when ctx ends it accepts nobody any more.
func Limit(ctx context.Context, l net.Listener, limits ListenLimits) net.Listener {
	if limits.PerSecond <= 0 {
		limits.PerSecond = 100
	}
	if limits.PerAddress <= 0 {
		limits.PerAddress = 50
	}
	if limits.Open <= 0 {
		limits.Open = 20_000
	}
	return &limitedListener{
		Listener: l, limits: limits, ctx: ctx,
		rate: rate.NewLimiter(rate.Limit(limits.PerSecond), max(1, int(limits.PerSecond))), open: map[string]int{},
	}
}

type limitedListener struct {
	net.Listener
	limits ListenLimits
	rate   *rate.Limiter
	ctx    context.Context

	mu   sync.Mutex
	open map[string]int
	all  int
}

// Accept returns the next connection that is within the limits.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := host(conn.RemoteAddr())
		if !l.enter(address) {
			_ = conn.Close() // It is told by that, and nothing else.
			continue
		}
		if err := l.rate.Wait(l.ctx); err != nil {
			l.leave(address)
			_ = conn.Close()
			return nil, net.ErrClosed
		}
		return &limitedConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(address) })}, nil
	}
}

func (l *limitedListener) enter(address string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.limits.Open || l.open[address] >= l.limits.PerAddress {
		return false
	}
	l.all++
	l.open[address]++
	return true
}

func (l *limitedListener) leave(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.open[address]--; l.open[address] == 0 {
		delete(l.open, address)
	}
}

func host(address net.Addr) string {
	h, _, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String()
	}
	return h
}

type limitedConn struct {
	net.Conn
	leave func()
}

// Close ends the connection and gives its place to another one.
func (c *limitedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
