package v1alpha1_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// testCheckValidation asks a real API server about the checks of a Rollout.
func testCheckValidation(t *testing.T, c client.Client) {
	for name, tc := range map[string]struct {
		check, want string
	}{
		"success rate":           {`successRate: {min: "99.5"}`, ""},
		"all of them":            {`successRate: {min: "100"}`, ""},
		"latency":                {`latency: {quantile: "0.999", max: 500ms}`, ""},
		"latency by default":     {`latency: {max: 29s}`, ""},
		"request rate":           {`requestRate: {min: "0.5"}`, ""},
		"compared only":          {`{successRate: {}, comparedToStable: {maxRatio: "1.5"}}`, ""},
		"compared latency":       {`{latency: {max: 1s}, comparedToStable: {maxRatio: "0.9"}}`, ""},
		"everything else":        {`{successRate: {min: "99"}, minRequests: 100, window: 5m, consecutiveFailures: 3, failureLimit: 0, onNoData: Fail}`, ""},
		"template":               {`{templateRef: {name: errors}}`, ""},
		"cluster template":       {`{templateRef: {kind: ClusterAnalysisTemplate, name: errors}, args: [{name: limit, value: "1"}]}`, ""},
		"template, own interval": {`{templateRef: {name: errors}, interval: 5s, minRequests: 1}`, ""},
		"query and requests":     {`{prometheus: {query: x}, max: "1", minRequests: 1}`, ""},

		"two sources":            {`{successRate: {min: "99"}, latency: {max: 1s}}`, "exactly one source must be set: successRate, latency, requestRate, prometheus with a query, templateRef, or job"},
		"none":                   {`{minRequests: 5}`, "exactly one source must be set"},
		"template and query":     {`{templateRef: {name: errors}, prometheus: {query: x}, max: "1"}`, "exactly one source must be set"},
		"min of a success rate":  {`{successRate: {min: "99"}, min: "99"}`, "set successRate.min, latency.max or requestRate.min instead, or an argument of the template"},
		"max of a template":      {`{templateRef: {name: errors}, max: "1"}`, "or an argument of the template"},
		"empty success rate":     {`{successRate: {}}`, "nothing is judged: set successRate.min, comparedToStable or both"},
		"empty latency":          {`{latency: {quantile: "0.9"}}`, "nothing is judged: set latency.max, comparedToStable or both"},
		"empty request rate":     {`{requestRate: {}}`, "requestRate.min: Required value"},
		"share for percent":      {`{successRate: {min: "0.995"}}`, `must be a percentage in quotes, above "1" and at most "100": "99.5", not "0.995"`},
		"over 100 percent":       {`{successRate: {min: "100.1"}}`, "must be a percentage in quotes"},
		"percent of words":       {`{successRate: {min: "99%"}}`, "must be a percentage in quotes"},
		"percentile":             {`{latency: {quantile: "99", max: 1s}}`, `such as "0.99" for the 99th percentile`},
		"quantile of 0":          {`{latency: {quantile: "0.0", max: 1s}}`, `such as "0.99" for the 99th percentile`},
		"beyond the histogram":   {`{latency: {max: 30s}}`, "from 1ms to less than 30s"},
		"latency of 0":           {`{latency: {max: 0s}}`, "from 1ms to less than 30s"},
		"latency of a number":    {`{latency: {max: "500"}}`, "must be a duration such as 500ms"},
		"rate of 0":              {`{requestRate: {min: "0"}}`, "must be a number of requests per second"},
		"ratio of 0":             {`{latency: {max: 1s}, comparedToStable: {maxRatio: "0.0"}}`, `above "0", such as "1.5"`},
		"ratio of words":         {`{latency: {max: 1s}, comparedToStable: {maxRatio: "150%"}}`, `such as "1.5"`},
		"compared request rate":  {`{requestRate: {min: "1"}, comparedToStable: {maxRatio: "1.5"}}`, "comparedToStable compares a successRate or a latency"},
		"compared query":         {`{prometheus: {query: x}, max: "1", comparedToStable: {maxRatio: "1.5"}}`, "or compare within your query by .Stable"},
		"args of nothing":        {`{successRate: {min: "99"}, args: [{name: a, value: "1"}]}`, "args are a template's: set templateRef, or leave them out"},
		"the same arg twice":     {`{templateRef: {name: errors}, args: [{name: a, value: "1"}, {name: a, value: "2"}]}`, "Duplicate value"},
		"other kind of template": {`{templateRef: {kind: Template, name: errors}}`, `supported values: "AnalysisTemplate", "ClusterAnalysisTemplate"`},
		"name of a template":     {`{templateRef: {name: Err_ors}}`, "must be the name of a template"},
		"no requests":            {`{successRate: {min: "99"}, minRequests: 0}`, "greater than or equal to 1"},
		"row of none":            {`{successRate: {min: "99"}, consecutiveFailures: 0}`, "greater than or equal to 1"},
		"window of 0":            {`{successRate: {min: "99"}, window: 0s}`, "must be a duration such as 1m or 5m, from 1s to 24h"},
		"unknown source":         {`{errorRate: {max: "1"}}`, "unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			u := rollout(t)
			check := object(t, tc.check)
			check["name"] = "a"
			checks(check)(u.Object["spec"].(map[string]any))
			expect(t, c, u, tc.want)
		})
	}
	for _, kind := range []string{"AnalysisTemplate", "ClusterAnalysisTemplate"} {
		t.Run(kind, func(t *testing.T) { testTemplates(t, c, kind) })
	}
}

