package checks

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/metrics"
)

// template has an argument of each type, with and without a default.
const template = `
args:
- {name: path}
- {name: limit, type: Number, default: "0.01"}
- {name: window, type: Duration, default: 90s}
- {name: many, type: Number, default: "100"}
check:
  prometheus: {query: 'sum(rate(x{revision="{{.Canary}}",path="{{.Args.path}}"}[{{.Args.window}}]))'}
  max: "{{.Args.limit}}"
  minRequests: "{{.Args.many}}"
  interval: "{{.Args.window}}"
  failureLimit: 2
  onNoData: Fail
`

func load[T any](t *testing.T, text string) T {
	t.Helper()
	var out T
	if err := yaml.UnmarshalStrict([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func resolve(t *testing.T, check, template string) ([]v1alpha1.Check, string) {
	t.Helper()
	spec := load[v1alpha1.AnalysisTemplateSpec](t, template)
	got, refused := Resolve([]v1alpha1.Check{load[v1alpha1.Check](t, check)}, func(ref v1alpha1.TemplateRef) *v1alpha1.AnalysisTemplateSpec {
		if ref.Name == "gone" {
			return nil
		}
		return &spec
	})
	if refused != nil {
		return got, refused.Reason + ": " + refused.Message
	}
	return got, ""
}

func TestResolve(t *testing.T) {
	cases := map[string]struct {
		reason, check, template, want string
	}{
		"defaults": {"what a check does not set", `{name: a, templateRef: {name: t}, args: [{name: path, value: /pay}]}`, template, `
name: a
prometheus: {query: 'sum(rate(x{revision="{{.Canary}}",path="/pay"}[1m30s]))'}
max: "0.01"
minRequests: 100
interval: 1m30s
failureLimit: 2
onNoData: Fail`},
		"arguments": {"what it sets; a duration is Prometheus's in a query, Go's elsewhere", `
name: a
templateRef: {name: t}
args: [{name: path, value: /pay}, {name: limit, value: "1e-3"}, {name: window, value: 24h}, {name: many, value: "5"}]`, template, `
name: a
prometheus: {query: 'sum(rate(x{revision="{{.Canary}}",path="/pay"}[1d]))'}
max: "1e-3"
minRequests: 5
interval: 24h
failureLimit: 2
onNoData: Fail`},
		"overridden": {"when and how often is the check's own", `
name: a
templateRef: {name: t}
args: [{name: path, value: p}]
interval: 5s
window: 2m
initialDelay: 1m
failureLimit: 0
consecutiveFailures: 3
minRequests: 7
onNoData: Wait
dryRun: true`, template, `
name: a
prometheus: {query: 'sum(rate(x{revision="{{.Canary}}",path="p"}[1m30s]))'}
max: "0.01"
minRequests: 7
interval: 5s
window: 2m
initialDelay: 1m
failureLimit: 0
consecutiveFailures: 3
onNoData: Wait
dryRun: true`},
		"built in": {"not only queries", `{name: a, templateRef: {name: t}}`, `
args: [{name: least, type: Number, default: "99.9"}, {name: slow, type: Duration, default: 250ms}]
check: {latency: {max: "{{.Args.slow}}"}, comparedToStable: {maxRatio: "2"}, consecutiveFailures: 4, initialDelay: 3s, window: 10m}`, `
name: a
latency: {quantile: "0.99", max: 250ms}
comparedToStable: {maxRatio: "2"}
consecutiveFailures: 4
initialDelay: 3s
window: 10m`},
		"success": {"a number", `{name: a, templateRef: {name: t}, args: [{name: least, value: "95"}]}`, `
args: [{name: least, type: Number, default: "99.9"}]
check: {successRate: {min: "{{.Args.least}}"}}`, `{name: a, successRate: {min: "95"}}`},
		"rate":        {"a number", `{name: a, templateRef: {name: t}}`, `check: {requestRate: {min: "0.5"}}`, `{name: a, requestRate: {min: "0.5"}}`},
		"no template": {"as it is", `{name: a, successRate: {min: "95"}}`, template, `{name: a, successRate: {min: "95"}}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, refused := resolve(t, tc.check, tc.template)
			if refused != "" {
				t.Fatal(refused)
			}
			if diff := cmp.Diff([]v1alpha1.Check{load[v1alpha1.Check](t, tc.want)}, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
			if _, err := Parse(&got[0]); err != nil {
				t.Errorf("what a template makes must be askable: %v", err)
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	arg := func(name, value string) string {
		return `{name: errors, templateRef: {name: t}, args: [{name: ` + name + `, value: ` + value + `}]}`
	}
	none := `{name: errors, templateRef: {kind: ClusterAnalysisTemplate, name: t}}`
	cases := map[string]struct{ check, template, want string }{
		"not there":         {`{name: errors, templateRef: {name: gone}}`, template, `TemplateNotFound: check errors: there is no AnalysisTemplate gone: create it, or change the check's templateRef`},
		"missing argument":  {none, template, `InvalidArguments: check errors: ClusterAnalysisTemplate t has no default for path: set args`},
		"two missing":       {none, `{args: [{name: b}, {name: a}], check: {requestRate: {min: "1"}}}`, `InvalidArguments: check errors: ClusterAnalysisTemplate t has no default for b, a: set args`},
		"unknown argument":  {`{name: errors, templateRef: {name: t}, args: [{name: path, value: x}, {name: pth, value: x}]}`, template, `InvalidArguments: check errors: AnalysisTemplate t has no argument "pth": it has limit, many, path, window`},
		"none to be set":    {arg("x", "y"), `{check: {requestRate: {min: "1"}}}`, `InvalidArguments: check errors: AnalysisTemplate t has no argument "x": it has none`},
		"no string":         {arg("path", `'a"} or vector(0)'`), template, `InvalidArguments: check errors: argument path of AnalysisTemplate t is "a\"} or vector(0)": a String consists of letters, digits and - _ . / : only`},
		"a field":           {arg("path", `'{{.Canary}}'`), template, `a String consists of letters`},
		"empty":             {arg("path", `''`), template, `a String consists of letters`},
		"no number":         {arg("limit", `few`), template, `InvalidArguments: check errors: argument limit of AnalysisTemplate t is "few", which is no number`},
		"no duration":       {arg("window", `5d`), template, `InvalidArguments: check errors: argument window of AnalysisTemplate t is "5d", which is no duration`},
		"duration of none":  {arg("window", `0s`), template, `is "0s", which is no duration`},
		"bad default":       {none, `{args: [{name: a, type: Number, default: x}], check: {requestRate: {min: "1"}}}`, `InvalidTemplate: check errors: argument a of ClusterAnalysisTemplate t is "x", which is no number`},
		"unknown field":     {none, `{check: {prometheus: {query: "{{.Args.x}}"}, max: "1"}}`, `InvalidTemplate: check errors: ClusterAnalysisTemplate t: prometheus.query: parse the query template: unknown field .Args.x`},
		"a loop":            {none, `{check: {prometheus: {query: "{{range 9}}x{{end}}"}, max: "1"}}`, `prometheus.query: parse the query template: {{range 9}}x{{end}} is not supported`},
		"field in a limit":  {none, `{check: {prometheus: {query: x}, max: "{{.Canary}}"}}`, `InvalidTemplate: check errors: ClusterAnalysisTemplate t: max: only .Args can be inserted here, not {{.Canary}}`},
		"limit of words":    {none, `{args: [{name: a, default: few}], check: {prometheus: {query: x}, max: "{{.Args.a}}"}}`, `max: "few" is no decimal number such as 0.01`},
		"min above max":     {none, `{check: {prometheus: {query: x}, min: "2", max: "1"}}`, `min 2 is above max 1: no number could pass`},
		"ratio for percent": {none, `{check: {successRate: {min: "0.995"}}}`, `successRate.min: "0.995" is not a decimal above 1 and at most 100, in percent`},
		"over 100 percent":  {none, `{check: {successRate: {min: "101"}}}`, `successRate.min: "101"`},
		"exponent":          {none, `{check: {successRate: {min: "5e1"}}}`, `successRate.min: "5e1"`},
		"quantile":          {none, `{check: {latency: {quantile: "1", max: 5s}}}`, `latency.quantile: "1" is not a decimal between 0 and 1`},
		"slow":              {none, `{check: {latency: {max: 30s}}}`, `latency.max: "30s" is no duration from 1ms to less than 30s`},
		"rate of none":      {none, `{check: {requestRate: {min: "0"}}}`, `requestRate.min: "0" is not a decimal above 0`},
		"ratio of none":     {none, `{check: {latency: {}, comparedToStable: {maxRatio: "0"}}}`, `comparedToStable.maxRatio: "0" is not a decimal above 0`},
		"no requests":       {none, `{check: {requestRate: {min: "1"}, minRequests: 0}}`, `minRequests: "0" is no whole number from 1 to 1000000000`},
		"half a failure":    {none, `{args: [{name: a, type: Number, default: "0.5"}], check: {requestRate: {min: "1"}, failureLimit: "{{.Args.a}}"}}`, `failureLimit: "0.5" is no whole number from 0 to 1000`},
		"row of none":       {none, `{check: {requestRate: {min: "1"}, consecutiveFailures: 0}}`, `consecutiveFailures: "0" is no whole number from 1 to 1000`},
		"interval":          {none, `{check: {requestRate: {min: "1"}, interval: 10ms}}`, `interval: "10ms" is no duration from 1s to 24h`},
		"window":            {none, `{check: {requestRate: {min: "1"}, window: 25h}}`, `window: "25h" is no duration from 1s to 24h`},
		"initialDelay":      {none, `{check: {requestRate: {min: "1"}, initialDelay: 25h}}`, `initialDelay: "25h" is no duration longer than 0s and at most 24h`},
		"no source":         {none, `{check: {}}`, `exactly one source must be set`},
		"two sources":       {none, `{check: {requestRate: {min: "1"}, prometheus: {query: x}, max: "1"}}`, `exactly one source must be set`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, refused := resolve(t, tc.check, tc.template)
			if !strings.Contains(refused, tc.want) || got != nil {
				t.Errorf("got %v, refusal %q; want %q", got, refused, tc.want)
			}
		})
	}
}

// TestLongQuery: a query grows with its arguments.
func TestLongQuery(t *testing.T) {
	text := strings.Repeat("{{.Args.a}}+", 40) + "1"
	long := strings.Repeat("x", 253)
	_, refused := resolve(t, `{name: a, templateRef: {name: t}}`, `{args: [{name: a, default: `+long+`}], check: {prometheus: {query: "`+text+`"}, max: "1"}}`)
	if want := "it is longer than 8192 bytes with its arguments"; !strings.Contains(refused, want) {
		t.Errorf("refusal %q, want %q", refused, want)
	}
}

func TestRender(t *testing.T) {
	canary := metrics.QueryArgs{Namespace: "shop", Rollout: "payments", Service: "pay", Stable: "x0", Canary: "x1", Interval: time.Minute}
	cases := map[string]struct {
		reason, check, stable string
		want                  []string
	}{
		"value":           {"the number alone", `{name: a, requestRate: {min: "1"}}`, "", []string{"value of x1"}},
		"requests":        {"minRequests", `{name: a, prometheus: {query: 'x{r="{{.Canary}}"}'}, max: "1", minRequests: 5}`, "", []string{"value of x1", "requests of x1"}},
		"compared":        {"latencies", `{name: a, latency: {}, comparedToStable: {maxRatio: "2"}}`, "x0", []string{"value of x1", "stable value of x0"}},
		"failures":        {"the canary's requests say what one failure is", `{name: a, successRate: {}, comparedToStable: {maxRatio: "2"}}`, "x0", []string{"value of x1", "requests of x1", "stable value of x0"}},
		"everything":      {"stable's number needs as many requests", `{name: a, latency: {}, comparedToStable: {maxRatio: "2"}, minRequests: 5}`, "x0", []string{"value of x1", "requests of x1", "stable value of x0", "stable requests of x0"}},
		"nothing to that": {"at the whole weight", `{name: a, latency: {}, comparedToStable: {maxRatio: "2"}, minRequests: 5}`, "", []string{"value of x1", "requests of x1"}},
		"not compared":    {"stable is known, but nothing compares", `{name: a, latency: {max: 1s}}`, "x0", []string{"value of x1"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := load[v1alpha1.Check](t, tc.check)
			q, err := Parse(&c)
			if err != nil {
				t.Fatal(err)
			}
			rendered, err := q.Render(canary, tc.stable)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range rendered {
				of := "x1"
				if strings.Contains(r.Text, `"x0"`) {
					of = "x0"
				}
				got = append(got, string(r.Of)+" of "+of)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestArgs(t *testing.T) {
	ro := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments"}}
	c := &v1alpha1.Check{}
	want := metrics.QueryArgs{Namespace: "shop", Rollout: "payments", Service: "pay", Stable: "x0", Canary: "x1", Interval: 30 * time.Second}
	for _, step := range []struct {
		reason string
		change func()
		want   time.Duration
	}{
		{"the API's default", func() {}, 30 * time.Second},
		{"the analysis' own", func() {
			ro.Spec.Analysis = &v1alpha1.Analysis{Interval: metav1.Duration{Duration: time.Minute}}
		}, time.Minute},
		{"the check's own", func() { c.Interval = &metav1.Duration{Duration: time.Second} }, time.Second},
		{"how long it looks back", func() { c.Window = &metav1.Duration{Duration: 5 * time.Second} }, 5 * time.Second},
	} {
		step.change()
		want.Interval = step.want
		if diff := cmp.Diff(want, Args(ro, c, "pay", "x0", "x1")); diff != "" {
			t.Errorf("%s: -want +got\n%s", step.reason, diff)
		}
	}
}
