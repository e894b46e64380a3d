package proxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// wholeWeight is a sidecar of a caller of payments while the canary, which all
// requests go to, listens on a port.
func wholeWeight(t *testing.T, policy, protocol, canary string) *runningSidecar {
	t.Helper()
	objects := strings.NewReplacer("POLICY", policy, "STABLE", "1", "CANARY", canary, "OTHER", "1", "{name: http, port: 80", "{name: "+protocol+", port: 80").Replace(halfway)
	in := parseObjects(t, t.Name(), []byte(objects))
	in.Rollouts[0].Status.Record.Weight = 100
	options := xds.Options{TLSDir: newAuthority(t).write(t, "spiffe://cluster.local/ns/shop/sa/caller")}
	return startOutboundSidecar(t, options.Translate(nil, proxy.Build(in).Config), 80)
}

// TestEnvoyCountsGRPCStatuses reads what checks of success ask for: the statuses of
// each revision's answers, which are 200 to HTTP.
func TestEnvoyCountsGRPCStatuses(t *testing.T) {
	pod := startRPC(t)
	sidecar := wholeWeight(t, "{timeouts: {request: 10s}}", "grpc-pay", fmt.Sprint(pod))
	connection, err := grpc.NewClient(sidecar.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	client := healthpb.NewHealthClient(connection)
	for range 3 {
		if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "nobody"})         // NOT_FOUND
	_ = connection.Invoke(t.Context(), "/no.Such/Method", &emptypb.Empty{}, &emptypb.Empty{}) // UNIMPLEMENTED
	of := `namespace="shop",service="payments",port="80",revision="x2"`
	awaitStats(t, sidecar.admin, []string{
		`envoy_cluster_grpc{` + of + `,grpc_status="0"} 3`,
		`envoy_cluster_grpc{` + of + `,grpc_status="5"} 1`,
		`envoy_cluster_grpc{` + of + `,grpc_status="12"} 1`,
		`envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",` + of + `} 5`,
	})
}

// TestEnvoyCountsFailedAttempts: whoever judges a revision must see what retries make
// good, and what no pod was there to answer is in both counts.
func TestEnvoyCountsFailedAttempts(t *testing.T) {
	of := `namespace="shop",service="payments",port="80",revision="x2"`
	broken := wholeWeight(t, `{retries: {attempts: 2, "on": [connect-failure, "503"]}}`, "http", port(t, startService(t, true)))
	for range 4 {
		if got := do(t, http.MethodGet, "http://"+broken.address+"/").StatusCode; got != http.StatusServiceUnavailable {
			t.Fatalf("answer %d", got)
		}
	}
	awaitStats(t, broken.admin, []string{
		`envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",` + of + `} 4`,
		`envoy_cluster_upstream_rq_retry{` + of + `} 8`,
	})
	dead := wholeWeight(t, `{timeouts: {request: 10s}}`, "grpc-pay", fmt.Sprint(freePort(t)))
	connection, err := grpc.NewClient(dead.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	if _, err := healthpb.NewHealthClient(connection).Check(t.Context(), &healthpb.HealthCheckRequest{}); err == nil {
		t.Fatal("nobody is there, and somebody has answered")
	}
	awaitStats(t, dead.admin, []string{
		`envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",` + of + `} 1`,
		`envoy_cluster_grpc{` + of + `,grpc_status="14"} 1`,
		`envoy_cluster_upstream_rq_retry{` + of + `} 2`,
	})
}
