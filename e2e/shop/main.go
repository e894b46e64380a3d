// Command shop is a small service to deliver: it answers its version, over HTTP/1.1 and HTTP/2 without TLS on one
// port, and can be told to answer slowly or with errors.
//
//	shop                    serves; environment: VERSION, ERROR_RATE, DELAY, ADDRESS, STOP_AFTER
//	shop load -url URL ...  is a client inside the cluster; prints what it counted as JSON, each second a line
//	shop talk -to ADDRESS . holds long conversations, by WebSocket or gRPC; prints them as JSON, each second a line
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	run := serve
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "load":
			run = func(ctx context.Context) error { return loadCommand(ctx, os.Args[2:], os.Stdout) }
		case "talk":
			run = func(ctx context.Context) error { return talkCommand(ctx, os.Args[2:], os.Stdout) }
		}
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

// settings come from the environment.
type settings struct {
	version, pod, address string
	fault                 fault
	stopAfter             time.Duration
}

func fromEnvironment(env func(string) string) (settings, error) {
	or := func(key, otherwise string) string {
		if v := env(key); v != "" {
			return v
		}
		return otherwise
	}
	s := settings{version: or("VERSION", "dev"), pod: or("HOSTNAME", "shop"), address: or("ADDRESS", ":8080")}
	var err error
	if s.fault.Errors, err = parseRate(or("ERROR_RATE", "0")); err != nil {
		return s, fmt.Errorf("ERROR_RATE: %w", err)
	}
	if s.fault.Delay, err = parseDelay(or("DELAY", "0s")); err != nil {
		return s, fmt.Errorf("DELAY: %w", err)
	}
	if s.stopAfter, err = parseDelay(or("STOP_AFTER", "3s")); err != nil {
		return s, fmt.Errorf("STOP_AFTER: %w", err)
	}
	return s, nil
}

func parseRate(text string) (float64, error) {
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil || !(rate >= 0 && rate <= 1) {
		return 0, fmt.Errorf("%q is no number from 0 to 1", text)
	}
	return rate, nil
}

func parseDelay(text string) (time.Duration, error) {
	delay, err := time.ParseDuration(text)
	if err != nil || delay < 0 || delay > time.Minute {
		return 0, fmt.Errorf("%q is no duration from 0s to 1m", text)
	}
	return delay, nil
}

// serve answers until it is told to stop, and a while longer: whoever still has this pod among his endpoints
// when it gets its SIGTERM must not notice.
func serve(ctx context.Context) error {
	s, err := fromEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	handler := newShop(s)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return err
	}
	fmt.Printf("version %s of the shop listens on %s\n", s.version, listener.Addr())
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	handler.stopping.Store(true)
	time.Sleep(s.stopAfter)
	handler.end()
	end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(end); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("wait for the last answers: %w", err)
	}
	return nil
}
