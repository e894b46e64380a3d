package v1alpha1_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// The strategies that the cases are made of.
const (
	goodBlueGreen = `
blueGreen:
  replicas: 50%
  preview: {match: [{headers: [{name: x-preview, type: Present}]}]}
  mirror: {percent: 10, methods: [GET, POST]}
  hold: {duration: 10m}
  autoPromote: true
  verify: {duration: 5m}
`
	goodABTest = `
abTest:
  match: [{headers: [{name: x-country, value: de}]}, {cookies: [{name: beta, value: "1"}], queryParams: [{name: v, type: Regex, value: "[0-9]+"}]}]
  weight: 50
  totalWeight: 1000
  sticky: {cookie: {name: crossfade-payments, ttl: 1h}}
  duration: 48h
  onEnd: Promote
  replicas: 2
`
)

// testStrategies asks a real API server about what is said of strategies.
func testStrategies(t *testing.T, c client.Client) {
	cases := map[string]struct {
		reason, strategy string
		// want is what the refusal must say; empty when it must be accepted.
		want string
	}{
		"blue-green, everything":  {reason: "every field with a good value", strategy: goodBlueGreen},
		"blue-green, nothing":     {reason: "all of it has defaults", strategy: `blueGreen: {}`},
		"A/B, everything":         {reason: "every field with a good value", strategy: goodABTest},
		"A/B, smallest":           {reason: "only what is required", strategy: `abTest: {weight: 50, sticky: {header: {name: x-user}}, duration: 1h}`},
		"both":                    {strategy: goodBlueGreen + goodABTest, want: "exactly one strategy must be set"},
		"canary and blue-green":   {strategy: goodBlueGreen + `canary: {steps: [{weight: 5}]}`, want: "exactly one strategy must be set"},
		"no sticky":               {strategy: `abTest: {weight: 50, duration: 1h}`, want: "sticky: Required value"},
		"sticky by nothing":       {strategy: `abTest: {weight: 50, sticky: {}, duration: 1h}`, want: "exactly one of cookie and header must be set"},
		"no duration":             {strategy: `abTest: {weight: 50, sticky: {header: {name: x-user}}}`, want: "duration: Required value"},
		"duration of 0s":          {strategy: `abTest: {weight: 50, sticky: {header: {name: x-user}}, duration: 0s}`, want: "longer than 0s"},
		"weight of nobody":        {strategy: `abTest: {weight: 0, sticky: {header: {name: x-user}}, duration: 1h}`, want: "greater than or equal to 1"},
		"weight over the total":   {strategy: `abTest: {weight: 101, sticky: {header: {name: x-user}}, duration: 1h}`, want: "weight may not be over totalWeight"},
		"onEnd":                   {strategy: `abTest: {weight: 50, sticky: {header: {name: x-user}}, duration: 1h, onEnd: Stop}`, want: "supported values"},
		"preview of nothing":      {strategy: `blueGreen: {preview: {match: []}}`, want: "should have at least 1 items"},
		"preview of all":          {strategy: `blueGreen: {preview: {match: [{}]}}`, want: "an empty match would take every request"},
		"verify for ever":         {strategy: `blueGreen: {verify: {}}`, want: "duration: Required value"},
		"hold of a year":          {strategy: `blueGreen: {hold: {duration: 8760h}}`, want: "at most 720h"},
		"no pods":                 {strategy: `blueGreen: {replicas: 0}`, want: "must be a number of pods from 1"},
		"steps of all kinds":      {reason: "weights need not be in every step", strategy: `canary: {steps: [{mirror: {percent: 20}}, {match: [{cookies: [{name: b, value: "1"}]}], pause: {}}, {weight: 10}, {match: []}, {weight: 50, checks: [errors, rate]}], sticky: {cookie: {name: c}}}`},
		"descending, with a hole": {strategy: `canary: {steps: [{weight: 10}, {mirror: {percent: 20}}, {weight: 5}]}`, want: "must not descend"},
		"mirror without pods":     {strategy: `canary: {steps: [{mirror: {percent: 20}, replicas: 0}]}`, want: "needs canary pods"},
		"match without pods":      {strategy: `canary: {steps: [{match: [{cookies: [{name: b, value: "1"}]}], replicas: 0%}]}`, want: "needs canary pods"},
		"mirror of nothing":       {strategy: `canary: {steps: [{mirror: {percent: 0}}]}`, want: "greater than or equal to 1"},
		"mirror of a method":      {strategy: `canary: {steps: [{mirror: {percent: 5, methods: [FETCH]}}]}`, want: "supported values"},
		"value with Present":      {strategy: `canary: {steps: [{match: [{headers: [{name: a, type: Present, value: b}]}]}]}`, want: "none with Present"},
		"no value with Exact":     {strategy: `canary: {steps: [{match: [{headers: [{name: a}]}]}]}`, want: "a value is needed"},
		"check that is not there": {strategy: `canary: {steps: [{weight: 5, checks: [errors, latency]}]}`, want: "a step names a check that there is not"},
		"no checks":               {strategy: `canary: {steps: [{weight: 5, checks: []}]}`, want: "should have at least 1 items"},
		"sticky twice":            {strategy: `canary: {steps: [{weight: 5}], sticky: {cookie: {name: a}, header: {name: b}}}`, want: "exactly one of cookie and header must be set"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := c.Create(t.Context(), withStrategy(t, tc.strategy), client.DryRunAll)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%s: refused: %v", tc.reason, err)
			case tc.want != "" && err == nil:
				t.Errorf("accepted; want a refusal that says %q", tc.want)
			case tc.want != "" && !strings.Contains(err.Error(), tc.want):
				t.Errorf("refusal %q does not say %q", err, tc.want)
			}
		})
	}
	t.Run("samples", func(t *testing.T) { testSamples(t, c) })
	t.Run("switched", func(t *testing.T) { testSwitch(t, c) })
}

