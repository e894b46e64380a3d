package main

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestComplete presses Tab.
func TestComplete(t *testing.T) {
	isolate(t)
	tests := map[string]struct {
		reason string
		args   []string
		want   []string
	}{
		"names":       {reason: "Names of Rollouts, of the namespace that was given.", args: []string{"get", "-n", "shop", ""}, want: []string{"payments"}},
		"prefix":      {reason: "Only those that begin so.", args: []string{"wait", "-n", "shop", "x"}},
		"one name":    {reason: "A verb takes one.", args: []string{"promote", "-n", "shop", "payments", ""}},
		"elsewhere":   {reason: "Nothing of other namespaces.", args: []string{"undo", ""}},
		"formats":     {reason: "What -o takes.", args: []string{"get", "-o", ""}, want: []string{"json", "name", "wide", "yaml"}},
		"verbs":       {reason: "Verbs.", args: []string{"prom"}, want: []string{"promote"}},
		"the shells":  {reason: "What completion takes.", args: []string{"completion", ""}, want: []string{"bash", "fish", "kubectl", "zsh"}},
		"the outcome": {reason: "What is waited for.", args: []string{"wait", "--for", ""}, want: []string{"promoted"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, "stepping.yaml")
			// The last word is the one that is completed, so flags stand before it.
			args := append([]string{"__complete", "--server", c.server.URL}, tt.args...)
			out, errOut, code := runWith(t.Context(), time.Now, args...)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, errOut)
			}
			got := map[string]bool{}
			for line := range strings.Lines(out) {
				word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
				if !strings.HasPrefix(word, ":") && word != "" {
					got[word] = true
				}
			}
			if len(got) != len(tt.want) {
				t.Errorf("%s got %v, want %v", tt.reason, got, tt.want)
			}
			for _, word := range tt.want {
				if !got[word] {
					t.Errorf("%s %q is not in %v", tt.reason, word, got)
				}
			}
		})
	}
}

// TestCompletionScripts: a shell can read what is printed for it, where there is one.
func TestCompletionScripts(t *testing.T) {
	isolate(t)
	for shell, interpreter := range map[string]string{"bash": "bash", "zsh": "zsh", "fish": "fish", "kubectl": "sh"} {
		out, errOut, code := runWith(t.Context(), time.Now, "completion", shell)
		if code != 0 || !strings.Contains(out, "__complete") {
			t.Errorf("completion %s: exit code %d: %s", shell, code, errOut)
		}
		if _, err := exec.LookPath(interpreter); err != nil {
			continue
		}
		check := exec.CommandContext(t.Context(), interpreter, "-n")
		check.Stdin = strings.NewReader(out)
		if text, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s cannot read it: %v: %s", interpreter, err, text)
		}
	}
	if _, _, code := runWith(t.Context(), time.Now, "completion", "tcsh"); code != 1 {
		t.Errorf("exit code %d for a shell that there is no script for", code)
	}
}

// TestWatchPrintsLines: without a terminal each change is a line, and an interrupt is
// no failure.
func TestWatchPrintsLines(t *testing.T) {
	isolate(t)
	c := newCluster(t, "stepping.yaml")
	ctx, interrupt := context.WithTimeout(t.Context(), 5*time.Second)
	defer interrupt()
	time.AfterFunc(300*time.Millisecond, func() { c.becomes("promoted.yaml") })
	time.AfterFunc(1500*time.Millisecond, interrupt)
	out, errOut, code := c.runAt(ctx, func() time.Time { return noon }, "watch", "payments", "-n", "shop")
	if code != 0 || errOut != "" {
		t.Errorf("exit code %d: %s", code, errOut)
	}
	golden(t, "watch-lines.golden", out)
}

// TestVersion: what cannot be asked is said, and what could is printed all the same.
func TestVersion(t *testing.T) {
	isolate(t)
	out, _, code := runWith(t.Context(), time.Now, "version", "--client")
	if code != 0 || out != "client      v0.5.0\n" {
		t.Errorf("exit code %d: %q", code, out)
	}
	out, errOut, code := runWith(t.Context(), time.Now, "version", "--server", "http://127.0.0.1:1")
	if code != 1 || !strings.Contains(out, "v0.5.0") || !strings.Contains(errOut, "cannot be reached") {
		t.Errorf("exit code %d: %q %q", code, out, errOut)
	}
	c := newCluster(t, "controller.yaml")
	out, errOut, code = c.run("version")
	if code != 0 {
		t.Errorf("exit code %d: %s", code, errOut)
	}
	golden(t, "version.golden", out)
}
