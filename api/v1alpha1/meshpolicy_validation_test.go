package v1alpha1_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// goodPolicy is a MeshPolicy with every field; the cases change it.
const goodPolicy = `
apiVersion: crossfade.dev/v1alpha1
kind: MeshPolicy
metadata: {name: payments, namespace: default}
spec:
  targetRefs: [{kind: Service, name: payments}]
  mtls: {mode: Strict}
  timeouts: {request: 5s, idle: 5m}
  retries: {attempts: 2, perTryTimeout: 1s, "on": [connect-failure, refused-stream, reset-before-request, reset, 5xx, "503"], budgetPercent: 20}
  circuitBreaker: {maxConnections: 1000, maxPendingRequests: 500, maxRequests: 2000}
  outlierDetection: {consecutive5xx: 5, interval: 10s, baseEjection: 30s, maxEjectionPercent: 50}
  access: {default: Deny, allow: [{from: [{namespace: shop, serviceAccounts: [web]}], methods: [GET], paths: [/api/*, /healthz], ports: [8080]}]}
  egress: {mode: Allow, namespaces: [shop, payments]}
  telemetry: {accessLog: true, tracing: {samplingPercent: 1}}
`

// policyCase is one change of goodPolicy.
type policyCase struct {
	reason string
	change func(spec map[string]any)
	// want is what the refusal must say; empty when it must be accepted.
	want string
}

// testMeshPolicyValidation asks a real API server.
func testMeshPolicyValidation(t *testing.T, c client.Client) {
	for _, table := range []map[string]policyCase{
		policyShape(), policyDurations(), policyRetries(), policyNumbers(), policyAccess(), policyEgress(),
	} {
		for name, tc := range table {
			t.Run(name, func(t *testing.T) {
				u := &unstructured.Unstructured{}
				raw, err := yaml.YAMLToJSON([]byte(goodPolicy))
				if err != nil {
					t.Fatal(err)
				}
				if err := u.UnmarshalJSON(raw); err != nil {
					t.Fatal(err)
				}
				tc.change(u.Object["spec"].(map[string]any))
				err = c.Create(t.Context(), u, client.DryRunAll)
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
	}
	t.Run("user's page", func(t *testing.T) { testPolicyDocs(t, c) })
}

// testPolicyDocs applies the examples of the user's page: whole objects, and fields of a
// spec.
func testPolicyDocs(t *testing.T, c client.Client) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "mesh-policy.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for block := range strings.SplitSeq(string(page), "```yaml\n") {
		example, _, found := strings.Cut(block, "```")
		if !found || strings.HasPrefix(block, "# MeshPolicy") {
			continue
		}
		if !strings.Contains(example, "kind: MeshPolicy") {
			spec := "  " + strings.ReplaceAll(strings.TrimSpace(example), "\n", "\n  ")
			example = "apiVersion: crossfade.dev/v1alpha1\nkind: MeshPolicy\nmetadata: {name: example}\nspec:\n" + spec
		}
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(example), &u.Object); err != nil {
			t.Fatalf("%v in\n%s", err, example)
		}
		u.SetNamespace("default")
		if err := c.Create(t.Context(), u, client.DryRunAll); err != nil {
			t.Errorf("%v for\n%s", err, example)
		}
		examples++
	}
	if examples < 10 {
		t.Errorf("the page has %d examples; one for each field is missing", examples)
	}
}

