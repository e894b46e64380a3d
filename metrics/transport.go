package metrics

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// maxAnswer bounds the bytes of an answer that are held in memory, after decompression. One number takes about 200;
// the rest is room to count the series of a query that lacks its sum.
const maxAnswer = 1 << 20

// connectTimeout ends attempts to connect that outlive their query: a transport may keep one for the next query.
const connectTimeout = 10 * time.Second

// transport adds the bearer token to each request and bounds each answer.
type transport struct {
	base      http.RoundTripper
	tokenFile string
}

// dialer connects to a host and port.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// newTransport is written out rather than taken from http.DefaultTransport, which any imported package may change.
func newTransport(u *url.URL, dial dialer, caFile, tokenFile string) (*transport, error) {
	if u.Scheme != "https" && caFile != "" {
		return nil, errors.New("check the Prometheus CA file: it has no use with an http:// URL; write https:// or leave it out")
	}
	if u.Scheme != "https" && tokenFile != "" {
		return nil, errors.New("check the Prometheus bearer token file: a token is not sent over an http:// URL, where others can read it; write https:// or leave it out")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read the Prometheus CA file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the Prometheus CA file: %s holds no PEM certificate", caFile)
		}
	}
	if tokenFile != "" {
		if _, err := readToken(tokenFile); err != nil {
			return nil, err
		}
	}
	if dial == nil {
		dial = (&net.Dialer{Timeout: connectTimeout}).DialContext
	}
	return &transport{tokenFile: tokenFile, base: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial,
		TLSHandshakeTimeout:    connectTimeout,
		TLSClientConfig:        config,
		ForceAttemptHTTP2:      true,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    16,
		MaxResponseHeaderBytes: 64 << 10,
	}}, nil
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.tokenFile != "" {
		token, err := readToken(t.tokenFile)
		if err != nil {
			if req.Body != nil {
				_ = req.Body.Close() // A RoundTripper closes the body on errors too; there is nothing to lose in it.
			}
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	// It fails where io.LimitReader would end: a cut answer must not pass for a whole one.
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	return resp, nil
}

// readToken refuses what cannot be a token without repeating any of it.
func readToken(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the Prometheus bearer token file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", fmt.Errorf("read the Prometheus bearer token file: %s is empty", file)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("read the Prometheus bearer token file: %s holds more than one token", file)
	}
	return token, nil
}
