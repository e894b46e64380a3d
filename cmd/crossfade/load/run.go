package load

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// Paths and limits of the program, which `crossfade bench` knows too.
const (
	// PathReady answers 200 as soon as rounds can be asked for.
	PathReady = "/ready"
	// PathRound, asked with POST, is one round; it answers a Round as JSON, or 502
	// with a sentence when a first request on each connection already fails.
	PathRound = "/round"
	// MaxRate and MaxConnections are what one client can be asked for at most.
	MaxRate        = 20000
	MaxConnections = 1000
	// MaxDuration is that of one round: answers that are on their way for longer
	// are cut by what is between the client and its user.
	MaxDuration = time.Minute
)

type settings struct {
	options Options
	listen  string
	idle    time.Duration
}

// Run is `crossfade load`. It returns nil when ctx ends, or when nobody has
// asked for a round for some time: whoever started it may be gone.
func Run(ctx context.Context, args []string) error {
	s, err := parse(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return serve(ctx, s)
}

func parse(args []string, out io.Writer) (settings, error) {
	s := settings{options: Options{Timeout: 10 * time.Second}}
	f := flag.NewFlagSet("crossfade load", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&s.options.URL, "url", "", "what is asked, such as http://payments.shop:80/; required")
	f.Float64Var(&s.options.Rate, "rate", 100, "requests per second, all connections together")
	f.DurationVar(&s.options.Duration, "duration", 10*time.Second, "of one round")
	f.IntVar(&s.options.Connections, "connections", 4, "open at once, each with one request at a time")
	f.BoolVar(&s.options.HTTP2, "http2", false, "use HTTP/2 without TLS instead of HTTP/1.1")
	f.StringVar(&s.listen, "listen", ":15180", "where rounds are asked for: POST "+PathRound)
	f.DurationVar(&s.idle, "idle", 5*time.Minute, "end when nobody has asked for a round for so long")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("load takes flags only, got %q", f.Arg(0))
	}
	if u, err := url.Parse(s.options.URL); err != nil || u.Scheme != "http" || u.Host == "" {
		return s, fmt.Errorf("--url %q: want http://HOST[:PORT][/PATH]", s.options.URL)
	}
	return s, s.options.Check()
}

// Check says what is out of its range.
func (o Options) Check() error {
	switch {
	case !(o.Rate > 0) || o.Rate > MaxRate:
		return fmt.Errorf("--rate %v: want more than 0 and at most %d requests per second", o.Rate, MaxRate)
	case o.Duration < time.Second || o.Duration > MaxDuration:
		return fmt.Errorf("--duration %v: want 1s to %v", o.Duration, MaxDuration)
	case o.Connections < 1 || o.Connections > MaxConnections:
		return fmt.Errorf("--connections %d: want 1 to %d", o.Connections, MaxConnections)
	// Less than that, and fortio's pace would be another than the one asked for.
	case o.Rate*o.Duration.Seconds() < float64(2*o.Connections):
		return fmt.Errorf("--rate %v for --duration %v is less than two requests on each of %d connections: want a higher rate, a longer round or fewer connections",
			o.Rate, o.Duration, o.Connections)
	}
	return nil
}

func serve(ctx context.Context, s settings) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	idle := time.AfterFunc(s.idle, cancel)
	defer idle.Stop()
	server := &http.Server{
		Addr: s.listen, ReadHeaderTimeout: 5 * time.Second,
		Handler: handler(ctx, newClient(s.options), func() { idle.Reset(s.idle) }),
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// handler answers what is asked. Each round tells asked at its begin and its end.
func handler(ctx context.Context, c *client, asked func()) http.Handler {
	var busy sync.Mutex
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PathReady, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
	mux.HandleFunc("POST "+PathRound, func(w http.ResponseWriter, r *http.Request) {
		if !busy.TryLock() {
			http.Error(w, "a round is on", http.StatusConflict)
			return
		}
		defer busy.Unlock()
		asked()
		defer asked()
		// It ends with the program, and when whoever asked for it is gone.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(r.Context(), cancel)()
		if err := c.warm(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		round := c.round(ctx)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(round) // Whoever does not get it sees that.
	})
	return mux
}
