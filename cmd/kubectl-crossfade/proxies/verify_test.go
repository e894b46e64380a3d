package proxies

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestVerify: a table whose version changes between the questions is no contradiction,
// one that stays another is.
func TestVerify(t *testing.T) {
	const service, node = "shop/payments", "shop/web-1"
	confirmed := func(version string) page {
		x := proxy{Node: node, View: "gateway"}
		x.Types = map[string]struct {
			LastError string              `json:"lastError"`
			Resources map[string]resource `json:"resources"`
		}{routeType: {Resources: map[string]resource{"http": {Acked: version, Sent: version}}}}
		return page{Proxies: []proxy{x}, Acks: []ack{{Node: node, Current: true}}}
	}
	envoy := func(version string) []byte {
		return fmt.Appendf(nil, `{"configs":[{"version_info":%q,"route_config":{"name":"http","virtual_hosts":[{"routes":[{"route":{"cluster":"out|shop/payments|80|a"}}]}]}}]}`, version)
	}
	for name, tc := range map[string]struct {
		reason string
		// pages are what the controller says, the first one before the first question;
		// the last one is said again and again. So with the Envoy.
		pages, envoys []string
		want          Answer
		asked         int
	}{
		"at once":              {"nothing moves", []string{"1"}, []string{"1"}, Answer{Agrees: true, Routes: []string{"a 1"}}, 1},
		"moved before":         {"Envoy was asked after the change", []string{"1", "2"}, []string{"2"}, Answer{Agrees: true, Routes: []string{"a 1"}}, 1},
		"moved twice":          {"what it had was confirmed and gone between two pages", []string{"1", "3"}, []string{"2", "3"}, Answer{Agrees: true, Routes: []string{"a 1"}}, 2},
		"another table":        {"it will not change", []string{"1"}, []string{"9"}, Answer{Routes: []string{"a 1"}, Message: "http has version 9, confirmed is 1"}, rounds},
		"another, table moves": {"whatever the others do", []string{"1", "2", "3", "4"}, []string{"9"}, Answer{Routes: []string{"a 1"}, Message: "http has version 9, confirmed is 4"}, rounds},
		"cannot be asked":      {"that does not change within seconds", []string{"1"}, []string{""}, Answer{Routes: []string{}, Message: "gone"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			read, asked := 0, 0
			a := asking{
				controller: func() (page, error) {
					read++
					return confirmed(tc.pages[min(read, len(tc.pages)-1)]), nil
				},
				envoy: func(string) ([]byte, string) {
					asked++
					version := tc.envoys[min(asked, len(tc.envoys))-1]
					if version == "" {
						return nil, "gone"
					}
					return envoy(version), ""
				},
			}
			_, answers, err := a.verify(confirmed(tc.pages[0]), service)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, answers[node]); diff != "" || asked != tc.asked {
				t.Errorf("%s: asked %d times, want %d; (-want +got):\n%s", tc.reason, asked, tc.asked, diff)
			}
		})
	}
	broken := asking{
		controller: func() (page, error) { return page{}, errors.New("away") },
		envoy:      func(string) ([]byte, string) { return envoy("1"), "" },
	}
	if _, _, err := broken.verify(confirmed("1"), service); err == nil {
		t.Error("the controller went away, and nothing was said")
	}
}
