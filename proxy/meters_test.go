package proxy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// TestEnvoyCountsWhoAsks reads the statistics of a real sidecar.
func TestEnvoyCountsWhoAsks(t *testing.T) {
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/absent") {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, "0123456789")
	}))
	app.Config.Protocols = new(http.Protocols)
	app.Config.Protocols.SetHTTP1(true)
	app.Config.Protocols.SetUnencryptedHTTP2(true)
	app.Start()
	t.Cleanup(app.Close)
	ca := newAuthority(t)
	sidecar := startSidecar(t, ca, strings.Replace(traced, "POLICY", "{mtls: {mode: Permissive}}", 1), app.Listener.Addr())
	front := caller{id: "spiffe://cluster.local/ns/web/sa/front.end"}
	for range 3 {
		call(t, ca, sidecar.address, front, "", "/pay")
	}
	call(t, ca, sidecar.address, front, "", "/absent/unbounded")
	call(t, ca, sidecar.address, caller{}, "", "/unbounded?unbounded")
	call(t, ca, sidecar.address, caller{id: front.id, alpn: "crossfade"}, "", "/bytes")
	// Another filter chain counts this one, and it must not be a second series.
	http2 := &http.Client{Transport: &http.Transport{Protocols: new(http.Protocols)}}
	http2.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(true)
	if answer, _, err := get(http2, "http://"+sidecar.address); err != nil {
		t.Fatalf("%s, %v", answer, err)
	}
	wanted := []string{
		`envoy_inbound_requests_total{peer="spiffe://cluster.local/ns/web/sa/front.end",envoy_response_code_class="2"} 3`,
		`envoy_inbound_requests_total{peer="spiffe://cluster.local/ns/web/sa/front.end",envoy_response_code_class="4"} 1`,
		`envoy_inbound_requests_total{peer="",envoy_response_code_class="2"} 2`,
		`envoy_inbound_request_milliseconds_count{peer=""} 2`,
		`envoy_inbound_sent_bytes_total{peer="spiffe://cluster.local/ns/web/sa/front.end"} 40`,
		`envoy_inbound_request_milliseconds_count{peer="spiffe://cluster.local/ns/web/sa/front.end"} 4`,
		`envoy_inbound_request_milliseconds_bucket{peer="spiffe://cluster.local/ns/web/sa/front.end",le="30000"} 4`,
		`envoy_inbound_connections_total{peer="spiffe://cluster.local/ns/web/sa/front.end"} 1`,
		`envoy_tcp_downstream_cx_total{envoy_tcp_prefix="inbound"} 1`,
	}
	page := awaitStats(t, sidecar.admin, wanted)
	for _, kind := range []string{
		`envoy_inbound_received_bytes_total{`, `envoy_inbound_connection_received_bytes_total{`, `envoy_inbound_connection_sent_bytes_total{`,
		`envoy_tcp_downstream_cx_rx_bytes_total{envoy_tcp_prefix="inbound"}`, `envoy_cluster_upstream_cx_tx_bytes_total{envoy_cluster_name="inbound"}`,
	} {
		if !strings.Contains(page, kind) {
			t.Errorf("there is no %s", kind)
		}
	}
	http2.CloseIdleConnections()
	if n := strings.Count(page, `envoy_inbound_request_milliseconds_count{peer=""}`); n != 1 {
		t.Errorf("there are %d series of one name, which Prometheus refuses:\n%s", n, page)
	}
	if strings.Contains(strings.ToLower(page), "unbounded") {
		t.Errorf("a client has written a label:\n%s", page)
	}
}

// awaitStats waits until the statistics have some lines. They are merged once a second.
func awaitStats(t *testing.T, admin string, wanted []string) string {
	t.Helper()
	var page string
	for late := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		response, err := http.Get(admin + "/stats/prometheus?usedonly")
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		page = string(content)
		missing := ""
		for _, line := range wanted {
			if !strings.Contains(page, line+"\n") {
				missing += line + "\n"
			}
		}
		if missing == "" {
			return page
		}
		if time.Now().After(late) {
			t.Fatalf("the statistics are without\n%s\nand are\n%s", missing, page)
		}
	}
}

// TestEnvoyLogsWhatItsPodAsks reads the log of a caller's sidecar.
func TestEnvoyLogsWhatItsPodAsks(t *testing.T) {
	app := startEcho(t)
	for name, tc := range map[string]struct {
		policy string
		logs   bool
	}{"on": {"{telemetry: {accessLog: true}}", true}, "off": {"{telemetry: {accessLog: false}}", false}} {
		t.Run(name, func(t *testing.T) {
			sidecar := startCallerWith(t, tc.policy, portOf(app), ir.Collector{})
			seen(t, sidecar.address, "")
			var entry map[string]any
			for late := time.Now().Add(30 * time.Second); tc.logs && sidecar.out.String() == ""; time.Sleep(50 * time.Millisecond) {
				if time.Now().After(late) {
					t.Fatal("nothing is logged")
				}
			}
			text := sidecar.out.String()
			if !tc.logs {
				if text != "" {
					t.Errorf("nobody asked for %s", text)
				}
				return
			}
			if err := json.Unmarshal([]byte(text), &entry); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			for key, want := range map[string]any{
				"direction": "outbound", "method": "GET", "path": "/pay", "status": 200.0, "upstream": "127.0.0.1:" + portOf(app), "attempts": 1.0,
			} {
				if entry[key] != want {
					t.Errorf("%s is %v, want %v in %s", key, entry[key], want, text)
				}
			}
			if cluster := fmt.Sprint(entry["cluster"]); !strings.HasPrefix(cluster, "out|shop/payments|80|") {
				t.Errorf("the cluster is %s", cluster)
			}
		})
	}
}
