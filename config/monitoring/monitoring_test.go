// Package monitoring tests what its folder tells other people's Prometheus and
// Grafana.
package monitoring

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// rule is an alert of rules.yaml.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

type group struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

// groups are the contents of the PrometheusRule: promtool knows the groups, not the
// object around them.
func groups(t *testing.T) []group {
	t.Helper()
	var object struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       struct {
			Groups []group `json:"groups"`
		} `json:"spec"`
	}
	raw, err := os.ReadFile("rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(raw, &object); err != nil {
		t.Fatal(err)
	}
	return object.Spec.Groups
}

// promtool finds the program that make test puts into .local/bin.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../.local/bin/promtool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("there is no promtool: run `make test`, or .ci/cluster build promtool")
	}
	return path
}

// check runs promtool in a folder with the rules and their tests, and returns what it
// says when it finds something wrong.
func check(t *testing.T, rules []group, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	raw, err := yaml.Marshal(map[string]any{"groups": rules})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), promtool(t), args...)
	command.Dir = dir
	out, err := command.CombinedOutput()
	return string(out), err
}

// TestAlerts runs the alerts' own tests.
func TestAlerts(t *testing.T) {
	if out, err := check(t, groups(t), "check", "rules", "--lint-fatal", "rules.yaml"); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
	if out, err := check(t, groups(t), "test", "rules", "alerts.yaml", "days.yaml"); err != nil {
		t.Errorf("promtool test rules: %v\n%s", err, out)
	}
}

// TestAlertsAreTested: there is a test in which each alert fires, and a broken one is
// noticed. (That all of them are, whether they never fire or always, was tried once: it
// takes a minute.)
func TestAlertsAreTested(t *testing.T) {
	tests := ""
	for _, file := range []string{"testdata/alerts.yaml", "testdata/days.yaml"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tests += string(raw)
	}
	for _, g := range groups(t) {
		for _, r := range g.Rules {
			if !strings.Contains(tests, fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing"`, r.Alert)) {
				t.Errorf("%s fires in no test", r.Alert)
			}
		}
	}
	for _, broken := range []string{"vector(1) > 1", "vector(1)"} {
		rules := groups(t)
		rules[0].Rules[0].Expr = broken
		if out, err := check(t, rules, "test", "rules", "alerts.yaml", "days.yaml"); err == nil {
			t.Errorf("no test fails although %s is %q:\n%s", rules[0].Rules[0].Alert, broken, out)
		}
	}
}

// TestRunbooks: whoever is woken finds out what happened, what it means, and what to
// do, and the heading he is sent to.
func TestRunbooks(t *testing.T) {
	docs, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(docs), -1) {
		anchor := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		anchors["docs/operate.md#"+strings.ReplaceAll(anchor, " ", "-")] = true
	}
	for _, g := range groups(t) {
		for _, r := range g.Rules {
			for _, key := range []string{"summary", "description", "action", "runbook"} {
				if r.Annotations[key] == "" {
					t.Errorf("%s has no %s", r.Alert, key)
				}
			}
			if !anchors[r.Annotations["runbook"]] {
				t.Errorf("%s: there is no heading %s", r.Alert, r.Annotations["runbook"])
			}
			if s := r.Labels["severity"]; s != "critical" && s != "warning" && s != "info" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
			if !strings.Contains(string(docs), "| `"+r.Alert+"` |") {
				t.Errorf("docs/operate.md does not list %s", r.Alert)
			}
		}
	}
}

// dashboard is what is looked at of dashboard.json.
type dashboard struct {
	Panels []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ X, Y, W, H int }
		Targets                  []struct{ Expr string }
	}
	Templating struct {
		List []struct{ Name, Definition string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	raw, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDashboard: every panel asks something that Prometheus can parse, says what it
// is, and hides no other one.
func TestDashboard(t *testing.T) {
	ids, fields := map[int]bool{}, map[[2]int]string{}
	queries := group{Name: "dashboard"}
	for _, p := range readDashboard(t).Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := fields[at]; other != "" {
					t.Fatalf("%q lies on %q", p.Title, other)
				}
				fields[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q: no title, no description or no query", p.ID, p.Title)
		}
		for _, q := range p.Targets {
			// promtool checks rules, so each query becomes one.
			queries.Rules = append(queries.Rules, rule{
				Alert: fmt.Sprintf("Panel%d_%d", p.ID, len(queries.Rules)), Expr: strings.ReplaceAll(q.Expr, "$__rate_interval", "1m"),
			})
		}
	}
	if out, err := check(t, []group{queries}, "check", "rules", "rules.yaml"); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// TestMetricsExist: rules and dashboard name only what there is. The list is compared
// with the code where the code is.
func TestMetricsExist(t *testing.T) {
	list, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, name := range regexp.MustCompile(`(?m)^[a-z_]+$`).FindAllString(string(list), -1) {
		known[name] = true
	}
	used := map[string][]string{}
	for _, g := range groups(t) {
		for _, r := range g.Rules {
			for _, name := range metricsIn(r.Expr) {
				used[name] = append(used[name], r.Alert)
			}
		}
	}
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			for _, name := range metricsIn(q.Expr) {
				used[name] = append(used[name], p.Title)
			}
		}
	}
	for _, v := range d.Templating.List {
		if inner, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			metric := regexp.MustCompile(`^[a-z_]+`).FindString(inner)
			used[metric] = append(used[metric], "variable "+v.Name)
		}
	}
	if len(used) < 20 {
		t.Errorf("only %v are used: is the test blind?", slices.Sorted(maps.Keys(used)))
	}
	for name, where := range used {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, suffix)
		}
		if !known[name] && !known[base] {
			t.Errorf("%s, which %v names, is in no list of testdata/metrics.txt", name, where)
		}
	}
}

func TestMetricsIn(t *testing.T) {
	cases := map[string]struct {
		reason, expr string
		want         []string
	}{
		"Selector":   {"labels and their values are none", `sum by (le, x) (rate(a_b{c="d_e", f=~"g{2}"}[5m])) / h`, []string{"a_b", "h"}},
		"Operators":  {"nor are operators", `a unless on () max(b == bool 1) or vector(0) and on (job) group_left (x) c offset 5m`, []string{"a", "b", "c"}},
		"Arithmetic": {"nor numbers", `time() - a > 30 * 86400 + 1e3`, []string{"a"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := metricsIn(tc.expr); !slices.Equal(got, tc.want) {
				t.Errorf("%s: got %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}

// notNames are the parts of a query that are no names of metrics, in the order in
// which they are taken out. An operator leaves something behind: what stands before a
// bracket would be a function's name.
var notNames = []struct {
	is      *regexp.Regexp
	becomes string
}{
	{regexp.MustCompile(`"(\\.|[^"\\])*"`), ""},
	{regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]`), ""},
	{regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`), ""},
	{regexp.MustCompile(`\b[0-9][0-9a-z.]*\b`), ""},
	{regexp.MustCompile(`\b(and|or|unless|bool|offset)\b`), ";"},
	{regexp.MustCompile(`\b[a-z_]+\s*\(`), ""}, // A function.
}

// metricsIn are the names of metrics in a query, in its order.
func metricsIn(expr string) []string {
	for _, n := range notNames {
		expr = n.is.ReplaceAllString(expr, n.becomes)
	}
	return regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`).FindAllString(expr, -1)
}
