package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// maxBody is how much of an answer is read before its connection is closed. Nothing of
// it is kept: what a server says in its body is for its own log.
const maxBody = 1 << 20

// Answer is what came of a request.
type Answer struct {
	// Code is the HTTP status, 0 when there was no answer.
	Code int
	// Refused says that nothing was sent, or sent on, because it must not be.
	Refused bool
	// Message is a short sentence of ours; nothing that the other side wrote is in it.
	Message string
}

// Post sends a JSON body with some headers and waits for one answer.
func (g *Guard) Post(ctx context.Context, t Target, body []byte, headers http.Header, timeout time.Duration) Answer {
	if t.Own == nil {
		if err := g.CheckURL(t.URL); err != nil {
			return Answer{Refused: true, Message: err.Error()}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL.String(), bytes.NewReader(body))
	if err != nil {
		return Answer{Refused: true, Message: "the URL cannot be asked"}
	}
	maps.Copy(req.Header, headers)
	req.Header.Set("Content-Type", "application/json")
	client := g.client(t)
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return failed(err, timeout)
	}
	defer func() { _ = res.Body.Close() }() // What is left of it is not wanted.
	// The status is the answer; a body that breaks off changes nothing.
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxBody))
	return Answer{Code: res.StatusCode, Message: fmt.Sprintf("answered %d", res.StatusCode)}
}

// failed says in our own words why there is no answer: an error's may hold what the
// other side wrote, and change from time to time.
func failed(err error, timeout time.Duration) Answer {
	var refusal *Refusal
	var dns *net.DNSError
	var timedOut net.Error
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &refusal):
		return Answer{Refused: true, Message: refusal.Why}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timedOut) && timedOut.Timeout():
		return Answer{Message: fmt.Sprintf("no answer within %s", timeout)}
	case errors.Is(err, errNoAddress):
		return Answer{Message: "no ready pod answers for it"}
	case errors.As(err, &dns):
		return Answer{Message: "its name is not found"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return Answer{Message: "the connection was refused"}
	case errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &invalid):
		return Answer{Message: "its certificate is not trusted"}
	case errors.As(err, &record):
		return Answer{Message: "it does not speak TLS"}
	}
	return Answer{Message: "the connection failed"}
}
