package outbound

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
)

// RoundTrip makes a Guard the transport of clients that are not ours: those of
// libraries, which follow redirects and read bodies as they like. Each request is
// checked, one that an answer has led to as well, and a body that goes on beyond 1 MiB
// ends in an error.
func (g *Guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := g.checkRequest(req); err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // A RoundTripper closes it on errors, too; there is nothing to lose in it.
		}
		return nil, err
	}
	res, err := g.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	res.Body = http.MaxBytesReader(nil, res.Body, maxBody)
	return res, nil
}

// DialContext connects to a host's address after it was checked.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return g.dial(ctx, network, address, Target{})
}

// CheckHost says whether host:port may be dialled, for libraries that insist on dialling
// it themselves. They look the name up again, so it is less than DialContext.
func (g *Guard) CheckHost(ctx context.Context, address string) error {
	_, err := g.lookUp(ctx, address, Target{})
	return err
}

func (g *Guard) checkRequest(req *http.Request) error {
	if err := g.CheckURL(req.URL); err != nil {
		return err
	}
	via := redirects(req)
	if len(via) == 0 {
		return nil
	}
	err := g.redirect(req, via, Target{})
	if errors.Is(err, http.ErrUseLastResponse) {
		return &Refusal{Why: "redirected to a request without what was to be sent"}
	}
	return err
}

// redirects are the requests whose answers have led to this one, the first one first.
func redirects(req *http.Request) []*http.Request {
	var via []*http.Request
	for r := req.Response; r != nil && r.Request != nil; r = r.Request.Response {
		via = append(via, r.Request)
	}
	slices.Reverse(via)
	return via
}
