package proxy_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/health/grpc_health_v1"
)

// load asks without a pause until it is stopped, and counts.
type load struct {
	ok, failed atomic.Int64
	first      atomic.Pointer[string]
	stop       func()
}

func (w *meshWorld) load(t *testing.T) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{}
	var done sync.WaitGroup
	ask := func(f func() error) {
		done.Go(func() {
			for ctx.Err() == nil {
				if err := f(); err != nil {
					l.failed.Add(1)
					text := err.Error()
					l.first.CompareAndSwap(nil, &text)
				} else {
					l.ok.Add(1)
				}
			}
		})
	}
	kept, fresh, second := w.web.client(false), w.web.client(false), w.web.client(true)
	fresh.Transport.(*http.Transport).DisableKeepAlives = true
	ask(func() error { _, _, err := get(kept, "http://10.96.0.10"); return err })
	ask(func() error { _, _, err := get(fresh, "http://10.96.0.10"); return err })
	ask(func() error { _, _, err := get(second, "http://10.96.0.10:82"); return err })
	calls := w.calls(t)
	ask(func() error {
		_, err := calls.Check(context.WithoutCancel(ctx), &grpc_health_v1.HealthCheckRequest{})
		return err
	})
	ask(func() error {
		connection, err := w.web.dial(ctx, "", "10.96.0.10:90")
		if err != nil {
			return err
		}
		defer func() { _ = connection.Close() }()
		_, err = line(connection)
		return err
	})
	l.stop = func() { cancel(); done.Wait() }
	return l
}

func (l *load) check(t *testing.T) {
	t.Helper()
	l.stop()
	t.Logf("%d requests and connections, %d failed", l.ok.Load(), l.failed.Load())
	if l.failed.Load() > 0 || l.ok.Load() < 100 {
		text := "none"
		if first := l.first.Load(); first != nil {
			text = *first
		}
		t.Errorf("%d failed of %d, the first: %s", l.failed.Load(), l.ok.Load(), text)
	}
}

// lasting are connections that must outlive whatever is changed.
func (w *meshWorld) lasting(t *testing.T) func() {
	t.Helper()
	socket, _ := w.socket(t)
	raw, err := w.web.dial(t.Context(), "", "10.96.0.10:90")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := line(raw); err != nil {
		t.Fatal(err)
	}
	watch, err := w.calls(t).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		for name, connection := range map[string]net.Conn{"WebSocket": socket, "TCP": raw} {
			if _, err := fmt.Fprintln(connection, "still here"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if answer, err := line(connection); answer != "still here" {
				t.Errorf("%s: %q, %v", name, answer, err)
			}
			_ = connection.Close()
		}
		for _, state := range w.states {
			state.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
		}
		if _, err := watch.Recv(); err != nil {
			t.Errorf("gRPC stream: %v", err)
		}
		for _, state := range w.states {
			state.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
		}
	}
}
