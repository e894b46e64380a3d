package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
)

// talk holds long conversations: it echoes what comes by WebSocket, and answers each message of a streaming call of
// gRPC. A pod that stops ends them, as a well-behaved server does.
type talk struct {
	grpc_testing.UnimplementedTestServiceServer
	version, pod string
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
