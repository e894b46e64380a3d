package metrics

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// series are those of one revision, each rising by so much every 10 s.
type series map[string]string

const (
	answered  = `envoy_cluster_upstream_rq_xx{R,port="80",envoy_response_code_class="2"}`
	failed    = `envoy_cluster_upstream_rq_xx{R,port="80",envoy_response_code_class="5"}`
	retried   = `envoy_cluster_upstream_rq_retry{R,port="80"}`
	called    = `envoy_cluster_upstream_rq_xx{R,port="90",envoy_response_code_class="2"}`
	called500 = `envoy_cluster_upstream_rq_xx{R,port="90",envoy_response_code_class="5"}`
)

func status(code string) string {
	return `envoy_cluster_grpc{R,port="90",grpc_status="` + code + `"}`
}

// builtinCase is what Prometheus knows, and what it must make of a query; an empty
// want is no data.
type builtinCase struct {
	reason string
	query  string
	series series
	want   string
}

func builtinCases(t *testing.T) map[string]builtinCase {
	t.Helper()
	p99, err := LatencyQuery("0.99")
	if err != nil {
		t.Fatal(err)
	}
	p50, err := LatencyQuery("0.5")
	if err != nil {
		t.Fatal(err)
	}
	success := SuccessRateQuery()
	times := series{}
	for le, n := range map[string]string{"50": "0+0x12", "100": "0+90x12", "250": "0+90x12", "500": "0+100x12", "+Inf": "0+100x12"} {
		times[`envoy_cluster_upstream_rq_time_bucket{R,port="80",le="`+le+`"}`] = n
	}
	return map[string]builtinCase{
		"never failed": {"a class that never occurred has no series", success, series{answered: "0+100x12"}, "100"},
		"one in ten":   {"5xx", success, series{answered: "0+90x12", failed: "0+10x12"}, "90"},
		"all failed":   {"no 2xx has a series", success, series{failed: "0+10x12"}, "0"},
		"404":          {"the client's fault", success, series{answered: "0+90x12", strings.Replace(answered, `"2"`, `"4"`, 1): "0+10x12"}, "100"},
		"retried": {
			"what a retry made good was the revision's fault all the same", success,
			series{answered: "0+90x12", retried: "0+10x12"},
			"90",
		},
		"retried elsewhere": {"each attempt failed and went on to another revision, which has the answer", success, series{retried: "0+10x12"}, "0"},
		"retried in vain":   {"three attempts, one answer", success, series{answered: "0+9x12", failed: "0+1x12", retried: "0+2x12"}, "75"},
		"gRPC in 200": {
			"pods tell gRPC errors in an answer 200", success,
			series{called: "0+100x12", status("0"): "0+80x12", status("13"): "0+20x12"},
			"80",
		},
		"gRPC, the client's fault": {
			"NOT_FOUND, INVALID_ARGUMENT and the like are no failures", success,
			series{called: "0+100x12", status("0"): "0+50x12", status("5"): "0+25x12", status("3"): "0+25x12"},
			"100",
		},
		"gRPC in both": {
			"what Envoy answers to gRPC itself is a 5xx and a status, and counts once", success,
			series{called: "0+90x12", called500: "0+10x12", status("0"): "0+90x12", status("14"): "0+10x12"},
			"90",
		},
		"two ports": {
			"a failing port is not hidden by the larger of another one", success,
			series{answered: "0+90x12", failed: "0+10x12", called: "0+100x12", status("0"): "0+70x12", status("2"): "0+30x12"},
			"80",
		},
		"nothing asked": {"no data is no verdict", success, series{}, ""},
		"other revision": {
			"each for itself", success,
			series{answered: "0+100x12", strings.Replace(failed, "R", `namespace="shop",service="payments",revision="x2"`, 1): "0+50x12"},
			"100",
		},
		"two proxies": {"gateway and sidecars are added up", success, series{
			strings.Replace(answered, "R", `R,pod="gw"`, 1): "0+100x12", strings.Replace(failed, "R", `R,pod="caller"`, 1): "0+100x12",
		}, "50"},
		"rate":          {"per second, of all classes", RequestRateQuery(), series{answered: "0+90x12", failed: "0+10x12"}, "10"},
		"rate, none":    {"no series is no data, so that an outage of the scrapes is no verdict", RequestRateQuery(), series{}, ""},
		"count":         {"within the window of a minute", RequestCountQuery(), series{answered: "0+90x12", called: "0+10x12"}, "600"},
		"median":        {"between 50 and 100 ms", p50, times, "77.77777777777777"},
		"99th":          {"between 250 and 500 ms", p99, times, "475.0000000000001"},
		"no answers":    {"no data", p99, series{}, ""},
		"beyond 30 s":   {"the last bound, which every max is below", p99, series{`envoy_cluster_upstream_rq_time_bucket{R,port="80",le="30000"}`: "0+0x12", `envoy_cluster_upstream_rq_time_bucket{R,port="80",le="+Inf"}`: "0+5x12"}, "30000"},
		"none in time":  {"a rate of zero divides by zero: NaN, which equals nothing", "(" + success + ") == (" + success + ")", series{answered: "5+0x12"}, ""},
		"rate, in time": {"known, but silent now", RequestRateQuery(), series{answered: "5+0x12"}, "0"},
	}
}

