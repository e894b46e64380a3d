package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
)

// DefaultTimeout bounds a query when Options.Timeout is zero.
const DefaultTimeout = 10 * time.Second

// Options say which Prometheus to ask and how. They are the administrator's, never a user's: whoever chooses the
// address chooses where the controller connects to.
type Options struct {
	// URL is the server's base address, such as https://prometheus.monitoring.svc:9090, with the path prefix under
	// which it is served, if any. The path of the query API is appended.
	URL string
	// CAFile holds the PEM certificates to trust instead of the system's. It is read once, by New. Optional; only for https.
	CAFile string
	// BearerTokenFile holds a token to send with each request. It is read again each time, because service account
	// tokens rotate. Optional; only for https, because a token sent in the clear is anyone's.
	BearerTokenFile string
	// Timeout bounds one query from the call to the last byte of its answer. Zero means DefaultTimeout.
	Timeout time.Duration
	// Dial connects to the server; who gives one can refuse addresses. Optional.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Observe is called after each query with its outcome and the seconds it took. Optional; it needs Now.
	Observe func(outcome Outcome, seconds float64)
	// Now is the clock for Observe.
	Now func() time.Time
}

// Source asks one Prometheus server. It is safe for concurrent use.
type Source struct {
	api     promv1.API
	timeout time.Duration
	observe func(Outcome, float64)
	now     func() time.Time
}

// New checks the options and returns a Source. It reads the files that the options name but does not connect, so
// that a controller can start before its Prometheus.
func New(o Options) (*Source, error) {
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("check the timeout of a query: %s is negative", o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Observe != nil && o.Now == nil {
		return nil, errors.New("check the options: Observe is given without Now, so nothing can measure the seconds")
	}
	tr, err := newTransport(u, o.Dial, o.CAFile, o.BearerTokenFile)
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(api.Config{Address: u.String(), Client: &http.Client{
		Transport: tr,
		// A redirect is answered to the administrator rather than followed: it would take the query, and on the same
		// transport the token, to an address that nobody wrote down.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}})
	if err != nil {
		return nil, fmt.Errorf("create the Prometheus client: %w", err)
	}
	return &Source{api: promv1.NewAPI(statusClient{client}), timeout: o.Timeout, observe: o.Observe, now: o.Now}, nil
}

// Query evaluates a rendered query at one time. Everything that can go wrong is an outcome of the Sample.
func (s *Source) Query(ctx context.Context, query string, at time.Time) Sample {
	if s.observe == nil {
		return s.ask(ctx, query, at)
	}
	start := s.now()
	sample := s.ask(ctx, query, at)
	s.observe(sample.Outcome, s.now().Sub(start).Seconds())
	return sample
}

func (s *Source) ask(ctx context.Context, query string, at time.Time) Sample {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	// The server is told the limit too, so that it does not go on with what nobody waits for. In whole seconds, as
	// Go's "1.5s" is no duration to Prometheus.
	limit := (s.timeout + time.Second - 1).Truncate(time.Second)
	value, warnings, _, err := s.api.Query(ctx, query, at, promv1.WithTimeout(limit))
	if err != nil {
		return fromError(err, s.timeout)
	}
	return fromAnswer(value, warnings)
}

// parseURL accepts the base address of a server. Each refusal says what to write instead.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		// The parse error repeats the text, which may hold a password.
		return nil, errors.New("parse the Prometheus URL: write it like http://prometheus.monitoring.svc:9090")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("check the Prometheus URL: it starts with neither http:// nor https:// (%s); write it like http://prometheus.monitoring.svc:9090", u.Redacted())
	case u.Hostname() == "":
		return nil, fmt.Errorf("check the Prometheus URL: it names no host (%s); write it like http://prometheus.monitoring.svc:9090", u.Redacted())
	case u.User != nil:
		return nil, errors.New("check the Prometheus URL: it holds a user name; give credentials as a bearer token file instead")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("check the Prometheus URL: leave out everything from the ? or # on (%s)", u)
	case strings.Contains(u.Path, "/api/v1"):
		return nil, fmt.Errorf("check the Prometheus URL: leave out /api/v1 and what follows (%s), it is appended", u)
	}
	return u, nil
}

// fromError says why a query has no answer. The error's own text is kept, without the address that net/http puts in
// front: after a fallback to GET it holds the whole query.
func fromError(err error, timeout time.Duration) Sample {
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.sample()
	}
	var apiErr *promv1.Error
	if errors.As(err, &apiErr) {
		return (&refusal{status: http.StatusOK, kind: apiErr.Type, text: apiErr.Msg}).sample()
	}
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		err = urlErr.Err
	}
	var netErr net.Error
	switch {
	case isTooLarge(err):
		return Sample{Outcome: QueryError, Message: "the answer is larger than 1 MiB: aggregate the series into one number, for example with sum(...)"}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return Sample{Outcome: TimedOut, Message: fmt.Sprintf("Prometheus did not answer in time (a query may take %s)", timeout)}
	case errors.Is(err, context.Canceled):
		return Sample{Outcome: Unreachable, Message: "the query was cancelled before its answer came"}
	}
	return Sample{Outcome: Unreachable, Message: "Prometheus cannot be reached: " + oneLine(err.Error())}
}

// isTooLarge knows the error that ends the reading of an answer.
func isTooLarge(err error) bool {
	var tooLarge *http.MaxBytesError
	return errors.As(err, &tooLarge)
}
