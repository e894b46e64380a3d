package proxy_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// traced is a pod whose policy says POLICY.
const traced = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {crossfade.dev/injection: enabled}}
---
apiVersion: crossfade.dev/v1alpha1
kind: MeshPolicy
metadata: {name: payments, namespace: shop}
spec: POLICY
---
apiVersion: v1
kind: Pod
metadata: {name: payments, namespace: shop, labels: {crossfade.dev/proxy: sidecar}}
status: {phase: Running, podIP: 10.0.0.1}
`

// span is what a receiver got, with the attributes of its resource under "resource.".
type span struct {
	*tracev1.Span
	attributes map[string]string
}

// receiver takes spans by OTLP over gRPC. A request of the service is a TracesData by
// another name, and its answer has nothing that has to be said.
type receiver struct {
	at ir.Collector

	mu    sync.Mutex
	spans map[string][]span
}

func startReceiver(t *testing.T) *receiver {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{spans: map[string][]span{}, at: ir.Collector{Host: "127.0.0.1", Port: uint32(listener.Addr().(*net.TCPAddr).Port)}}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			data := &tracev1.TracesData{}
			if err := decode(data); err != nil {
				return nil, err
			}
			r.take(data)
			return &emptypb.Empty{}, nil
		}}},
	}, r)
	go func() { _ = server.Serve(listener) }() // It ends with the test.
	t.Cleanup(server.Stop)
	return r
}

func (r *receiver) take(data *tracev1.TracesData) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range data.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				attributes := map[string]string{}
				add(attributes, "resource.", resource.GetResource().GetAttributes())
				add(attributes, "", s.GetAttributes())
				id := hex.EncodeToString(s.GetTraceId())
				r.spans[id] = append(r.spans[id], span{s, attributes})
			}
		}
	}
}

func add(to map[string]string, prefix string, from []*commonv1.KeyValue) {
	for _, a := range from {
		to[prefix+a.GetKey()] = a.GetValue().GetStringValue()
	}
}

// await waits for the only span of a trace. Envoy sends them every 5 s.
func (r *receiver) await(t *testing.T, trace string) span {
	t.Helper()
	for late := time.Now().Add(60 * time.Second); time.Now().Before(late); time.Sleep(50 * time.Millisecond) {
		r.mu.Lock()
		spans := r.spans[trace]
		r.mu.Unlock()
		if len(spans) == 1 {
			return spans[0]
		}
	}
	t.Fatalf("no span of trace %s, or several, came", trace)
	return span{}
}

func (r *receiver) has(trace string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.spans[trace]) > 0
}

// startEcho is an application that answers with the traceparent that it sees.
func startEcho(t *testing.T) *httptest.Server {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(r.Header.Values("Traceparent"))
	}))
	t.Cleanup(app.Close)
	return app
}

// seen asks, with a traceparent or "" for none, and returns the parts of the one that
// the application saw, nil for none.
func seen(t *testing.T, address, traceparent string) []string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/pay?password=secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	if traceparent != "" {
		request.Header.Set("Traceparent", traceparent)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var headers []string
	if err := json.NewDecoder(response.Body).Decode(&headers); err != nil || len(headers) > 1 {
		t.Fatalf("the application saw %v, %v", headers, err)
	}
	if len(headers) == 0 {
		return nil
	}
	return strings.Split(headers[0], "-")
}

const (
	parentID = "00f067aa0ba902b7"
	traceID  = "4bf92f3577b34da6a3ce929d0e0e473"
)

// TestEnvoySendsSpans has a real Envoy at the server's and at the client's side, and a
// real receiver.
func TestEnvoySendsSpans(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=payments,k8s.namespace.name=shop")
	app, receiver := startEcho(t), startReceiver(t)
	const policy = `{telemetry: {tracing: {samplingPercent: 100}}}`
	for name, tc := range map[string]struct {
		address string
		kind    tracev1.Span_SpanKind
		// sampled and other are traces of callers.
		sampled, other string
	}{
		"inbound": {
			startSidecarWith(t, newAuthority(t), strings.Replace(traced, "POLICY", policy, 1), app.Listener.Addr(), receiver.at).address,
			tracev1.Span_SPAN_KIND_SERVER, traceID + "1", traceID + "2",
		},
		"outbound": {
			startCallerWith(t, policy, portOf(app), receiver.at).address,
			tracev1.Span_SPAN_KIND_CLIENT, traceID + "3", traceID + "4",
		},
	} {
		t.Run(name, func(t *testing.T) {
			fresh := seen(t, tc.address, "")
			if len(fresh) != 4 || fresh[3] != "01" {
				t.Fatalf("a request without a trace is to be traced, and the application sees %v", fresh)
			}
			got := receiver.await(t, fresh[1])
			if got.GetKind() != tc.kind || hex.EncodeToString(got.GetSpanId()) != fresh[2] || got.attributes["resource.service.name"] != "payments" ||
				got.attributes["resource.k8s.namespace.name"] != "shop" || got.attributes["http.status_code"] != "200" {
				t.Errorf("the span is %v, with %v", got.Span, got.attributes)
			}
			for key, value := range got.attributes {
				if strings.Contains(value, "secret") {
					t.Errorf("%s tells a query: %s", key, value)
				}
			}
			if at := seen(t, tc.address, "00-"+tc.sampled+"-"+parentID+"-01"); len(at) != 4 || at[1] != tc.sampled || at[3] != "01" {
				t.Errorf("the trace %s goes on as %v", tc.sampled, at)
			} else if got := receiver.await(t, tc.sampled); hex.EncodeToString(got.GetParentSpanId()) != parentID {
				t.Errorf("the parent is %x", got.GetParentSpanId())
			}
			if at := seen(t, tc.address, "00-"+tc.other+"-"+parentID+"-00"); len(at) != 4 || at[1] != tc.other || at[3] != "00" {
				t.Errorf("the trace %s, which nobody records, goes on as %v", tc.other, at)
			}
			receiver.await(t, seen(t, tc.address, "")[1])
			if receiver.has(tc.other) {
				t.Error("a trace that the caller does not want recorded is")
			}
		})
	}
}

// TestEnvoySamples asks often, and counts the requests that are traced.
func TestEnvoySamples(t *testing.T) {
	app, receiver := startEcho(t), startReceiver(t)
	for name, tc := range map[string]struct {
		reason, policy string
		collector      ir.Collector
		// least and most are how many of 400 may be traced, by six standard deviations;
		// -1 is for no trace at all.
		least, most int
	}{
		"half":         {policy: `{telemetry: {tracing: {samplingPercent: 50}}}`, collector: receiver.at, least: 140, most: 260},
		"one":          {policy: `{telemetry: {tracing: {samplingPercent: 1}}}`, collector: receiver.at, least: 0, most: 20},
		"off":          {policy: `{telemetry: {tracing: {samplingPercent: 0}}}`, collector: receiver.at, least: -1, most: -1},
		"no policy":    {policy: `{mtls: {mode: Permissive}}`, collector: receiver.at, least: -1, most: -1},
		"no collector": {policy: `{telemetry: {tracing: {samplingPercent: 50}}}`, least: -1, most: -1},
	} {
		t.Run(name, func(t *testing.T) {
			for side, address := range map[string]string{
				"inbound":  startSidecarWith(t, newAuthority(t), strings.Replace(traced, "POLICY", tc.policy, 1), app.Listener.Addr(), tc.collector).address,
				"outbound": startCallerWith(t, tc.policy, portOf(app), tc.collector).address,
			} {
				counted := -1
				for range 400 {
					if at := seen(t, address, ""); at != nil {
						counted = max(counted, 0)
						if at[3] == "01" {
							counted++
						}
					}
				}
				if counted < tc.least || counted > tc.most {
					t.Errorf("%s: %d of 400 requests were traced, want %d to %d (%s)", side, counted, tc.least, tc.most, tc.reason)
				}
				sent := "00-" + traceID + "1-" + parentID + "-01"
				if got := seen(t, address, sent); tc.least < 0 && strings.Join(got, "-") != sent {
					t.Errorf("%s: nothing is traced, and %s comes as %v", side, sent, got)
				}
			}
		})
	}
}

func portOf(s *httptest.Server) string { return fmt.Sprint(s.Listener.Addr().(*net.TCPAddr).Port) }
