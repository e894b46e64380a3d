// Package load sends requests at a fixed rate and keeps what became of each one.
//
// The rate does not bend when answers are slow (an open loop): a client that waits for one answer before it asks
// again would send least just when a release loses requests, and would count least then.
package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"
)

// Protocol is how a client uses its connections.
type Protocol string

// The protocols.
const (
	// KeepAlive is HTTP/1.1 with connections that are used again.
	KeepAlive Protocol = "http1"
	// NewConnections is HTTP/1.1 with a connection for each request, so that the cluster's balancing chooses anew
	// each time.
	NewConnections Protocol = "http1-new"
	// H2C is HTTP/2 without TLS, by prior knowledge: all requests on one connection.
	H2C Protocol = "h2c"
	// Calls are calls of gRPC with one empty message each (grpc.testing.TestService/EmptyCall), over HTTP/2 as H2C; the
	// URL is without path.
	Calls Protocol = "grpc"
)

// Limits that no run goes over, whatever its options say.
const (
	// maxRequests is how many samples a run keeps; it ends there.
	maxRequests = 2_000_000
	// maxInFlight is how many requests wait for their answer at once. One more is a failure of its own, so that
	// neither memory nor sockets can run out in silence.
	maxInFlight = 2000
	// maxAnswer is how much of an answer is read.
	maxAnswer = 1 << 20
)

// Options say what is sent.
type Options struct {
	// URL is asked with GET, but for Calls.
	URL string
	// Host is the Host header; empty for that of the URL.
	Host string
	// Header goes with each request.
	Header http.Header
	// Protocol is KeepAlive when empty.
	Protocol Protocol
	// Rate is in requests per second, above 0.
	Rate float64
	// Timeout bounds one request; a minute when zero: a machine with much to do is slow, and that is no loss.
	Timeout time.Duration
	// Requests ends the run after so many; zero for as many as the run may hold.
	Requests int
}

// Sample is one request and what became of it.
type Sample struct {
	// At is when it was sent.
	At time.Time `json:"at"`
	// Took is the time until the whole answer was read.
	Took time.Duration `json:"took"`
	// Status is the answer's, 0 without one.
	Status int `json:"status,omitempty"`
	// Version and Pod are who answered, by the headers x-version and x-pod; empty when a proxy answered itself.
	Version string `json:"version,omitempty"`
	Pod     string `json:"pod,omitempty"`
	// Error is the transport's error, or what is wrong with the answer.
	Error string `json:"error,omitempty"`
	// Redone is set when Go's HTTP client found its connection closed and asked once more on another one. The
	// user lost nothing, but a proxy that closes connections without a word is worth knowing.
	Redone bool `json:"redone,omitempty"`
}

// Own says that the version itself answered with an error: what a bad version does, and no fault of the way to it.
func (s Sample) Own() bool { return s.Error == "" && s.Version != "" && s.Status >= 500 }

// Lost says that nobody answered, or somebody else than a version.
func (s Sample) Lost() bool {
	return s.Error != "" || s.Version == "" || s.Status < 200 || (s.Status >= 300 && s.Status < 500)
}

// Run is a load that is on.
type Run struct {
	options Options
	client  *http.Client
	stop    context.CancelFunc
	done    chan struct{}

	mu      sync.Mutex
	samples []Sample
}

// Start begins to send. The load ends with ctx, with Stop, or after Options.Requests.
func Start(ctx context.Context, o Options) (*Run, error) {
	if u, err := url.Parse(o.URL); err != nil || u.Host == "" {
		return nil, fmt.Errorf("cannot ask URL %q: it needs a scheme and a host", o.URL)
	}
	if o.Rate <= 0 {
		return nil, fmt.Errorf("rate is %v requests per second: it has to be above 0", o.Rate)
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Requests <= 0 || o.Requests > maxRequests {
		o.Requests = maxRequests
	}
	transport, err := newTransport(o.Protocol)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &Run{options: o, client: &http.Client{Transport: transport, Timeout: o.Timeout}, stop: cancel, done: make(chan struct{})}
	r.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	go func() {
		defer close(r.done)
		r.send(ctx)
		transport.CloseIdleConnections()
	}()
	return r, nil
}

func newTransport(p Protocol) (*http.Transport, error) {
	// Connecting has no bound of its own: it is part of the request, which has one.
	t := &http.Transport{
		DialContext:         (&net.Dialer{}).DialContext,
		MaxIdleConnsPerHost: maxInFlight,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS13},
	}
	switch p {
	case KeepAlive, "":
	case NewConnections:
		t.DisableKeepAlives = true
	case H2C, Calls:
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
	default:
		return nil, fmt.Errorf("unknown protocol %q: use %s, %s, %s or %s", p, KeepAlive, NewConnections, H2C, Calls)
	}
	return t, nil
}

