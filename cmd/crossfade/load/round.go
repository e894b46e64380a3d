package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"fortio.org/fortio/periodic"
	"fortio.org/log"
)

// Options say what is sent.
type Options struct {
	// URL is asked with GET; its scheme is http.
	URL string
	// Rate is in requests per second, all connections together; above 0.
	Rate float64
	// Duration of one round, a second at least.
	Duration time.Duration
	// Connections is how many are open at once, 1 at least. A connection has one
	// request at a time, with HTTP/2 too.
	Connections int
	// HTTP2 uses HTTP/2 without TLS, by prior knowledge, instead of HTTP/1.1.
	HTTP2 bool
	// Timeout bounds one request.
	Timeout time.Duration
}

// Round is what became of the requests of one round.
type Round struct {
	// Requests is how many were sent.
	Requests int `json:"requests"`
	// Took is how long it took to send them and to get all answers.
	Took time.Duration `json:"took"`
	// Answers are the times of the requests that were answered with a status below
	// 400; how fast something fails says nothing about what a proxy costs.
	Answers Distribution `json:"answers"`
	// Errors counts the others by what was wrong, such as "status 503".
	Errors map[string]int `json:"errors,omitempty"`
}

// maxKinds bounds how many kinds of errors are told apart; the rest are "other".
const maxKinds = 20

// fail counts an error.
func (r *Round) fail(kind string) {
	if r.Errors == nil {
		r.Errors = map[string]int{}
	}
	if _, known := r.Errors[kind]; !known && len(r.Errors) >= maxKinds {
		kind = "other"
	}
	r.Errors[kind]++
}

// merge adds what another connection counted in the same round.
func (r *Round) merge(other Round) {
	r.Requests += other.Requests
	r.Answers = r.Answers.Merge(other.Answers)
	for kind, n := range other.Errors {
		if r.Errors == nil {
			r.Errors = map[string]int{}
		}
		r.Errors[kind] += n
	}
}

// client holds the connections from round to round: what opening them costs is
// not what is measured.
type client struct {
	options     Options
	connections []*connection
	// patience is how long the first requests may fail: the proxy in the way may
	// have started together with the client.
	patience time.Duration
}

func newClient(o Options) *client {
	// What fortio has to tell about a run is in the round's result.
	log.SetLogLevelQuiet(log.Error)
	c := &client{options: o, patience: 10 * time.Second}
	for range o.Connections {
		c.connections = append(c.connections, newConnection(o))
	}
	return c
}

// warm sends one request on each connection, which opens it, and returns an error
// when one of them has failed until patience ended.
func (c *client) warm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience+c.options.Timeout)
	defer cancel()
	for end := time.Now().Add(c.patience); ; {
		err := c.open(ctx)
		if err == nil || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (c *client) open(ctx context.Context) error {
	kinds := make([]string, len(c.connections))
	var waiting sync.WaitGroup
	for i, connection := range c.connections {
		waiting.Go(func() { kinds[i] = connection.request(ctx) })
	}
	waiting.Wait()
	for _, kind := range kinds {
		if kind != "" {
			return fmt.Errorf("ask %s: %s", c.options.URL, kind)
		}
	}
	return nil
}

// round sends for the time of one round. When ctx ends so does the round, with
// what has been counted.
func (c *client) round(ctx context.Context) Round {
	// Given one, fortio leaves the process's signals alone.
	stop := periodic.NewAborter()
	defer context.AfterFunc(ctx, func() { stop.Abort(true) })()
	runner := periodic.NewPeriodicRunner(&periodic.RunnerOptions{
		QPS: c.options.Rate, Duration: c.options.Duration, NumThreads: len(c.connections),
		// Requests of different connections at the same moment would queue behind
		// each other, in the client first.
		Uniform: true,
		Out:     io.Discard, Stop: stop,
	})
	// Those that are among the options that it is made of, it forgets.
	for i, connection := range c.connections {
		connection.round = Round{}
		runner.Options().Runners[i] = connection
	}
	sum := Round{Took: runner.Run().ActualDuration}
	for _, connection := range c.connections {
		sum.merge(connection.round)
	}
	return sum
}

// connection is one of the client's. It is used by one goroutine at a time.
type connection struct {
	url   string
	http  *http.Client
	round Round
}

func newConnection(o Options) *connection {
	transport := &http.Transport{
		DialContext:     (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1,
		DisableCompression: true,
		Protocols:          new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(!o.HTTP2)
	transport.Protocols.SetUnencryptedHTTP2(o.HTTP2)
	return &connection{url: o.URL, http: &http.Client{
		Transport: transport, Timeout: o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Run is one request, for fortio's runner.
func (c *connection) Run(ctx context.Context, _ periodic.ThreadID) (bool, string) {
	begin := time.Now()
	kind := c.request(ctx)
	took := time.Since(begin)
	c.round.Requests++
	if kind != "" {
		c.round.fail(kind)
		return false, kind
	}
	c.round.Answers.Record(took)
	return true, ""
}

// request sends one and returns what was wrong with the answer, if anything.
func (c *connection) request(ctx context.Context) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return err.Error()
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return kindOf(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return kindOf(err)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return fmt.Sprintf("status %d", answer.StatusCode)
	}
	return ""
}

// kindOf names an error without the addresses and ports in it, so that a
// thousand of the same kind are one line.
func kindOf(err error) string {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return "timeout"
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	var name *net.DNSError
	if errors.As(err, &name) {
		return "name " + name.Name + ": " + name.Err
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "connection closed"
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text[:min(len(text), 120)]
}
