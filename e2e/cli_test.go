//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

// plugin prepares `kubectl crossfade` in the scene's namespace.
func (s *scene) plugin(args ...string) (*exec.Cmd, *bytes.Buffer) {
	c := exec.CommandContext(s.ctx, filepath.Join(root, ".local", "bin", "kubectl-crossfade"), append([]string{"-n", s.Namespace}, args...)...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	return c, &out
}

// cli types a command line that must end with an exit code and print some words.
func (s *scene) cli(code int, words string, args ...string) string {
	s.Helper()
	c, out := s.plugin(args...)
	return s.ended(c.Run(), out, code, words, args)
}

func (s *scene) ended(err error, out *bytes.Buffer, code int, words string, args []string) string {
	s.Helper()
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		s.Fatal(err)
	}
	line := "kubectl crossfade " + strings.Join(args, " ")
	if got != code || !strings.Contains(out.String(), words) {
		s.Fatalf("%s: exit code %d, want %d and %q:\n%s", line, got, code, words, out)
	}
	s.Logf("%s [%d]\n%s", line, got, out)
	return out.String()
}

// cliBeside starts a command line and, when it has printed some words, returns what waits for its end.
func (s *scene) cliBeside(words string, args ...string) func(code int, words string) string {
	s.Helper()
	c, out := s.speaking(words, args...)
	return func(code int, words string) string {
		s.Helper()
		return s.ended(c.Wait(), &out.text, code, words, args)
	}
}

// speaking starts a command line and waits until it has printed some words.
func (s *scene) speaking(words string, args ...string) (*exec.Cmd, *reader) {
	s.Helper()
	c, _ := s.plugin(args...)
	out := &reader{words: words, read: make(chan struct{})}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		s.Fatal(err)
	}
	select {
	case <-out.read:
	case <-time.After(patience):
		s.Errorf("kubectl crossfade %s has not printed %q within %s", strings.Join(args, " "), words, patience)
		_ = c.Process.Signal(syscall.SIGINT)
	}
	return c, out
}

// pluginVerbs types every verb that steers and shows, during a promotion, an undo that
// is taken back, and a rollback; requests are counted all the time.
func pluginVerbs(t *testing.T) {
	s := begin(t, setup{Check: true, Steps: []step{{20, "endless"}, {60, "2s"}}})
	f := s.load()
	stable := s.rollout.Last().Object.Status.Stable.Revision
	s.cli(0, name, "get")
	s.cli(0, stable, "get", name, "-o", "yaml")
	s.cli(0, "controller", "version")
	s.cli(1, "no revision", "promote", name)
	never := s.cliBeside("does not have image", "wait", name, "--image", "crossfade.local/shop:v9", "--timeout", "20s")

	canary := s.change("v2")
	waiting := s.cliBeside("\n", "wait", name, "--image", "crossfade.local/shop:v2", "--wait-for-approval", "--timeout", "3m")
	s.cli(4, "a person is needed", "wait", name, "--timeout", "2m")
	s.cli(0, "canary "+canary, "get", name)
	s.cli(0, "Acked", "proxies", name)
	s.agree("gateway", 2)
	s.interrupted("step 1/2", "watch", name)
	s.cli(0, "applied", "pause", name, "--reason", "looking closer")
	s.cli(0, "applied", "resume", name)
	s.cli(1, "refused", "promote", name, "--revision", stable)
	s.cli(0, "applied", "promote", name, "--reason", "looks good")
	waiting(0, "Promoted: revision "+canary)
	s.promoted(canary)
	s.cli(0, "Promoted", "history", name)
	never(3, "does not have image")

	back := s.changed(func() { s.cli(0, "delivered step by step", "undo", name) })
	superseded := s.cliBeside("\n", "wait", name, "--revision", back, "--wait-for-approval", "--timeout", "2m")
	s.await("holds", func(r live.Rollout) bool { return r.Status.Phase == "Paused" && r.Status.Canary.Revision == back })
	s.cli(0, "stable serves everybody again", "undo", name)
	superseded(5, "superseded")
	s.await("is Healthy again", func(r live.Rollout) bool { return r.Healthy() && r.Status.Stable.Revision == canary })

	again := s.changed(func() { s.cli(0, "restart written", "restart", name) })
	s.await("holds", func(r live.Rollout) bool { return r.Status.Phase == "Paused" && r.Status.Canary.Revision == again })
	s.cli(0, "applied", "abort", name, "--reason", "enough seen")
	report := filepath.Join(t.TempDir(), "report.xml")
	s.cli(2, "was rolled back", "wait", name, "--timeout", "2m", "--junit", report)
	if raw, err := os.ReadFile(report); err != nil || !strings.Contains(string(raw), "<failure") {
		t.Errorf("the JUnit report: %v: %s", err, raw)
	}
	s.rolledBack("enough seen")
	s.cli(1, "was rolled back", "restart", name)
	s.cli(0, "applied", "retry", name)
	s.await("holds once more", func(r live.Rollout) bool { return r.Status.Phase == "Paused" })
	s.cli(0, "stable serves everybody again", "undo", name)
	s.cli(0, "Promoted: revision "+canary, "wait", name, "--timeout", "2m")
	counts := f.judge(map[string]string{canary: "v2"})
	if counts.Versions["v2"] == 0 {
		t.Error("the canary never answered: nothing was tested")
	}
}