// Stop ends the sending, waits for the answers that are outstanding and returns all samples in the order of
// their sending.
func (r *Run) Stop() []Sample {
	r.stop()
	<-r.done
	return r.Samples()
}

// Done is closed when the last answer is there.
func (r *Run) Done() <-chan struct{} { return r.done }

// Samples returns what is known so far, without the requests that are on their way.
func (r *Run) Samples() []Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Sample, 0, len(r.samples))
	for _, s := range r.samples {
		if s.Took > 0 {
			out = append(out, s)
		}
	}
	return out
}

func (r *Run) send(ctx context.Context) {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	slots := make(chan struct{}, maxInFlight)
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := range r.options.Requests {
		due := begin.Add(time.Duration(float64(n) / r.options.Rate * float64(time.Second)))
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		i := r.add(Sample{At: time.Now()})
		select {
		case slots <- struct{}{}:
		default:
			r.finish(i, Sample{Took: 1, Error: fmt.Sprintf("client: %d requests are waiting for their answer", maxInFlight)})
			continue
		}
		waiting.Go(func() {
			defer func() { <-slots }()
			// Not with ctx: what was sent is waited for, so that the end of a load loses nothing.
			r.finish(i, r.request(context.WithoutCancel(ctx)))
		})
	}
}

func (r *Run) add(s Sample) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, s)
	return len(r.samples) - 1
}

func (r *Run) finish(i int, s Sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.At = r.samples[i].At
	r.samples[i] = s
}

// request sends one. Took is never 0 in what it returns.
func (r *Run) request(ctx context.Context) Sample {
	begin := time.Now()
	connections := 0
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connections++ }}
	s := Sample{}
	err := r.exchange(httptrace.WithClientTrace(ctx, trace), &s)
	s.Took = max(time.Since(begin), 1)
	s.Redone = connections > 1
	if err != nil {
		s.Error = err.Error()
	}
	return s
}

func (r *Run) exchange(ctx context.Context, s *Sample) error {
	request, err := r.next(ctx)
	if err != nil {
		return err
	}
	answer, err := r.client.Do(request)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	s.Status, s.Version, s.Pod = answer.StatusCode, answer.Header.Get("x-version"), answer.Header.Get("x-pod")
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if s.Version == "" {
		return fmt.Errorf("no version answered: status %d, %.120q", s.Status, body)
	}
	if r.options.Protocol == Calls && s.Status == http.StatusOK {
		s.Status, err = grpcStatus(answer)
	}
	return err
}

// next is a request.
func (r *Run) next(ctx context.Context) (*http.Request, error) {
	method, target, body := http.MethodGet, r.options.URL, io.Reader(nil)
	if r.options.Protocol == Calls {
		// The frame of an empty message: not compressed, no bytes.
		method, target, body = http.MethodPost, target+"/grpc.testing.TestService/EmptyCall", bytes.NewReader(make([]byte, 5))
	}
	request, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	request.Host = r.options.Host
	if r.options.Header != nil {
		request.Header = r.options.Header.Clone()
	}
	if r.options.Protocol == Calls {
		request.Header.Set("content-type", "application/grpc")
		request.Header.Set("te", "trailers")
	}
	return request, nil
}

// grpcStatus is the HTTP status for that of a call, which comes after the message, or in the header if there is none.
func grpcStatus(answer *http.Response) (int, error) {
	switch code := answer.Trailer.Get("grpc-status") + answer.Header.Get("grpc-status"); code {
	case "0":
		return http.StatusOK, nil
	case "14":
		return http.StatusServiceUnavailable, nil
	default:
		return 0, fmt.Errorf("a call ended with grpc-status %q", code)
	}
}