func policyShape() map[string]policyCase {
	out := map[string]policyCase{
		"everything":   {reason: "every field with a good value", change: func(map[string]any) {}},
		"no targets":   {reason: "the whole namespace", change: func(s map[string]any) { delete(s, "targetRefs") }},
		"zero targets": {change: put([]any{}, "targetRefs"), want: "should have at least 1 items"},
		"kind left out": {
			reason: "there is only one kind", change: put([]any{map[string]any{"name": "payments"}}, "targetRefs"),
		},
		"other kind":      {change: put([]any{target("payments", "Deployment")}, "targetRefs"), want: "set kind to Service, or leave targetRefs out"},
		"bad name":        {change: put([]any{target("Pay.ments", "Service")}, "targetRefs"), want: "must be the name of a Service"},
		"same name twice": {change: put([]any{target("a", "Service"), target("a", "Service")}, "targetRefs"), want: "Duplicate value"},
		"16 targets":      {reason: "the limit itself", change: put(targets(16), "targetRefs")},
		"17 targets":      {change: put(targets(17), "targetRefs"), want: "must have at most 16 items"},
		"unknown field":   {change: put("x", "colour"), want: `unknown field "spec.colour"`},
		"mtls mode":       {change: put("Off", "mtls", "mode"), want: `supported values: "Permissive", "Strict"`},
		"mtls nothing":    {change: put(map[string]any{}, "mtls"), want: "mode: Required value"},
		"telemetry empty": {change: put(map[string]any{}, "telemetry"), want: "without accessLog and tracing nothing is said"},
		"sampling 101":    {change: put(int64(101), "telemetry", "tracing", "samplingPercent"), want: "less than or equal to 100"},
		"sampling -1":     {change: put(int64(-1), "telemetry", "tracing", "samplingPercent"), want: "greater than or equal to 0"},
		"says nothing":    {change: keep("targetRefs"), want: "a policy must say something"},
	}
	for _, field := range []string{"mtls", "timeouts", "retries", "circuitBreaker", "outlierDetection", "access", "egress", "telemetry"} {
		out["only "+field] = policyCase{reason: "one field is enough", change: keep("targetRefs", field)}
	}
	return out
}

// policyDurations tries each duration at, below and above its limits.
func policyDurations() map[string]policyCase {
	out := map[string]policyCase{
		"a try longer than all":  {change: put("6s", "retries", "perTryTimeout"), want: "perTryTimeout must not be longer than timeouts.request"},
		"a try as long as all":   {reason: "one try may take it all", change: put("5s", "retries", "perTryTimeout")},
		"no timeout":             {change: put(map[string]any{}, "timeouts"), want: "set request, idle or both"},
		"a try without a limit":  {reason: "idle does not end tries", change: both(put("6s", "retries", "perTryTimeout"), put(map[string]any{"idle": "1s"}, "timeouts"))},
		"one bad of two compare": {change: put("soon", "timeouts", "request"), want: "must be a duration such as"},
	}
	for _, d := range []struct {
		path                  []string
		lowest, most          string
		belowLowest, overMost string
	}{
		{[]string{"timeouts", "request"}, "1ms", "24h", "0s", "25h"},
		{[]string{"timeouts", "idle"}, "1ms", "24h", "0s", "25h"},
		{[]string{"retries", "perTryTimeout"}, "1ms", "5s", "0s", "25h"},
		{[]string{"outlierDetection", "interval"}, "100ms", "1h", "99ms", "61m"},
		{[]string{"outlierDetection", "baseEjection"}, "100ms", "24h", "99ms", "25h"},
	} {
		field := strings.Join(d.path, ".")
		for _, value := range []string{d.lowest, d.most} {
			out[field+" of "+value] = policyCase{reason: "the limit itself", change: both(put("1ms", "retries", "perTryTimeout"), put(value, d.path...))}
		}
		for _, value := range []string{d.belowLowest, d.overMost, "-5s", "5", "5d", "", "fast"} {
			out[field+" of "+value] = policyCase{change: put(value, d.path...), want: "must be a duration such as"}
		}
	}
	return out
}

