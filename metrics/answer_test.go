package metrics

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// answer is what a server sends back.
type answer struct {
	status int
	header map[string]string
	body   string
}

func (a answer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func newSource(t *testing.T, h http.Handler) *Source {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	s, err := New(Options{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// data is a success as Prometheus writes it.
func data(kind, result string) answer {
	return answer{status: 200, body: fmt.Sprintf(`{"status":"success","data":{"resultType":%q,"result":%s}}`, kind, result)}
}

// failure is an error as Prometheus writes it.
func failure(status int, kind, text string) answer {
	body, _ := json.Marshal(map[string]string{"status": "error", "errorType": kind, "error": text})
	return answer{status: status, body: string(body)}
}

func warned(a answer, list string) answer {
	a.body = strings.TrimSuffix(a.body, "}") + `,"warnings":` + list + "}"
	return a
}

func TestQueryAnswers(t *testing.T) {
	const one = `[{"metric":{},"value":[1700000000.5,"0.25"]}]`
	cases := map[string]struct {
		reason string
		answer answer
		want   Sample
	}{
		"Vector":  {reason: "One series is a number.", answer: data("vector", one), want: Sample{Outcome: Number, Value: 0.25}},
		"Zero":    {reason: "Zero is a number like any other.", answer: data("vector", `[{"metric":{},"value":[1700000000,"0"]}]`), want: Sample{Outcome: Number}},
		"Small":   {reason: "Exponents and signs are kept.", answer: data("vector", `[{"metric":{},"value":[1700000000,"-1.5e-07"]}]`), want: Sample{Outcome: Number, Value: -1.5e-07}},
		"Scalar":  {reason: "A scalar is a number.", answer: data("scalar", `[1700000000.5,"7"]`), want: Sample{Outcome: Number, Value: 7}},
		"NoData":  {reason: "An empty vector that was really sent.", answer: data("vector", `[]`), want: Sample{Outcome: NoData, Message: "the query selects no series at this time"}},
		"NaN":     {reason: "0/0.", answer: data("vector", `[{"metric":{},"value":[1700000000.5,"NaN"]}]`), want: Sample{Outcome: NotANumber, Message: "the value is NaN, as after a division by zero"}},
		"PlusInf": {reason: "1/0.", answer: data("vector", `[{"metric":{},"value":[1700000000.5,"+Inf"]}]`), want: Sample{Outcome: NotANumber, Message: "the value is +Inf, as after a division by zero"}},
		"MinusInf": {
			reason: "A scalar may be infinite too.", answer: data("scalar", `[1700000000.5,"-Inf"]`),
			want: Sample{Outcome: NotANumber, Message: "the value is -Inf, as after a division by zero"},
		},
		"ManySeries": {
			reason: "Says how many and what to do.",
			answer: data("vector", `[{"metric":{"a":"1"},"value":[1700000000.5,"1"]},{"metric":{"a":"2"},"value":[1700000000.5,"1"]}]`),
			want:   Sample{Outcome: ManySeries, Message: "the query returns 2 series: a check needs one number; aggregate them, for example with sum(...)"},
		},
		"Matrix": {
			reason: "A range selector without a function; also when it is empty, it is the query that is wrong.", answer: data("matrix", `[]`),
			want: Sample{Outcome: QueryError, Message: "the query returns a range of values for each series: a check needs one number; wrap the range selector in a function such as rate(...) or avg_over_time(...)"},
		},
		"String": {
			reason: "A valid query of a type that the API package does not know.", answer: data("string", `[1700000000.5,"x"]`),
			want: Sample{Outcome: QueryError, Message: "the query returns a text: a check needs one number"},
		},
		"Histogram": {
			reason: "The model would show a native histogram as zero.",
			answer: data("vector", `[{"metric":{},"histogram":[1700000000.5,{"count":"9","sum":"3","buckets":[]}]}]`),
			want:   Sample{Outcome: QueryError, Message: "the query returns a native histogram: a check needs one number; take one out of it, for example with histogram_quantile(0.99, ...)"},
		},
		"PromQLWarning": {
			reason: "A warning about the query is told beside its number.",
			answer: warned(data("vector", one), `["PromQL warning: quantile value should be between 0 and 1, got 95"]`),
			want:   Sample{Outcome: Number, Value: 0.25, Message: "PromQL warning: quantile value should be between 0 and 1, got 95"},
		},
		"PromQLWarningNoData": {
			reason: "And beside a message.",
			answer: warned(data("vector", `[]`), `["PromQL warning: mixed"]`),
			want:   Sample{Outcome: NoData, Message: "the query selects no series at this time; PromQL warning: mixed"},
		},
		"PartialNumber": {
			reason: "A number over a part of the data is no measurement: the failed requests may be in the other part.",
			answer: warned(data("vector", one), `["PromQL warning: x", "remote_read: connection refused"]`),
			want:   Sample{Outcome: Unreachable, Message: "Prometheus could read only a part of the data: PromQL warning: x; remote_read: connection refused"},
		},
		"PartialNoData": {
			reason: "A store that is away is an outage, which onNoData does not cover.",
			answer: warned(data("vector", `[]`), `["store-0: receive series: rpc error"]`),
			want:   Sample{Outcome: Unreachable, Message: "Prometheus could read only a part of the data: store-0: receive series: rpc error"},
		},
		"Infos": {
			reason: "Infos are hints for dashboards.",
			answer: answer{status: 200, body: `{"status":"success","data":{"resultType":"scalar","result":[1700000000,"1"]},"infos":["PromQL info: might not be a counter"]}`},
			want:   Sample{Outcome: Number, Value: 1},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := newSource(t, tc.answer).Query(t.Context(), "up", at)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nQuery (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestQueryRefusals(t *testing.T) {
	cases := map[string]struct {
		reason string
		answer answer
		want   Sample
	}{
		"BadData": {
			reason: "A syntax error, in the server's words.", answer: failure(400, "bad_data", `invalid parameter "query": 1:5: parse error`),
			want: Sample{Outcome: QueryError, Message: `Prometheus refused the query: invalid parameter "query": 1:5: parse error`},
		},
		"Execution": {
			reason: "The query failed while it ran.", answer: failure(422, "execution", "found duplicate series"),
			want: Sample{Outcome: QueryError, Message: "Prometheus refused the query: found duplicate series"},
		},
		"Timeout": {
			reason: "Prometheus answers its own timeouts with 503.", answer: failure(503, "timeout", "query timed out in expression evaluation"),
			want: Sample{Outcome: TimedOut, Message: "the query took too long on the server: query timed out in expression evaluation"},
		},
		"TimeoutAsExecution": {
			reason: "Servers of the same API answer them as execution errors.", answer: failure(422, "execution", "query timed out in query execution"),
			want: Sample{Outcome: TimedOut, Message: "the query took too long on the server: query timed out in query execution"},
		},
		"DeadlineAsExecution": {
			reason: "The same from a remote store.", answer: failure(422, "execution", "expanding series: context deadline exceeded"),
			want: Sample{Outcome: TimedOut, Message: "the query took too long on the server: expanding series: context deadline exceeded"},
		},
		"TimeoutAs200": {
			reason: "An error under a good status is an error.", answer: failure(200, "timeout", "too slow"),
			want: Sample{Outcome: TimedOut, Message: "the query took too long on the server: too slow"},
		},
		"ExecutionAs200": {
			reason: "An error under a good status is an error.", answer: failure(200, "execution", "no"),
			want: Sample{Outcome: QueryError, Message: "Prometheus refused the query: no"},
		},
		"ServerErrorAs200": {
			reason: "Nor is this the query's fault.", answer: failure(200, "server_error", "no"),
			want: Sample{Outcome: Unreachable, Message: "Prometheus cannot answer (status 200): no"},
		},
		"ClientErrorAs200": {
			reason: "A fault of the request is one of the query: all else in it is ours.", answer: failure(200, "client_error", "no"),
			want: Sample{Outcome: QueryError, Message: "Prometheus refused the query: no"},
		},
		"Canceled": {
			reason: "The server is stopping.", answer: failure(499, "canceled", "query was canceled in expression evaluation"),
			want: Sample{Outcome: Unreachable, Message: "Prometheus cannot answer (status 499): query was canceled in expression evaluation"},
		},
		"Internal": {
			reason: "The storage failed.", answer: failure(500, "internal", "read block: input/output error"),
			want: Sample{Outcome: Unreachable, Message: "Prometheus cannot answer (status 500): read block: input/output error"},
		},
		"Unavailable": {
			reason: "Prometheus replays its log at start.", answer: answer{status: 503, body: "Service Unavailable"},
			want: Sample{Outcome: Unreachable, Message: "Prometheus cannot answer (status 503): Service Unavailable"},
		},
		"BadGatewayHTML": {
			reason: "A proxy's page is not for a status.", answer: answer{status: 502, body: "<html><h1>Bad Gateway</h1></html>"},
			want: Sample{Outcome: Unreachable, Message: "Prometheus cannot answer (status 502)"},
		},
		"GatewayTimeout": {
			reason: "A proxy gave up.", answer: answer{status: 504, body: "upstream request timeout"},
			want: Sample{Outcome: TimedOut, Message: "the query took too long on the server: upstream request timeout"},
		},
		"BadRequestOfNobody": {
			reason: "A TLS port answers plain HTTP with 400; the query has no part in it.", answer: answer{status: 400, body: "Client sent an HTTP request to an HTTPS server.\n"},
			want: Sample{Outcome: Unreachable, Message: "what answered with status 400 is no Prometheus API: check the Prometheus URL: Client sent an HTTP request to an HTTPS server."},
		},
		"NotFound": {
			reason: "A wrong path in the URL.", answer: answer{status: 404, body: "404 page not found\n"},
			want: Sample{Outcome: Unreachable, Message: "what answered with status 404 is no Prometheus API: check the Prometheus URL: 404 page not found"},
		},
		"JSONOfNobody": {
			reason: "A proxy with a JSON form of its own is no Prometheus either.", answer: answer{status: 400, body: `{"error":"no route"}`},
			want: Sample{Outcome: Unreachable, Message: "what answered with status 400 is no Prometheus API: check the Prometheus URL: no route"},
		},
		"Unauthorized": {
			reason: "The administrator's to mend.", answer: answer{status: 401, body: "Unauthorized"},
			want: Sample{Outcome: Unreachable, Message: "Prometheus refused the controller's credentials with status 401: check the bearer token file: Unauthorized"},
		},
		"Forbidden": {
			reason: "The administrator's to mend, after the fallback to GET.", answer: answer{status: 403},
			want: Sample{Outcome: Unreachable, Message: "Prometheus refused the controller's credentials with status 403: check the bearer token file"},
		},
		"TooManyRequests": {
			reason: "The next query may pass.", answer: failure(429, "too_many_requests", "too many outstanding requests"),
			want: Sample{Outcome: Unreachable, Message: "Prometheus is limiting the controller's queries (status 429): too many outstanding requests"},
		},
		"Redirect": {
			reason: "Neither query nor token follows it.", answer: answer{status: 302, header: map[string]string{"Location": "https://login.example/"}},
			want: Sample{Outcome: Unreachable, Message: `the Prometheus URL redirects to "https://login.example/", which is not followed: change the URL`},
		},
		"TooLarge": {
			reason: "A query without its sum over a huge number of series.", answer: data("vector", "["+strings.Repeat(" ", maxAnswer)+"]"),
			want: Sample{Outcome: QueryError, Message: "the answer is larger than 1 MiB: aggregate the series into one number, for example with sum(...)"},
		},
		"TooLargeAndBad": {
			reason: "The size of an error page says nothing about the query.", answer: answer{status: 500, body: "<" + strings.Repeat("x", 2*maxAnswer)},
			want: Sample{Outcome: Unreachable, Message: "Prometheus cannot answer (status 500)"},
		},
		"LongText": {
			reason: "A status holds only so much, on one line, and printable.", answer: failure(422, "execution", "a\n\x1b["+strings.Repeat("ü", 2*maxText)),
			want: Sample{Outcome: QueryError, Message: "Prometheus refused the query: a ?[" + strings.Repeat("ü", maxText-4) + "…"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := newSource(t, tc.answer).Query(t.Context(), "up", at)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nQuery (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// TestQueryMalformed holds answers that an unlucky reading would take for no data or for zero.
func TestQueryMalformed(t *testing.T) {
	cases := map[string]answer{
		"LoginPage":       {status: 200, body: "<html><body>Sign in</body></html>"},
		"EmptyBody":       {status: 200},
		"NoContent":       {status: 204},
		"EmptyObject":     {status: 200, body: "{}"},
		"Null":            {status: 200, body: "null"},
		"NoData":          {status: 200, body: `{"status":"success"}`},
		"NoResult":        {status: 200, body: `{"status":"success","data":{"resultType":"vector"}}`},
		"NullVector":      data("vector", "null"),
		"NullScalar":      data("scalar", "null"),
		"ScalarNoTime":    data("scalar", `[null,"1"]`),
		"NullSeries":      data("vector", "[null]"),
		"SeriesNoValue":   data("vector", `[{"metric":{}}]`),
		"NumberUnquoted":  data("vector", `[{"metric":{},"value":[1700000000,1]}]`),
		"UnknownType":     data("tensor", "[]"),
		"Cut":             {status: 200, body: `{"status":"success","data":{"resultType":"vector","result":[`},
		"BrokenTransfer":  {status: 200, header: map[string]string{"Content-Length": "999"}, body: data("vector", "[]").body},
		"SuccessWith400":  {status: 400, body: data("vector", "[]").body},
		"UnreadableError": {status: 422, body: `{"status":"error"}`},
	}
	for name, answer := range cases {
		t.Run(name, func(t *testing.T) {
			got := newSource(t, answer).Query(t.Context(), "up", at)
			if got.Outcome != Unreachable || got.Value != 0 || got.Message == "" {
				t.Errorf("Query: got %+v, want Unreachable with a message and no value", got)
			}
		})
	}
}

// FuzzQueryAnswer sends arbitrary answers: none may panic, and none but a success may become a verdict or a NoData.
func FuzzQueryAnswer(f *testing.F) {
	f.Add(200, data("vector", `[{"metric":{},"value":[1700000000.5,"1"]}]`).body)
	f.Add(200, data("vector", `[null]`).body)
	f.Add(200, data("vector", `[{"metric":{},"histogram":[1,{"buckets":[[0,"1","2","3"]]}]}]`).body)
	f.Add(200, data("scalar", `[1,"NaN"]`).body)
	f.Add(200, data("string", `[1,"x"]`).body)
	f.Add(200, data("matrix", `[{"metric":{},"values":[[1,"1"]]}]`).body)
	f.Add(422, failure(422, "execution", "x").body)
	f.Add(503, "<html>")
	f.Add(302, "")
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			return
		}
		s, err := New(Options{URL: "http://prometheus.test"})
		if err != nil {
			t.Fatal(err)
		}
		s = withTransport(t, s, status, body)
		got := s.Query(t.Context(), "up", at)
		switch got.Outcome {
		case Number, NoData, NotANumber:
			if status/100 != 2 || !strings.Contains(body, "result") {
				t.Errorf("status %d, body %q: got %+v", status, body, got)
			}
		case ManySeries, QueryError, Unreachable, TimedOut:
			if got.Value != 0 || got.Message == "" {
				t.Errorf("status %d, body %q: got %+v", status, body, got)
			}
		default:
			t.Errorf("status %d, body %q: outcome %q", status, body, got.Outcome)
		}
		if len(got.Message) > 8*maxText || strings.ContainsAny(got.Message, "\n\x00\x1b") {
			t.Errorf("status %d, body %q: message %q", status, body, got.Message)
		}
	})
}
