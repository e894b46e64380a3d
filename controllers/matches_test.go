package controllers

import (
	"strings"
	"testing"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

func TestInvalidMatch(t *testing.T) {
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
			got := invalidMatch(&v1alpha1.Rollout{Spec: v1alpha1.RolloutSpec{Strategy: tc.strategy}})
			switch {
			case tc.want == "" && got != nil:
				t.Errorf("%s: refused: %s", tc.reason, got.Message)
			case tc.want != "" && (got == nil || got.Reason != v1alpha1.ReasonInvalidMatch || !strings.HasPrefix(got.Message, tc.want)):
				t.Errorf("%s: got %+v, want a message that begins with %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestMatchesOfAGeneration(t *testing.T) {
	bad := "("
	m := newPerGeneration(invalidMatch)
	ro := &v1alpha1.Rollout{}
	ro.Name, ro.UID, ro.Generation = "web", "u1", 1
	ro.Spec.Strategy.BlueGreen = &v1alpha1.BlueGreen{Preview: &v1alpha1.Preview{Match: []v1alpha1.RequestMatch{
		{Cookies: []v1alpha1.ValueMatch{{Name: "beta", Type: v1alpha1.MatchRegex, Value: &bad}}},
	}}}
	first := m.of(ro)
	if first == nil || m.of(ro) != first {
		t.Fatalf("the same generation was compared again, or not at all: %+v", first)
	}
	*ro.Spec.Strategy.BlueGreen.Preview.Match[0].Cookies[0].Value = "1"
	ro.Generation = 2
	if got := m.of(ro); got != nil {
		t.Errorf("the mended generation is refused: %s", got.Message)
	}
	m.forget(keyOf(ro))
	if len(m.known) != 0 {
		t.Error("a Rollout that is gone is remembered")
	}
}