func testTemplates(t *testing.T, c client.Client, kind string) {
	for name, tc := range map[string]struct {
		spec, want string
	}{
		"with holes": {`
description: the share that succeeds
args: [{name: least, type: Number, default: "99"}, {name: window, type: Duration}, {name: path}]
check: {successRate: {min: "{{.Args.least}}"}, comparedToStable: {maxRatio: "{{.Args.least}}"}, minRequests: "{{.Args.least}}", interval: "{{.Args.window}}", failureLimit: 2}`, ""},
		"query":           {`check: {prometheus: {query: "x{{.Args.a}}"}, max: "{{.Args.b}}"}`, ""},
		"latency":         {`check: {latency: {max: "{{.Args.b}}"}}`, ""},
		"no check":        {`args: []`, "spec.check: Required value"},
		"no source":       {`check: {interval: 5s}`, "exactly one source must be set"},
		"two sources":     {`check: {requestRate: {min: "1"}, latency: {max: 1s}}`, "exactly one source must be set"},
		"a template":      {`check: {templateRef: {name: other}}`, `unknown field "spec.check.templateRef"`},
		"several checks":  {`checks: [{requestRate: {min: "1"}}]`, `unknown field "spec.checks"`},
		"nothing judged":  {`check: {prometheus: {query: x}}`, "without min and max nothing is judged"},
		"no success":      {`check: {successRate: {}}`, "set successRate.min, comparedToStable or both"},
		"no latency":      {`check: {latency: {}}`, "set latency.max, comparedToStable or both"},
		"min of a rate":   {`check: {requestRate: {min: "1"}, min: "1"}`, "min and max are for the number of a prometheus query"},
		"compared query":  {`check: {prometheus: {query: x}, max: "1", comparedToStable: {maxRatio: "1"}}`, "comparedToStable compares a successRate or a latency"},
		"name of an arg":  {`{args: [{name: a-b}], check: {requestRate: {min: "1"}}}`, "must be a letter, then letters and digits"},
		"type of an arg":  {`{args: [{name: a, type: Integer}], check: {requestRate: {min: "1"}}}`, `supported values: "String", "Number", "Duration"`},
		"the same twice":  {`{args: [{name: a}, {name: a}], check: {requestRate: {min: "1"}}}`, "Duplicate value"},
		"onNoData":        {`check: {requestRate: {min: "1"}, onNoData: Ignore}`, "supported values"},
		"a list for args": {`{args: [a], check: {requestRate: {min: "1"}}}`, "args"},
	} {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "crossfade.dev/v1alpha1", "kind": kind, "metadata": map[string]any{"name": "errors"}, "spec": object(t, tc.spec),
			}}
			if kind == "AnalysisTemplate" {
				u.SetNamespace("default")
			}
			expect(t, c, u, tc.want)
		})
	}
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON([]byte(`{"apiVersion":"v1","kind":"Any","is":` + string(raw) + `}`)); err != nil {
		t.Fatal(err)
	}
	return u.Object["is"].(map[string]any)
}

// expect creates an object, to no effect, and wants a refusal that says something;
// none when that is empty.
func expect(t *testing.T, c client.Client, u *unstructured.Unstructured, want string) {
	t.Helper()
	err := c.Create(t.Context(), u, client.DryRunAll)
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted; want a refusal that says %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("refusal %q does not say %q", err, want)
	}
}
