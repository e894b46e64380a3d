// Package ci tests the pieces for pipelines beside it: that they are read, and that their
// scripts do for each exit code what they say.
package ci

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"sigs.k8s.io/yaml"
)

// read returns the first document of a file.
func read(t *testing.T, file string) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	object := map[string]any{}
	if err := yaml.UnmarshalStrict(raw, &object); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return object
}

func at(t *testing.T, object any, path ...any) any {
	t.Helper()
	for _, key := range path {
		switch k := key.(type) {
		case string:
			m, _ := object.(map[string]any)
			object = m[k]
		case int:
			l, _ := object.([]any)
			if k >= len(l) {
				t.Fatalf("there is nothing at %v", path)
			}
			object = l[k]
		}
	}
	return object
}

// TestFilesAreYAML reads all documents of all files.
func TestFilesAreYAML(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(raw), "\n---\n") {
			if err := yaml.UnmarshalStrict([]byte(document), &map[string]any{}); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// stub puts programs into PATH in whose place the script would find kubectl: one that
// ends with a code and prints an outcome as `wait -o json` does.
func stub(t *testing.T, code int) []string {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
echo "kubectl $*" >> %q
case "$*" in
*"crossfade wait"*"-o json"*) printf '{\n  "outcome": "RolledBack",\n  "message": "check errors failed: \\"0.3\\" is above 0.01",\n  "changes": [\n    {\n      "text": "x"\n    }\n  ]\n}\n' ;;
esac
case "$*" in *"crossfade wait"*) exit %d ;; esac
`, filepath.Join(dir, "calls"), code)
	if err := os.WriteFile(filepath.Join(dir, "kubectl"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{
		"PATH=" + dir + ":" + os.Getenv("PATH"), "RUNNER_TEMP=" + dir, "GITHUB_ENV=" + filepath.Join(dir, "env"), "NAMESPACE=shop", "ROLLOUT=payments",
		"WORKLOAD=payments", "CONTAINER=payments", "IMAGE=registry.example/payments:v2; rm -rf /", "WAIT=1m", "ACCEPT=0 5", "REPORTS=" + dir,
		"OUTCOME=" + filepath.Join(dir, "outcome"), "CODE=" + filepath.Join(dir, "code"), "MESSAGE=" + filepath.Join(dir, "message"), "KUBECONFIG_DATA=x", "DIR=" + dir,
	}
}

// run runs a script as the provider does, and returns its code.
func run(t *testing.T, script string, env []string) (int, string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "bash", "-e", "-o", "pipefail", "-c", script)
	c.Env, c.Dir = env, strings.TrimPrefix(env[len(env)-1], "DIR=")
	out, err := c.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), string(out)
	} else if err != nil {
		t.Fatal(err)
	}
	return 0, string(out)
}

// TestScripts runs the pieces' scripts for each exit code of wait.
func TestScripts(t *testing.T) {
	steps, _ := at(t, read(t, "github-actions.yaml"), "jobs", "deliver", "steps").([]any)
	wait, _ := at(t, steps, 1, "run").(string)
	set, _ := at(t, steps, 0, "run").(string)
	tekton, _ := at(t, read(t, "tekton-task.yaml"), "spec", "steps", 0, "script").(string)
	tests := map[string]struct {
		reason string
		script string
		// want are the codes for those of wait from 0 to 6.
		want [7]int
	}{
		"github": {reason: "A superseded run is no failure.", script: wait, want: [7]int{0, 1, 2, 3, 1, 0, 6}},
		"tekton": {reason: "What the parameter accepts is none.", script: tekton, want: [7]int{0, 1, 2, 3, 4, 0, 6}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for code, want := range tt.want {
				if got, out := run(t, tt.script, stub(t, code)); got != want {
					t.Errorf("%s wait ends with %d: the script with %d, want %d:\n%s", tt.reason, code, got, want, out)
				}
			}
		})
	}
	t.Run("github sets the image", func(t *testing.T) {
		env := stub(t, 0)
		if code, out := run(t, set, env); code != 0 {
			t.Fatalf("code %d: %s", code, out)
		}
		calls, _ := os.ReadFile(filepath.Join(strings.TrimPrefix(env[len(env)-1], "DIR="), "calls"))
		if !strings.Contains(string(calls), "payments=registry.example/payments:v2; rm -rf /") {
			t.Errorf("an image's name is one word: %s", calls)
		}
	})
	t.Run("tekton's results", func(t *testing.T) {
		env := stub(t, 2)
		run(t, tekton, env)
		dir := strings.TrimPrefix(env[len(env)-1], "DIR=")
		for file, want := range map[string]string{"outcome": "RolledBack", "code": "2", "message": `check errors failed: \"0.3\" is above 0.01`} {
			got, _ := os.ReadFile(filepath.Join(dir, file))
			if strings.TrimSpace(string(got)) != want {
				t.Errorf("result %s is %q, want %q", file, got, want)
			}
		}
	})
}