func policyRetries() map[string]policyCase {
	out := map[string]policyCase{
		"retries by default": {reason: "all of it has defaults", change: put(map[string]any{}, "retries")},
		"retries off":        {reason: "0 is a choice", change: put(int64(0), "retries", "attempts")},
		"10 attempts":        {reason: "the limit itself", change: put(int64(10), "retries", "attempts")},
		"11 attempts":        {change: put(int64(11), "retries", "attempts"), want: "less than or equal to 10"},
		"-1 attempts":        {change: put(int64(-1), "retries", "attempts"), want: "greater than or equal to 0"},
		"on nothing":         {change: put([]any{}, "retries", "on"), want: "should have at least 1 items"},
		"on the same twice":  {change: put([]any{"503", "503"}, "retries", "on"), want: "Duplicate value"},
		"on a bare number":   {change: put([]any{int64(503)}, "retries", "on"), want: "must be of type string"},
		"budget 0":           {change: put(int64(0), "retries", "budgetPercent"), want: "greater than or equal to 1"},
		"budget 101":         {change: put(int64(101), "retries", "budgetPercent"), want: "less than or equal to 100"},
		"budget 100":         {reason: "the limit itself", change: put(int64(100), "retries", "budgetPercent")},
	}
	out["on without quotes"] = policyCase{reason: "YAML turns the key into the word true", change: put(map[string]any{"true": []any{"503"}}, "retries")}
	out["on both ways"] = policyCase{change: put([]any{"503"}, "retries", "true"), want: "on is there twice"}
	for _, value := range []string{"400", "599"} {
		out["on "+value] = policyCase{reason: "the limit itself", change: put([]any{value}, "retries", "on")}
	}
	for _, value := range []string{"399", "600", "200", "5", "5000", "4xx", "5.3", "gateway-errors", "CONNECT-FAILURE", "", "503|200"} {
		out["true "+value] = policyCase{change: put(map[string]any{"true": []any{value}}, "retries"), want: `or a status code from "400" to "599" in quotes`}
		out["on "+value] = policyCase{change: put([]any{value}, "retries", "on"), want: `or a status code from "400" to "599" in quotes`}
	}
	return out
}

func policyNumbers() map[string]policyCase {
	out := map[string]policyCase{
		"breaker without":    {change: put(map[string]any{}, "circuitBreaker"), want: "set maxConnections, maxPendingRequests or maxRequests"},
		"outlier by default": {reason: "all of it has defaults", change: put(map[string]any{}, "outlierDetection")},
		"consecutive 1001":   {change: put(int64(1001), "outlierDetection", "consecutive5xx"), want: "less than or equal to 1000"},
		"consecutive 0":      {change: put(int64(0), "outlierDetection", "consecutive5xx"), want: "greater than or equal to 1"},
		"ejection 0%":        {change: put(int64(0), "outlierDetection", "maxEjectionPercent"), want: "greater than or equal to 1"},
		"ejection 101%":      {change: put(int64(101), "outlierDetection", "maxEjectionPercent"), want: "less than or equal to 100"},
	}
	for _, field := range []string{"maxConnections", "maxPendingRequests", "maxRequests"} {
		out[field+" 0"] = policyCase{change: put(int64(0), "circuitBreaker", field), want: "greater than or equal to 1"}
		out["only "+field] = policyCase{reason: "one is enough", change: put(map[string]any{field: int64(1)}, "circuitBreaker")}
	}
	return out
}

