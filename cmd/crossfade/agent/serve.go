package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// condition is why the agent itself says that Envoy is not ready; empty when it
// has nothing against it. The agent's loop writes it, probes read it.
type condition struct {
	mutex sync.Mutex
	text  string
}

func (c *condition) set(text string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.text = text
}

func (c *condition) get() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.text
}

// readiness answers /ready: 200 only when there is a valid certificate, Envoy has
// its first whole configuration and nobody asked the agent to stop; else 503 and
// the reason, the agent's own first, in one line. Envoy is asked each time, so a
// frozen one is not ready.
func readiness(own func() string, state func(context.Context) (string, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reason := own()
		if reason == "" {
			switch answer, err := state(r.Context()); {
			case err != nil:
				reason = err.Error()
			case answer != "LIVE":
				reason = "Envoy is " + answer
			}
		}
		if reason != "" {
			http.Error(w, reason, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
}

// stats hands Envoy's metrics on. A listener of Envoy's own would be drained
// with the others just when the numbers of the last requests are due, and its
// connections would count as clients'. What the proxy itself uses follows, and until
// when its certificate is valid.
func stats(a admin, own labels, u *usage, certificate func() string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := "/stats/prometheus"
		if r.URL.RawQuery != "" {
			path += "?" + r.URL.RawQuery
		}
		response, err := a.do(r.Context(), http.MethodGet, path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = response.Body.Close() }()
		w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
		w.WriteHeader(response.StatusCode)
		// The status is sent: an error now can only cut the answer short, which
		// the scraper sees by itself.
		_ = own.rewrite(w, response.Body)
		if response.StatusCode == http.StatusOK {
			_ = u.write(w)
			_, _ = io.WriteString(w, certificate())
		}
	})
}

// serve listens at once, so that an address in use ends the agent, and serves
// until ctx ends. Then it closes at once: whoever asks a probe is not waited for.
func serve(ctx context.Context, address string, handlers map[string]http.Handler) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	for pattern, h := range handlers {
		mux.Handle(pattern, h)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	go func() {
		// An error other than ErrServerClosed would be one of accept, which the
		// server repeats by itself when it is a passing one; else probes fail and
		// the pod is not ready.
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			_ = server.Close()
		}
	}()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return nil
}
