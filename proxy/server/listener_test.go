package server

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// connect opens a connection.
func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func closed(t *testing.T, conn net.Conn) bool {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

func TestLimitPerAddress(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Limit(t.Context(), inner, ListenLimits{PerAddress: 2, PerSecond: 1000})
	defer func() { _ = l.Close() }()
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	connect(t, inner.Addr().String())
	first := <-accepted
	connect(t, inner.Addr().String())
	<-accepted
	if !closed(t, connect(t, inner.Addr().String())) {
		t.Error("a third connection of one address was taken")
	}
	// Closing one twice gives one place, not two.
	_, _ = first.Close(), first.Close()
	connect(t, inner.Addr().String())
	<-accepted
	if !closed(t, connect(t, inner.Addr().String())) {
		t.Error("a connection that was closed twice has made two places")
	}
}

func TestLimitEnds(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = inner.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	l := Limit(ctx, inner, ListenLimits{PerSecond: 0.001})
	connect(t, inner.Addr().String())
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	connect(t, inner.Addr().String())
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a listener that waits for its rate says %v when its context ends, want net.ErrClosed", err)
	}
}
