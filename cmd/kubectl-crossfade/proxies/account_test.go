package proxies

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func readPage(t *testing.T, name string) page {
	t.Helper()
	var p page
	if err := json.Unmarshal(read(t, name), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestGoldenProxies: a proxy of each kind and state, by the page of this controller and
// of one that does not know the parameter.
func TestGoldenProxies(t *testing.T) {
	for _, name := range []string{"page", "page-older"} {
		t.Run(name, func(t *testing.T) {
			a := Account{Rollout: "payments", Service: "payments", Proxies: rows(readPage(t, name+".json"), "shop/payments", "x78bd5d6951")}
			var out bytes.Buffer
			if err := writeTable(&out, a, noon, session.Paint{}); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".golden", out.String())
		})
	}
	t.Run("none", func(t *testing.T) {
		var out bytes.Buffer
		if err := writeTable(&out, Account{Service: "payments"}, noon, session.Paint{}); err != nil {
			t.Fatal(err)
		}
		golden(t, "none.golden", out.String())
	})
}

// TestGoldenVerify compares Envoy's own account with the controller's.
func TestGoldenVerify(t *testing.T) {
	p := readPage(t, "page.json")
	a := Account{Rollout: "payments", Service: "payments", Proxies: rows(p, "shop/payments", "x78bd5d6951")[:1]}
	answer := compare(read(t, "dump.json"), p.Proxies[0], "shop/payments")
	a.Proxies[0].Envoy = &answer
	var out bytes.Buffer
	if err := writeTable(&out, a, noon, session.Paint{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "verify.golden", out.String())
}

func TestCompare(t *testing.T) {
	const service = "shop/payments"
	page := readPage(t, "page.json")
	same := string(read(t, "dump.json"))
	tests := map[string]struct {
		reason string
		dump   string
		want   Answer
	}{
		"agrees": {
			reason: "Each route to the Service has the version that was confirmed; another Service's route does not count.",
			dump:   same,
			want:   Answer{Agrees: true, Routes: []string{"8695bf8868 0, x78bd5d6951 100 where a match holds", "8695bf8868 75, x78bd5d6951 25"}},
		},
		"another version": {
			reason: "Envoy has something else than the controller believes.",
			dump:   `{"configs":[{"version_info":"aaaa","route_config":{"name":"shop/payments:80","virtual_hosts":[{"routes":[{"route":{"cluster":"out|shop/payments|80|8695bf8868"}}]}]}}]}`,
			want:   Answer{Routes: []string{"8695bf8868 1"}, Message: "shop/payments:80 has version aaaa, confirmed is r25"},
		},
		"a refusal": {
			reason: "It goes on with what it had, and says why.",
			dump:   `{"configs":[{"version_info":"r25","error_state":{"details":"no such cluster"},"route_config":{"name":"shop/payments:80","virtual_hosts":[{"routes":[{"route":{"cluster":"out|shop/payments|80|8695bf8868"}}]}]}}]}`,
			want:   Answer{Routes: []string{"8695bf8868 1"}, Message: "shop/payments:80 refused a newer version: no such cluster"},
		},
		"nothing": {
			reason: "An Envoy that has just started agrees with nothing.",
			dump:   `{}`, want: Answer{Routes: []string{}, Message: "it has no route to the Service"},
		},
		"no JSON": {
			reason: "An image of another program.",
			dump:   `usage: ...`, want: Answer{Routes: []string{}, Message: "its answer cannot be read: invalid character 'u' looking for beginning of value"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, compare([]byte(tt.dump), page.Proxies[0], service)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestContainerOf(t *testing.T) {
	pod := func(member, name, first string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
			"containers": []any{map[string]any{"name": "app", "args": []any{"serve"}}},
			member:       []any{map[string]any{"name": name, "args": []any{first, "--xds=x"}}},
		}}}
	}
	if got := containerOf(pod("initContainers", "crossfade-proxy", "agent")); got != "crossfade-proxy" {
		t.Errorf("the sidecar is %q", got)
	}
	if got := containerOf(pod("containers", "proxy", "agent")); got != "proxy" {
		t.Errorf("the gateway's is %q", got)
	}
	if got := containerOf(pod("initContainers", "crossfade-init", "init")); got != "" {
		t.Errorf("there is none, got %q", got)
	}
}
