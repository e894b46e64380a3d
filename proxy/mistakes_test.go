package proxy

import (
	"strings"
	"testing"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

func TestStrategyMistakes(t *testing.T) {
	regex := func(expression string) []v1alpha1.RequestMatch {
		return []v1alpha1.RequestMatch{{Headers: []v1alpha1.ValueMatch{{Name: "x-team", Type: v1alpha1.MatchRegex, Value: &expression}}}}
	}
	canary := func(c v1alpha1.Canary) v1alpha1.Strategy { return v1alpha1.Strategy{Canary: &c} }
	host := v1alpha1.Sticky{Header: &v1alpha1.StickyHeader{Name: "Host"}}
	for name, tc := range map[string]struct {
		reason   string
		strategy v1alpha1.Strategy
		want     string
	}{
		"good":             {"RE2 of moderate size", canary(v1alpha1.Canary{Steps: []v1alpha1.Step{{Match: regex("(a|b)[0-9]{1,3}")}}}), ""},
		"no RE2":           {"a look-ahead", canary(v1alpha1.Canary{Steps: []v1alpha1.Step{{}, {Match: regex("(?=a)b")}}}), "strategy.canary.steps[1].match[0].headers[0].value: "},
		"too large":        {"a table with it would be rejected whole", v1alpha1.Strategy{BlueGreen: &v1alpha1.BlueGreen{Preview: &v1alpha1.Preview{Match: regex("((abc){30}){30}")}}}, "strategy.blueGreen.preview.match[0].headers[0].value: the expression is too large"},
		"beyond ASCII":     {"Envoy reads bytes", v1alpha1.Strategy{ABTest: &v1alpha1.ABTest{Match: regex("ü")}}, "strategy.abTest.match[0].headers[0].value: characters beyond ASCII"},
		"host":             {"proxies keep it elsewhere", canary(v1alpha1.Canary{Sticky: &host}), "strategy.canary.sticky.header.name host"},
		"host in a test":   {"proxies keep it elsewhere", v1alpha1.Strategy{ABTest: &v1alpha1.ABTest{Sticky: host}}, "strategy.abTest.sticky.header.name host"},
		"nothing to match": {"nothing can be wrong", v1alpha1.Strategy{BlueGreen: &v1alpha1.BlueGreen{}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := StrategyMistakes(&tc.strategy)
			switch {
			case tc.want == "" && len(got) > 0:
				t.Errorf("%s: refused: %q", tc.reason, got)
			case tc.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tc.want)):
				t.Errorf("%s: got %q, want one that begins with %q", tc.reason, got, tc.want)
			}
		})
	}
}
