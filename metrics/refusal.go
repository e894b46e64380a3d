package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
)

// statusClient turns every answer that is no success into a refusal. The API package would do it too, but keeps only
// a text of the status, and reads Prometheus's own words only at 400 and 422: a timeout, which Prometheus answers
// with 503, would look like a server that is away. Its fallback from POST to GET goes on working, because the
// response is returned beside the error.
type statusClient struct {
	api.Client
}

// Do implements api.Client.
func (c statusClient) Do(ctx context.Context, req *http.Request) (*http.Response, []byte, error) {
	resp, body, err := c.Client.Do(ctx, req)
	if resp == nil || resp.StatusCode/100 == 2 || (err != nil && !isTooLarge(err)) {
		return resp, body, err
	}
	r := &refusal{status: resp.StatusCode, location: resp.Header.Get("Location")}
	r.kind, r.text = refusalText(body)
	return resp, nil, r
}

// refusal is an answer that carries no value.
type refusal struct {
	status   int
	location string           // Where a redirect points to.
	kind     promv1.ErrorType // Empty when the answer has not the form of Prometheus's API.
	text     string
}

// Error implements error.
func (r *refusal) Error() string {
	return r.sample().Message
}

// sample is a QueryError only if an answer in Prometheus's own form puts it down to the query. The same status from
// anything else, such as the 400 of a TLS port spoken to in the clear, says nothing about the query.
func (r *refusal) sample() Sample {
	switch {
	case r.timedOut():
		return Sample{Outcome: TimedOut, Message: "the query took too long on the server" + r.detail()}
	case r.status/100 == 3:
		return Sample{Outcome: Unreachable, Message: oneLine(fmt.Sprintf("the Prometheus URL redirects to %q, which is not followed: change the URL", r.location))}
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		return Sample{Outcome: Unreachable, Message: fmt.Sprintf("Prometheus refused the controller's credentials with status %d: check the bearer token file%s", r.status, r.detail())}
	case r.status == http.StatusTooManyRequests:
		return Sample{Outcome: Unreachable, Message: "Prometheus is limiting the controller's queries (status 429)" + r.detail()}
	case r.kind == "" && r.status/100 == 4:
		return Sample{Outcome: Unreachable, Message: fmt.Sprintf("what answered with status %d is no Prometheus API: check the Prometheus URL%s", r.status, r.detail())}
	case r.kind == promv1.ErrBadResponse:
		return r.badResponse()
	case r.status/100 == 5, serverFault(r.kind):
		return Sample{Outcome: Unreachable, Message: fmt.Sprintf("Prometheus cannot answer (status %d)%s", r.status, r.detail())}
	}
	return Sample{Outcome: QueryError, Message: "Prometheus refused the query" + r.detail()}
}

// timedOut knows a timeout by its kind, by the status of a proxy that gave up, and by the words of Prometheus's
// engine, which servers of the same API repeat under the kind of an execution error.
func (r *refusal) timedOut() bool {
	return r.kind == promv1.ErrTimeout ||
		r.status == http.StatusRequestTimeout || r.status == http.StatusGatewayTimeout ||
		r.kind == promv1.ErrExec && (strings.Contains(r.text, "query timed out") || strings.Contains(r.text, "context deadline exceeded"))
}

// badResponse is an answer with a good status that the API package could not read. One of them is Prometheus's
// valid answer to a query such as "text", which is a type that the API package does not know.
func (r *refusal) badResponse() Sample {
	if strings.Contains(r.text, `unexpected value type "string"`) {
		return Sample{Outcome: QueryError, Message: "the query returns a text: a check needs one number"}
	}
	return malformed(r.text)
}

// detail is the server's text, ready to be appended to a sentence.
func (r *refusal) detail() string {
	if r.text == "" {
		return ""
	}
	return ": " + oneLine(r.text)
}

// serverFault tells the kinds of errors that the query has no part in.
func serverFault(kind promv1.ErrorType) bool {
	switch kind {
	case promv1.ErrCanceled, promv1.ErrServer, "internal", "unavailable":
		return true
	case promv1.ErrBadData, promv1.ErrBadResponse, promv1.ErrClient, promv1.ErrExec, promv1.ErrTimeout:
	}
	return false
}

// refusalText reads an error in the form of Prometheus's API, or else the first line of a plain text. A page of HTML
// has nothing to say in a status message.
func refusalText(body []byte) (promv1.ErrorType, string) {
	var answer struct {
		ErrorType promv1.ErrorType `json:"errorType"`
		Error     string           `json:"error"`
	}
	if json.Unmarshal(body, &answer) == nil {
		return answer.ErrorType, answer.Error
	}
	text := strings.TrimSpace(string(body[:min(len(body), 4*maxText)]))
	if strings.HasPrefix(text, "<") {
		return "", ""
	}
	line, _, _ := strings.Cut(text, "\n")
	return "", line
}