func policyAccess() map[string]policyCase {
	rule := func(value any, path ...string) func(map[string]any) {
		return func(s map[string]any) {
			set(s["access"].(map[string]any)["allow"].([]any)[0].(map[string]any), value, path...)
		}
	}
	source := func(namespace string, accounts ...any) []any {
		return []any{map[string]any{"namespace": namespace, "serviceAccounts": accounts}}
	}
	out := map[string]policyCase{
		"no default":          {change: put(map[string]any{}, "access"), want: "default: Required value"},
		"other default":       {change: put("Ask", "access", "default"), want: `supported values: "Allow", "Deny"`},
		"deny all":            {reason: "no rule at all", change: put(map[string]any{"default": "Deny"}, "access")},
		"allow all":           {reason: "lifts the namespace's Deny", change: put(map[string]any{"default": "Allow"}, "access")},
		"rules without sense": {change: put("Allow", "access", "default"), want: "set default to Deny, or remove allow"},
		"no rules":            {change: put([]any{}, "access", "allow"), want: "should have at least 1 items"},
		"empty rule":          {change: put([]any{map[string]any{}}, "access", "allow"), want: "an empty rule would allow everything"},
		"only ports":          {reason: "one is enough", change: put([]any{map[string]any{"ports": []any{int64(8080)}}}, "access", "allow")},
		"from nobody":         {change: rule([]any{}, "from"), want: "should have at least 1 items"},
		"whole namespace":     {reason: "all its accounts", change: rule([]any{map[string]any{"namespace": "shop"}}, "from")},
		"no namespace":        {change: rule([]any{map[string]any{"serviceAccounts": []any{"web"}}}, "from"), want: "namespace: Required value"},
		"bad namespace":       {change: rule(source("sh.op", "web"), "from"), want: "must be the name of a namespace"},
		"any namespace":       {change: rule(source("*", "web"), "from"), want: "must be the name of a namespace"},
		"account with a dot":  {reason: "ServiceAccounts may have them", change: rule(source("shop", "web.v1"), "from")},
		"bad account":         {change: rule(source("shop", "we*"), "from"), want: "must be the name of a ServiceAccount"},
		"account and slash":   {change: rule(source("shop", "web/admin"), "from"), want: "must be the name of a ServiceAccount"},
		"same account twice":  {change: rule(source("shop", "web", "web"), "from"), want: "Duplicate value"},
		"bad method":          {change: rule([]any{"get"}, "methods"), want: "supported values"},
		"any method":          {change: rule([]any{"*"}, "methods"), want: "supported values"},
		"port 0":              {change: rule([]any{int64(0)}, "ports"), want: "greater than or equal to 1"},
		"port 65536":          {change: rule([]any{int64(65536)}, "ports"), want: "less than or equal to 65535"},
		"port 65535":          {reason: "the limit itself", change: rule([]any{int64(65535)}, "ports")},
	}
	for _, path := range []string{"/", "/*", "/a.b/c-d_e~f", "/api/*", "/api*", "/.well-known/x", "/...", "/a;v=1/b"} {
		out["path "+path] = policyCase{reason: "a path or a prefix", change: rule([]any{path}, "paths")}
	}
	for _, path := range []string{"", "api", "*", "/a*b", "/**", "/a?b=c", "/a#b"} {
		out["path "+path] = policyCase{change: rule([]any{path}, "paths"), want: "must begin with / and may have one * at its end"}
	}
	for _, path := range []string{"//a", "/a//b", "/../a", "/a/..", "/a/./b", "/a/.", "/a%2fb", "/ä", "/a b", `/a\b`} {
		out["path "+path] = policyCase{change: rule([]any{path}, "paths"), want: "could never fit"}
	}
	return out
}

func policyEgress() map[string]policyCase {
	return map[string]policyCase{
		"egress mode":       {change: put("Refuse", "egress", "mode"), want: `supported values: "Allow", "Block"`},
		"egress block":      {reason: "without namespaces", change: put(map[string]any{"mode": "Block"}, "egress")},
		"egress namespaces": {reason: "without a mode", change: put(map[string]any{"namespaces": []any{"shop"}}, "egress")},
		"egress to none":    {change: put([]any{}, "egress", "namespaces"), want: "should have at least 1 items"},
		"egress to all":     {change: put([]any{"*"}, "egress", "namespaces"), want: "must be the name of a namespace"},
		"egress twice":      {change: put([]any{"a", "a"}, "egress", "namespaces"), want: "Duplicate value"},
	}
}

func target(name, kind string) map[string]any { return map[string]any{"name": name, "kind": kind} }

func targets(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = target(fmt.Sprintf("svc-%d", i), "Service")
	}
	return out
}

// keep removes all fields but these.
func keep(fields ...string) func(map[string]any) {
	return func(spec map[string]any) {
		kept := map[string]any{}
		for _, field := range fields {
			kept[field] = spec[field]
		}
		clear(spec)
		for field, value := range kept {
			spec[field] = value
		}
	}
}

func both(changes ...func(map[string]any)) func(map[string]any) {
	return func(spec map[string]any) {
		for _, change := range changes {
			change(spec)
		}
	}
}