// agree waits until all Envoys, so many of a kind at least, say themselves that they have what the controller counts as
// confirmed. Namespaces share the gateway's routes, and every sidecar knows every Service: others may change beside this.
func (s *scene) agree(kind string, least int) {
	s.Helper()
	s.until(fmt.Sprintf("each %s agrees", kind), func() (string, bool) {
		c, out := s.plugin("proxies", name, "--verify")
		err := c.Run()
		n := 0
		for line := range strings.Lines(out.String()) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[1] == kind && strings.Contains(line, "agrees: ") {
				n++
			}
		}
		return out.String(), err == nil && n >= least
	})
}

// interrupted types a verb that goes on until Ctrl-C, and that ends it well; the Ctrl-C comes when some words are read.
func (s *scene) interrupted(words string, args ...string) {
	s.Helper()
	c, out := s.speaking(words, args...)
	_ = c.Process.Signal(syscall.SIGINT)
	s.ended(c.Wait(), &out.text, 0, words, args)
}

// reader keeps what a command prints, and says when some words are among it.
type reader struct {
	words string
	read  chan struct{}
	text  bytes.Buffer
	found bool
}

func (r *reader) Write(p []byte) (int, error) {
	n, err := r.text.Write(p)
	if !r.found && strings.Contains(r.text.String(), r.words) {
		r.found = true
		close(r.read)
	}
	return n, err
}

// pluginRollback waits as a pipeline does for a version that answers with errors.
func pluginRollback(t *testing.T) {
	s := begin(t, setup{Check: true, Steps: []step{{30, "4s"}, {60, "4s"}}, Replicas: 2})
	f := s.load()
	canary := s.change("v3")
	out := s.cli(2, "check errors", "wait", name, "--timeout", "2m")
	if !strings.Contains(out, "query: ") || !strings.Contains(out, `revision="`+canary+`"`) {
		t.Errorf("the outcome has to have the query of the failed check:\n%s", out)
	}
	s.cli(0, "failed "+canary, "get", name)
	s.cli(2, "was rolled back", "wait", name, "--image", "crossfade.local/shop:v3", "--timeout", "2m")
	if counts := f.judge(map[string]string{canary: "v3"}); counts.Own["v3"] == 0 {
		t.Errorf("v3 never answered with an error: nothing was tested: %v", counts)
	}
	// The next one skips a step that would be held for ever.
	f = s.load()
	s.pause("{}")
	canary = s.change("v2")
	s.atWeight(canary, 30)
	s.cli(0, "applied", "promote", name, "--full", "--reason", "fixes INC-7")
	s.cli(0, "Promoted: revision "+canary, "wait", name, "--timeout", "3m")
	s.promoted(canary)
	if w := s.weights(canary); slices.Contains(w, 60) {
		t.Errorf("promoted in full, the rest of the steps are skipped: %v", w)
	}
	f.judge(map[string]string{canary: "v2"})
}