// TestBuiltinQueries asks Prometheus's own engine.
func TestBuiltinQueries(t *testing.T) {
	promtool, err := filepath.Abs("../.local/bin/promtool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(promtool); err != nil {
		t.Fatal("there is no promtool: run `make test`, or .ci/cluster build promtool")
	}
	args := QueryArgs{Namespace: "shop", Rollout: "payments", Service: "payments", Stable: "x0", Canary: "x1", Interval: time.Minute}
	cases := builtinCases(t)
	var tests []map[string]any
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		tc := cases[name]
		parsed, err := ParseQuery(tc.query)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		query, err := parsed.Render(args)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var input, want []map[string]any
		for s, values := range tc.series {
			input = append(input, map[string]any{"series": strings.Replace(s, "R", `namespace="shop",service="payments",revision="x1"`, 1), "values": values})
		}
		if tc.want != "" {
			value, err := strconv.ParseFloat(tc.want, 64)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, map[string]any{"labels": "{}", "value": value})
		}
		tests = append(tests, map[string]any{
			"name": name + ": " + tc.reason, "interval": "10s", "input_series": input,
			"promql_expr_test": []map[string]any{{"expr": query, "eval_time": "2m", "exp_samples": want}},
		})
	}
	raw, err := yaml.Marshal(map[string]any{"evaluation_interval": "10s", "tests": tests})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "builtin.yaml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

func TestLatencyQueryRefuses(t *testing.T) {
	for _, quantile := range []string{"", "p99", `0.9"`, "0.9, vector(1)", "+Inf"} {
		if got, err := LatencyQuery(quantile); err == nil {
			t.Errorf("LatencyQuery(%q) is %q, want an error: it could be anything in a query", quantile, got)
		}
	}
}

func TestFill(t *testing.T) {
	args := map[string]string{"path": "/pay", "window": "5m", "none": ""}
	cases := map[string]struct {
		reason     string
		text, want string
		err        string
	}{
		"Args":        {reason: "Arguments are inserted.", text: `x{path="{{.Args.path}}"}[{{ .Args.window }}]`, want: `x{path="/pay"}[5m]`},
		"Fields":      {reason: "The fields of a query are left for ParseQuery.", text: `x{r="{{.Canary}}",p="{{.Args.path}}"}`, want: `x{r="{{.Canary}}",p="/pay"}`},
		"EmptyValue":  {reason: "What a value may be is the caller's to say.", text: "a{{.Args.none}}b", want: "ab"},
		"EmptyText":   {reason: "There is nothing to fill in.", text: " ", want: " "},
		"UnknownArg":  {reason: "A typing error is named, with what there is.", text: "{{.Args.pth}}", err: "unknown field .Args.pth: use .Args.none, .Args.path, .Args.window; in a query"},
		"NoSuchField": {reason: "An argument has its prefix.", text: "{{.path}}", err: "unknown field .path"},
		"ArgsAlone":   {reason: "All arguments are no text.", text: "{{.Args}}", err: "unknown field .Args"},
		"OfArg":       {reason: "An argument has no fields.", text: "{{.Args.path.x}}", err: "unknown field .Args.path.x"},
		"Loop":        {reason: "As in every query.", text: "{{range 1000000000}}x{{end}}", err: "not supported"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Fill(tc.text, args)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("%s\nFill(%q): %v, want an error with %q", tc.reason, tc.text, err, tc.err)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("%s\nFill(%q) is %q, %v; want %q", tc.reason, tc.text, got, err, tc.want)
			}
		})
	}
}
