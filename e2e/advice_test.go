//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAdvice is what the plugin says before anything happens: analyze finds a planted mistake and not its near miss,
// plan tells the delivery with the requests of today and what the API server would refuse, check measures.
func TestAdvice(t *testing.T) {
	t.Parallel()
	t.Run("advice", func(t *testing.T) {
		t.Parallel()
		adviceBefore(t)
	})
}

// said is what a command line of the plugin has printed on its standard output, and its exit code.
type said struct {
	out  string
	code int
}

// reviewed runs the plugin in the scene's namespace.
func (s *scene) reviewed(stdin string, args ...string) said {
	s.Helper()
	c := exec.CommandContext(s.ctx, filepath.Join(root, ".local", "bin", "kubectl-crossfade"), append([]string{"-n", s.Namespace}, args...)...)
	c.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	err := c.Run()
	exit := (*exec.ExitError)(nil)
	if err != nil && !errors.As(err, &exit) {
		s.Fatal(err)
	}
	s.Logf("kubectl crossfade %s [%d]\n%s%s", strings.Join(args, " "), c.ProcessState.ExitCode(), &out, &errOut)
	return said{out.String(), c.ProcessState.ExitCode()}
}

// reads decodes what the plugin has printed.
func (s *scene) reads(got said, into any) {
	s.Helper()
	if err := json.Unmarshal([]byte(got.out), into); err != nil {
		s.Fatalf("read what the plugin printed: %v", err)
	}
}

func adviceBefore(t *testing.T) {
	s := begin(t, setup{Checks: []string{succeeds, inTime}, Steps: []step{{20, "4s"}, {50, "3s"}}})
	s.must(`
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: planted}
spec: {minAvailable: 3, selector: {matchLabels: {app: `+name+`}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: near}
spec: {minAvailable: 75%, selector: {matchLabels: {app: `+name+`}}}
`, "apply", "-f", "-")
	f := s.load()
	s.finds()
	s.plans()
	s.refuses()
	s.measures()
	canary := s.change("v2")
	s.promoted(canary)
	if counts := f.judge(map[string]string{canary: "v2"}); len(counts.Own) > 0 {
		t.Errorf("no version has a bug, but: %v", counts)
	}
}

func (s *scene) finds() {
	s.Helper()
	var got struct {
		Findings []struct {
			Code   string
			Object struct{ Namespace, Name string }
		}
	}
	s.reads(s.reviewed("", "analyze", "-A", "-o", "json"), &got)
	planted, near := false, false
	for _, f := range got.Findings {
		planted = planted || f.Code == "XF0601" && f.Object.Namespace == s.Namespace && f.Object.Name == "planted"
		near = near || f.Code == "XF0601" && f.Object.Name == "near"
	}
	if !planted || near {
		s.Errorf("found the planted mistake: %v, its near miss: %v", planted, near)
	}
	if r := s.reviewed("", "analyze", "--fail-on", "warning"); r.code != 2 {
		s.Errorf("--fail-on warning ends with %d, though there is a warning", r.code)
	}
}

func (s *scene) plans() {
	s.Helper()
	var got struct {
		PodsNow, PodsAtPeak int
		RequestsPerSecond   float64
		Steps               []struct{ RequestsExposed int }
		Checks              []struct{ Check, Verdict string }
		Refused             []string
	}
	s.until("the plan knows of requests", func() (string, bool) {
		r := s.reviewed("", "plan", name, "-o", "json")
		s.reads(r, &got)
		return r.out, len(got.Steps) > 0 && got.Steps[0].RequestsExposed > 0
	})
	if got.PodsNow != s.Replicas || got.PodsAtPeak != 2*s.Replicas || len(got.Steps) != 3 || got.Steps[0].RequestsExposed == 0 || len(got.Refused) > 0 {
		s.Errorf("a plan of two steps over %d pods with requests: %+v", s.Replicas, got)
	}
	if r := s.reviewed("", "plan", name); r.code != 0 || !strings.Contains(r.out, "Pods at peak: 8 (now 4)") {
		s.Errorf("the plan in words: exit code %d", r.code)
	}
}

// refuses: the API server's own sentence about a file is in the plan, and nothing is written.
func (s *scene) refuses() {
	s.Helper()
	r := s.reviewed(`
apiVersion: crossfade.dev/v1alpha1
kind: Rollout
metadata: {name: `+name+`}
spec:
  workloadRef: {name: `+name+`}
  serviceRef: {name: `+name+`}
  strategy: {canary: {steps: [{weight: 50}, {weight: 20}]}}
`, "plan", "-f", "-")
	if r.code != 2 || !strings.Contains(r.out, "must not descend") {
		s.Errorf("descending weights: exit code %d, want 2 and the API server's sentence", r.code)
	}
}

func (s *scene) measures() {
	s.Helper()
	var got struct {
		Revision string
		Checks   []struct{ Check, Verdict, Value string }
	}
	stable := s.rollout.Last().Object.Status.Stable.Revision
	// Of the last five seconds there may be nothing yet.
	s.until("stable fails no request", func() (string, bool) {
		r := s.reviewed("", "check", name, "--revision", stable, "-o", "json")
		s.reads(r, &got)
		return r.out, got.Revision == stable && len(got.Checks) == 2 && got.Checks[0].Verdict == "Passing" && got.Checks[0].Value == "100"
	})
	if r := s.reviewed("", "check", name, "--check", "errors"); !strings.Contains(r.out, stable) || !strings.Contains(r.out, "at least 95%") {
		s.Errorf("the check in words: exit code %d", r.code)
	}
}
