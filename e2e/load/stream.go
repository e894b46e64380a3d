package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"time"

	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
)

// Kind is what long conversations are held in.
type Kind string

// The kinds.
const (
	// WebSocket is an upgraded HTTP/1.1 connection; the server echoes what it gets.
	WebSocket Kind = "websocket"
	// GRPC is a call that streams in both directions over cleartext HTTP/2; the server answers each message.
	GRPC Kind = "grpc"
)

const (
	// patience is how long an answer may take before a conversation counts as broken.
	patience = 20 * time.Second
	// pulse is the time between two messages.
	pulse = 100 * time.Millisecond
)

// Talk is one long conversation with one pod.
type Talk struct {
	Kind Kind `json:"kind"`
	// Version and Pod are who answers, by the headers x-version and x-pod.
	Version string `json:"version,omitempty"`
	Pod     string `json:"pod,omitempty"`
	// Opened is when it began, Ended when it ended; zero while it goes on.
	Opened time.Time `json:"opened"`
	Ended  time.Time `json:"ended,omitzero"`
	// Messages is how many were answered.
	Messages int `json:"messages"`
	// Error is how it ended, or why it never began.
	Error string `json:"error,omitempty"`
}

// Talks keeps a number of conversations open and opens another one for each that ends.
type Talks struct {
	stop context.CancelFunc
	all  sync.WaitGroup

	mu    sync.Mutex
	talks []Talk
}

// StartTalks begins as many conversations of a kind with http://address under a Host header, empty for that of the
// address.
func StartTalks(ctx context.Context, kind Kind, address, host string, number int) (*Talks, error) {
	if host == "" {
		host = address
	}
	var hold func(context.Context, func(version, pod string), func()) error
	switch kind {
	case WebSocket:
		hold = func(ctx context.Context, opened func(version, pod string), answered func()) error {
			return holdWebSocket(ctx, address, host, opened, answered)
		}
	case GRPC:
		hold = func(ctx context.Context, opened func(version, pod string), answered func()) error {
			return holdGRPC(ctx, address, host, opened, answered)
		}
	default:
		return nil, fmt.Errorf("unknown kind of conversation %q: use %s or %s", kind, WebSocket, GRPC)
	}
	ctx, cancel := context.WithCancel(ctx)
	t := &Talks{stop: cancel}
	for range number {
		t.all.Go(func() {
			for ctx.Err() == nil {
				t.one(ctx, kind, hold)
			}
		})
	}
	return t, nil
}

func (t *Talks) one(ctx context.Context, kind Kind, hold func(context.Context, func(version, pod string), func()) error) {
	t.mu.Lock()
	t.talks = append(t.talks, Talk{Kind: kind, Opened: time.Now()})
	i := len(t.talks) - 1
	t.mu.Unlock()
	change := func(f func(*Talk)) {
		t.mu.Lock()
		defer t.mu.Unlock()
		f(&t.talks[i])
	}
	err := hold(ctx,
		func(version, pod string) { change(func(t *Talk) { t.Version, t.Pod = version, pod }) },
		func() { change(func(t *Talk) { t.Messages++ }) })
	if ctx.Err() != nil {
		return // It was this side that hung up.
	}
	change(func(t *Talk) { t.Ended, t.Error = time.Now(), fmt.Sprint(err) })
	select {
	case <-ctx.Done():
	case <-time.After(pulse):
	}
}

// Now is what all conversations have come to.
func (t *Talks) Now() []Talk {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Talk(nil), t.talks...)
}

// Stop hangs up and returns what all conversations came to. Those that went on until then have no end.
func (t *Talks) Stop() []Talk {
	t.stop()
	t.all.Wait()
	return t.Now()
}

// holdWebSocket holds one conversation until it breaks or ctx ends. The server's first message says who it is: the
// library shows no headers.
func holdWebSocket(ctx context.Context, address, host string, opened func(version, pod string), answered func()) error {
	config := &websocket.Config{
		Location: &url.URL{Scheme: "ws", Host: host, Path: "/talk"}, Origin: &url.URL{Scheme: "http", Host: host}, Version: websocket.ProtocolVersionHybi13,
	}
	raw, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }()
	hangUp := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer hangUp()
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	conn, err := websocket.NewClient(config, raw)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	var who struct{ Version, Pod string }
	if err := websocket.JSON.Receive(conn, &who); err != nil {
		return fmt.Errorf("read who answers: %w", err)
	}
	opened(who.Version, who.Pod)
	return converse(ctx, func() error {
		if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if err := websocket.Message.Send(conn, "still there?"); err != nil {
			return err
		}
		var answer string
		return websocket.Message.Receive(conn, &answer)
	}, answered)
}

// holdGRPC holds one call until it breaks or ctx ends.
func holdGRPC(ctx context.Context, address, host string, opened func(version, pod string), answered func()) error {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority(host))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(ctx)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	first := true
	return converse(ctx, func() error {
		late := time.AfterFunc(patience, cancel)
		defer late.Stop()
		if err := stream.Send(&grpc_testing.StreamingOutputCallRequest{}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
		if !first {
			return nil
		}
		first = false
		header, err := stream.Header()
		opened(one(header, "x-version"), one(header, "x-pod"))
		return err
	}, answered)
}

func one(header metadata.MD, key string) string {
	if values := header.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// converse exchanges a message now and then.
func converse(ctx context.Context, exchange func() error, answered func()) error {
	each := time.NewTicker(pulse)
	defer each.Stop()
	for {
		if err := exchange(); err != nil {
			return err
		}
		answered()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-each.C:
		}
	}
}
