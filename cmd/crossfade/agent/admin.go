package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answerWithin is how long Envoy gets for an answer to the agent. Its main
// thread answers in a millisecond; one that does not is frozen or starved, and
// as good as gone for whoever asks whether it is ready.
const answerWithin = 800 * time.Millisecond

// admin asks Envoy's administration interface.
type admin struct {
	client *http.Client
}

func newAdmin(socket string) admin {
	return admin{client: &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
			// A connection to an Envoy that crashed is of no use for the next one.
			DisableKeepAlives: true,
		},
	}}
}

// state returns Envoy's own word: LIVE when it has its first whole
// configuration, PRE_INITIALIZING or INITIALIZING before, DRAINING.
func (a admin) state(ctx context.Context) (string, error) {
	code, body, err := a.ask(ctx, http.MethodGet, "/ready")
	if err != nil {
		return "", err
	}
	// 503 is an answer too: it comes with every state but LIVE.
	if code != http.StatusOK && code != http.StatusServiceUnavailable {
		return "", fmt.Errorf("ask Envoy whether it is ready: status %d", code)
	}
	return strings.TrimSpace(body), nil
}

// drain asks Envoy to end all connections bit by bit, and to go on running.
func (a admin) drain(ctx context.Context) error {
	// Without skip_exit Envoy would close its listeners under the clients that
	// come late.
	return a.post(ctx, "/drain_listeners?graceful&skip_exit")
}

// quit asks Envoy to end now.
func (a admin) quit(ctx context.Context) error { return a.post(ctx, "/quitquitquit") }

func (a admin) post(ctx context.Context, path string) error {
	code, body, err := a.ask(ctx, http.MethodPost, path)
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return fmt.Errorf("post %s to Envoy: status %d: %s", path, code, strings.TrimSpace(body))
	}
	return nil
}

// connections returns how many connections of clients are open.
func (a admin) connections(ctx context.Context) (int, error) {
	code, body, err := a.ask(ctx, http.MethodGet, `/stats?filter=^listener\..*\.downstream_cx_active$`)
	if err != nil {
		return 0, err
	}
	if code != http.StatusOK {
		return 0, fmt.Errorf("ask Envoy for its connections: status %d", code)
	}
	return sumConnections(body)
}

// sumConnections adds up lines such as
// "listener.0.0.0.0_10080.downstream_cx_active: 3". The gauges of the admin
// interface hold the agent's own question, those of the workers count the same
// connections again.
func sumConnections(stats string) (int, error) {
	sum := 0
	lines := bufio.NewScanner(strings.NewReader(stats))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ": ")
		if !ok || strings.HasPrefix(name, "listener.admin.") || strings.Contains(name, ".worker_") {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", name, err)
		}
		sum += n
	}
	return sum, lines.Err()
}

func (a admin) ask(ctx context.Context, method, path string) (code int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	response, err := a.do(ctx, method, path)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	// What is asked for here is short; a limit costs nothing.
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return 0, "", fmt.Errorf("read Envoy's answer: %w", err)
	}
	return response.StatusCode, string(content), nil
}

func (a admin) do(ctx context.Context, method, path string) (*http.Response, error) {
	// The host is only for the Host header: the socket is the address.
	request, err := http.NewRequestWithContext(ctx, method, "http://envoy"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("make request to Envoy: %w", err)
	}
	response, err := a.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask Envoy: %w", err)
	}
	return response, nil
}
