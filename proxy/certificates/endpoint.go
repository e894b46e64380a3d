package certificates

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"

	"github.com/crossfade-dev/crossfade/proxy/identity"
)

// ResultIssued is the result of a request that got its certificate; the others
// are identity's reasons.
const ResultIssued = "issued"

// maxToken bounds what is handed on to the API server.
const maxToken = 8 << 10

// Options are what an endpoint needs from outside. All but Observe are required.
type Options struct {
	Logger logr.Logger
	// Now is the clock.
	Now func() time.Time
	// Authenticate says whose token it is. A Refusal is the sender's fault; any
	// other error is not, and he may come again.
	Authenticate func(ctx context.Context, token string) (identity.Workload, error)
	// Sign signs what is left to be checked: the request's key.
	Sign func(csr []byte, w identity.Workload) (Answer, error)
	// Observe counts results: ResultIssued or a reason.
	Observe func(result string)
	// Limits bound how much is asked; the zero value stands for DefaultLimits.
	Limits Limits
}

// Endpoint answers requests for certificates.
type Endpoint struct {
	options Options
	limits  *limiter
}

// NewEndpoint returns the handler of Path.
func NewEndpoint(o Options) *Endpoint {
	if o.Observe == nil {
		o.Observe = func(string) {}
	}
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits()
	}
	return &Endpoint{options: o, limits: newLimiter(o.Limits)}
}

// ServeHTTP answers one request. What costs least is checked first, and nothing
// of the signing request is parsed before its sender is known.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		from = r.RemoteAddr
	}
	answer, who, err := e.answer(w, r, from)
	if err != nil {
		e.refuse(w, from, who, err)
		return
	}
	e.options.Observe(ResultIssued)
	e.options.Logger.Info("Signed a certificate", "identity", who.ID.String(), "pod", who.PodUID, "from", from, "renewAfter", time.Duration(answer.RenewAfter).String())
	write(w, http.StatusOK, answer)
}

func (e *Endpoint) answer(w http.ResponseWriter, r *http.Request, from string) (Answer, identity.Workload, error) {
	var nobody identity.Workload
	if !e.limits.allow(from, e.options.Now()) {
		return Answer{}, nobody, identity.Refuse(identity.ReasonRate, "too many requests, come again in a few seconds")
	}
	request, err := read(w, r)
	if err != nil {
		return Answer{}, nobody, err
	}
	who, err := e.options.Authenticate(r.Context(), request.Token)
	if err != nil {
		return Answer{}, who, err
	}
	answer, err := e.options.Sign([]byte(request.CSR), who)
	return answer, who, err
}

func read(w http.ResponseWriter, r *http.Request) (Request, error) {
	var request Request
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxRequest))
	if err := body.Decode(&request); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return request, identity.Refuse(identity.ReasonTooLarge, "the request is larger than %d bytes", MaxRequest)
		}
		return request, identity.Refuse(identity.ReasonMalformed, "the request is not JSON with token and csr: %v", err)
	}
	if _, err := body.Token(); !errors.Is(err, io.EOF) {
		return request, identity.Refuse(identity.ReasonMalformed, "something stands behind the request")
	}
	switch {
	case request.Token == "":
		return request, identity.Refuse(identity.ReasonToken, "the request has no token")
	case len(request.Token) > maxToken:
		return request, identity.Refuse(identity.ReasonTooLarge, "the token is larger than %d bytes", maxToken)
	case len(request.CSR) > identity.MaxCSR:
		return request, identity.Refuse(identity.ReasonTooLarge, "the signing request is larger than %d bytes", identity.MaxCSR)
	}
	return request, nil
}

// refuse tells the sender, the log and the metric. What went wrong inside is for
// the log alone.
func (e *Endpoint) refuse(w http.ResponseWriter, from string, who identity.Workload, err error) {
	reason := identity.ReasonOf(err)
	e.options.Observe(string(reason))
	e.options.Logger.Info("Refused a certificate", "from", from, "identity", who.ID.String(), "reason", string(reason), "why", err.Error())
	text := err.Error()
	if reason == identity.ReasonInternal {
		text = "the controller cannot sign now, come again"
	}
	code := statusOf(reason)
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	write(w, code, Problem{Reason: string(reason), Error: text})
}

func statusOf(reason identity.Reason) int {
	switch reason {
	case identity.ReasonMalformed, identity.ReasonKey:
		return http.StatusBadRequest
	case identity.ReasonTooLarge:
		return http.StatusRequestEntityTooLarge
	case identity.ReasonToken:
		return http.StatusUnauthorized
	case identity.ReasonRate:
		return http.StatusTooManyRequests
	case identity.ReasonInternal:
		return http.StatusServiceUnavailable
	case identity.ReasonNoCertificate, identity.ReasonUntrusted, identity.ReasonExpired, identity.ReasonTrustDomain,
		identity.ReasonNoPod, identity.ReasonOtherPod, identity.ReasonServiceAccount, identity.ReasonKind:
	}
	return http.StatusForbidden
}

func write(w http.ResponseWriter, code int, content any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// The sender may be gone: then he asks again.
	_ = json.NewEncoder(w).Encode(content)
}
