package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// talk holds long conversations: it echoes what comes by WebSocket, and answers each message of a streaming call of
// gRPC. A pod that stops ends them, as a well-behaved server does.
type talk struct {
	grpc_testing.UnimplementedTestServiceServer
	version, pod string
	// fault is what is wrong with the version now.
	fault func() fault
	// ending is closed when the conversations have to end.
	ending <-chan struct{}
}

// handler serves gRPC's calls itself and leaves the rest to another handler.
func (t *talk) handler(rest http.Handler) http.Handler {
	calls := grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(calls, t)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("content-type"), "application/grpc") {
			calls.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

func (t *talk) webSocket() http.Handler {
	return websocket.Server{Handler: func(conn *websocket.Conn) {
		if err := websocket.JSON.Send(conn, map[string]string{"version": t.version, "pod": t.pod}); err != nil {
			return
		}
		ctx, cancel := context.WithCancel(conn.Request().Context())
		defer cancel()
		go func() {
			select {
			case <-ctx.Done():
			case <-t.ending:
				_ = conn.Close()
			}
		}()
		// Whoever hung up is not told.
		_, _ = io.Copy(conn, conn)
	}}
}

// EmptyCall is answered as GET / is, with the status UNAVAILABLE for an error.
func (t *talk) EmptyCall(ctx context.Context, _ *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	if err := grpc.SetHeader(ctx, metadata.Pairs("x-version", t.version, "x-pod", t.pod)); err != nil {
		return nil, err
	}
	f := t.fault()
	time.Sleep(f.Delay)
	if rand.Float64() < f.Errors {
		return nil, status.Error(codes.Unavailable, "this version fails now and then")
	}
	return &grpc_testing.Empty{}, nil
}

// FullDuplexCall answers each message with an empty one.
func (t *talk) FullDuplexCall(stream grpc_testing.TestService_FullDuplexCallServer) error {
	if err := stream.SendHeader(metadata.Pairs("x-version", t.version, "x-pod", t.pod)); err != nil {
		return err
	}
	asked := make(chan error)
	go func() {
		for {
			_, err := stream.Recv()
			select {
			case asked <- err:
			case <-stream.Context().Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case <-t.ending:
			return nil
		case err := <-asked:
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := stream.Send(&grpc_testing.StreamingOutputCallResponse{}); err != nil {
				return err
			}
		}
	}
}