func withStrategy(t *testing.T, strategy string) *unstructured.Unstructured {
	t.Helper()
	u := rollout(t)
	parsed := map[string]any{}
	if err := yaml.Unmarshal([]byte(strategy), &parsed); err != nil {
		t.Fatal(err)
	}
	set(u.Object["spec"].(map[string]any), parsed, "strategy")
	return u
}

// testSamples: what people copy must be taken.
func testSamples(t *testing.T, c client.Client) {
	files, err := filepath.Glob(filepath.Join("..", "..", "config", "samples", "strategies", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("samples: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &u.Object); err != nil {
			t.Fatal(err)
		}
		u.SetNamespace("default")
		if err := c.Create(t.Context(), u, client.DryRunAll); err != nil {
			t.Errorf("%s is refused: %v", file, err)
		}
	}
}

// testSwitch changes from each strategy to another one in every phase.
func testSwitch(t *testing.T, c client.Client) {
	u := rollout(t)
	if err := c.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		phase v1alpha1.Phase
		free  bool
	}{
		{"", true},
		{v1alpha1.PhaseInitializing, true},
		{v1alpha1.PhaseHealthy, true},
		{v1alpha1.PhaseRolledBack, true},
		{v1alpha1.PhaseProgressing, false},
		{v1alpha1.PhasePaused, false},
		{v1alpha1.PhasePromoting, false},
		{v1alpha1.PhaseRollingBack, false},
	} {
		if tc.phase != "" {
			status := client.RawPatch(types.MergePatchType, []byte(`{"status":{"phase":"`+string(tc.phase)+`"}}`))
			if err := c.Status().Patch(t.Context(), u, status); err != nil {
				t.Fatal(err)
			}
		}
		for _, to := range []string{`{"canary":null,"blueGreen":{}}`, `{"canary":null,"abTest":{"weight":5,"duration":"1h","sticky":{"header":{"name":"x-user"}}}}`} {
			change := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"strategy":`+to+`}}`))
			err := c.Patch(t.Context(), u.DeepCopy(), change, client.DryRunAll)
			if tc.free && err != nil {
				t.Errorf("phase %q: switching to %s: %v", tc.phase, to, err)
			}
			if !tc.free && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "the strategy cannot be switched while a rollout is on its way")) {
				t.Errorf("phase %q: switching to %s: got %v, want a refusal", tc.phase, to, err)
			}
		}
	}
}