// TestGitLab joins the job's lines as the runner does.
func TestGitLab(t *testing.T) {
	job := at(t, read(t, "gitlab-ci.yaml"), ".crossfade-deliver")
	lines, _ := at(t, job, "script").([]any)
	var script bytes.Buffer
	for _, line := range lines {
		fmt.Fprintln(&script, line)
	}
	for code := range 7 {
		if got, out := run(t, script.String(), stub(t, code)); got != code {
			t.Errorf("wait ends with %d: the job with %d:\n%s", code, got, out)
		}
	}
	if allowed := fmt.Sprint(at(t, job, "allow_failure", "exit_codes")); allowed != "[4 5]" {
		t.Errorf("a person and a newer revision are warnings, got %s", allowed)
	}
}

// TestArgoHealth runs the health check in the interpreter that Argo CD has.
func TestArgoHealth(t *testing.T) {
	script, _ := at(t, read(t, "argocd-health.yaml"), "data", "resource.customizations.health.crossfade.dev_Rollout").(string)
	condition := func(kind, status string) string { return fmt.Sprintf(`{type = %q, status = %q}`, kind, status) }
	tests := map[string]struct{ reason, object, want string }{
		"no status":  {"No controller has looked at it.", `{metadata = {generation = 1}}`, "Progressing"},
		"old status": {"The status is of an older spec.", `{metadata = {generation = 2}, status = {observedGeneration = 1, phase = "Healthy", conditions = {` + condition("Ready", "True") + `}}}`, "Progressing"},
		"healthy":    {"Nothing is on its way.", `{metadata = {generation = 1}, status = {observedGeneration = 1, phase = "Healthy", conditions = {` + condition("Ready", "True") + `}}}`, "Healthy"},
		"warm":       {"It is promoted, the former pods go.", `{metadata = {generation = 1}, status = {observedGeneration = 1, phase = "Promoting", conditions = {` + condition("Promoted", "True") + `}}}`, "Healthy"},
		"stepping":   {"On its way.", `{metadata = {generation = 1}, status = {observedGeneration = 1, phase = "Progressing", conditions = {` + condition("Reconciling", "True") + `}}}`, "Progressing"},
		"paused":     {"Waits for a person.", `{metadata = {generation = 1}, status = {observedGeneration = 1, phase = "Paused", conditions = {` + condition("Stalled", "False") + `}}}`, "Suspended"},
		"no verdict": {"Paused, and cannot go on by itself.", `{metadata = {generation = 1}, status = {observedGeneration = 1, phase = "Paused", conditions = {` + condition("Stalled", "True") + `}}}`, "Degraded"},
		"failed":     {"Rolled back.", `{metadata = {generation = 1}, status = {observedGeneration = 1, phase = "RolledBack", message = "check errors failed", conditions = {` + condition("Stalled", "True") + `}}}`, "Degraded"},
		"bare":       {"A phase without conditions.", `{metadata = {}, status = {phase = "Progressing"}}`, "Progressing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := lua.NewState(lua.Options{SkipOpenLibs: true})
			defer l.Close()
			// Only what Argo CD opens for a health check.
			for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
				l.Push(l.NewFunction(open))
				l.Push(lua.LString(name))
				l.Call(1, 0)
			}
			if err := l.DoString("obj = " + tt.object); err != nil {
				t.Fatal(err)
			}
			if err := l.DoString(script); err != nil {
				t.Fatal(err)
			}
			health, ok := l.Get(-1).(*lua.LTable)
			if !ok {
				t.Fatalf("it returns %s", l.Get(-1).Type())
			}
			if got := health.RawGetString("status").String(); got != tt.want {
				t.Errorf("%s It is %s, want %s", tt.reason, got, tt.want)
			}
			if health.RawGetString("message").String() == "" {
				t.Error("it says nothing")
			}
		})
	}
}
