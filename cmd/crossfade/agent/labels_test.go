package agent

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLabels(t *testing.T) {
	own := labels{workload: "web", namespace: "shop", revision: "6d7bd6989"}
	cases := map[string]struct {
		reason   string
		own      labels
		in, want string
	}{
		"outbound": {
			reason: "the pod is the source, and the labels that were there stay",
			own:    own,
			in:     `envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",namespace="pay",service="payments",port="80",revision="x1"} 7`,
			want:   `envoy_cluster_upstream_rq_xx{source_workload="web",source_namespace="shop",destination_namespace="pay",destination_service="payments",envoy_response_code_class="2",namespace="pay",service="payments",port="80",revision="x1"} 7`,
		},
		"inbound": {
			reason: "the pod is the destination, and its revision is the one that answers",
			own:    own,
			in:     `envoy_inbound_requests_total{peer="spiffe://cluster.local/ns/web/sa/front.end",envoy_response_code_class="4"} 3`,
			want:   `envoy_inbound_requests_total{source_namespace="web",source_service_account="front.end",destination_workload="web",destination_namespace="shop",revision="6d7bd6989",peer="spiffe://cluster.local/ns/web/sa/front.end",envoy_response_code_class="4"} 3`,
		},
		"cleartext": {
			own:  own,
			in:   `envoy_inbound_sent_bytes_total{peer=""} 3`,
			want: `envoy_inbound_sent_bytes_total{source_namespace="unknown",source_service_account="unknown",destination_workload="web",destination_namespace="shop",revision="6d7bd6989",peer=""} 3`,
		},
		"no workload": {
			reason: "an older injector has told none",
			own:    labels{namespace: "shop"},
			in:     `envoy_cluster_upstream_cx_total{namespace="pay",service="db",port="1"} 1`,
			want:   `envoy_cluster_upstream_cx_total{source_namespace="shop",destination_namespace="pay",destination_service="db",namespace="pay",service="db",port="1"} 1`,
		},
		"other cluster": {
			reason: "it is nobody's Service", own: own,
			in: `envoy_cluster_upstream_cx_total{envoy_cluster_name="passthrough"} 1`, want: `envoy_cluster_upstream_cx_total{envoy_cluster_name="passthrough"} 1`,
		},
		"name within a name": {
			reason: "x_service is another label", own: own,
			in: `envoy_cluster_x{x_service="a"} 1`, want: `envoy_cluster_x{x_service="a"} 1`,
		},
		"type":     {own: own, in: `# TYPE envoy_cluster_upstream_rq_xx counter`, want: `# TYPE envoy_cluster_upstream_rq_xx counter`},
		"a remark": {own: own, in: `# envoy_inbound_x{} 1`, want: `# envoy_inbound_x{} 1`},
		"no label": {own: own, in: `envoy_server_live 1`, want: `envoy_server_live 1`},
		"empty":    {own: own, in: "a 1\n\nb 2", want: "a 1\n\nb 2"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := tc.own.rewrite(&out, strings.NewReader(tc.in+"\n")); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want+"\n", out.String()); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestCaller(t *testing.T) {
	for peer, want := range map[string][2]string{
		"spiffe://td/ns/a/sa/b":   {"a", "b"},
		"spiffe://td/ns/a/sa/b/c": {unknown, unknown},
		"spiffe://td/xx/a/sa/b":   {unknown, unknown},
		"":                        {unknown, unknown},
	} {
		if namespace, account := callerOf(peer); [2]string{namespace, account} != want {
			t.Errorf("%q: got %s, %s, want %v", peer, namespace, account, want)
		}
	}
}
