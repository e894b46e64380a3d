package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// TestRequestsOutliveAPolicy closes a pod to a client outside the mesh who has just asked
// it: what he has begun goes on for the time that connections have to drain, and not for
// longer.
func TestRequestsOutliveAPolicy(t *testing.T) {
	const drain = 20
	root := newAuthority(t)
	w := newMeshWorldOf(t, func(id string) string { return root.write(t, id) }, drain)
	answered := make(chan error, 1)
	go func() {
		answer, _, err := get(w.plain.client(false), "http://10.203.0.11:8080/slow")
		if err == nil && answer != "stable" {
			err = errors.New(answer)
		}
		answered <- err
	}()
	raw, err := w.plain.dial(t.Context(), "", "10.203.0.11:9000")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	if answer, err := line(raw); answer != "stable" || err != nil {
		t.Fatalf("%q, %v", answer, err)
	}
	watch := w.watchFromOutside(t)
	w.mode(v1alpha1.MTLSStrict)
	changed := time.Now()
	for {
		_, _, err := get(&http.Client{Transport: &http.Transport{DialContext: w.plain.dial, DisableKeepAlives: true}, Timeout: 5 * time.Second}, "http://10.203.0.11:8080")
		if err != nil {
			break
		}
		if time.Since(changed) > 30*time.Second {
			t.Fatal("a client outside the mesh is still served")
		}
	}
	if err := <-answered; err != nil {
		t.Errorf("a request that takes %s was cut off: %v", slowAnswer, err)
	}
	if _, err := fmt.Fprintln(raw, "still here"); err != nil {
		t.Errorf("a connection of bytes: %v", err)
	}
	if answer, err := line(raw); answer != "still here" {
		t.Errorf("a connection of bytes: %q, %v", answer, err)
	}
	w.states[1].SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	if _, err := watch.Recv(); err != nil {
		t.Errorf("a stream of gRPC: %v", err)
	}
	// And then they end: who may not come in any more is not in for ever.
	_ = raw.SetReadDeadline(time.Now().Add((drain + 60) * time.Second))
	if _, err := raw.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection of bytes from a stranger: %v", err)
	}
	if _, err := watch.Recv(); err == nil {
		t.Error("a stream of gRPC of a stranger goes on")
	}
}

// watchFromOutside opens a stream of gRPC without a sidecar.
func (w *meshWorld) watchFromOutside(t *testing.T) grpc_health_v1.Health_WatchClient {
	t.Helper()
	connection, err := grpc.NewClient("passthrough:///10.203.0.11:8081", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return w.plain.dial(ctx, "", address) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	watch, err := grpc_health_v1.NewHealthClient(connection).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	return watch
}
