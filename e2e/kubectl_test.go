//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"
)

// try runs kubectl in the scene's namespace and returns what it printed on both outputs.
func (s *scene) try(args ...string) (string, error) {
	return s.feed("", args...)
}

func (s *scene) feed(stdin string, args ...string) (string, error) {
	if !slices.Contains(args, "-n") {
		args = append([]string{"-n", s.Namespace}, args...)
	}
	c := exec.CommandContext(s.ctx, filepath.Join(root, ".local", "bin", "kubectl"), args...)
	c.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}

// kubectl runs what must succeed.
func (s *scene) kubectl(args ...string) string {
	s.Helper()
	return s.must("", args...)
}

// must runs kubectl with something to read, which must succeed.
func (s *scene) must(stdin string, args ...string) string {
	s.Helper()
	out, err := s.feed(stdin, args...)
	if err != nil {
		s.Fatal(err)
	}
	return out
}

// render returns one of the manifests of testdata.
func (s *scene) render(file string) string {
	s.Helper()
	return s.manifest(file, s.setup)
}

// manifest returns one of them with data put in.
func (s *scene) manifest(file string, data any) string {
	s.Helper()
	t, err := template.ParseFS(manifests, "testdata/"+file)
	if err != nil {
		s.Fatal(err)
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, file, data); err != nil {
		s.Fatal(err)
	}
	return out.String()
}

// apply applies one of them, as a user does.
func (s *scene) apply(file string) string {
	s.Helper()
	return s.must(s.render(file), "apply", "-f", "-")
}

// until asks until an answer is as it should be; for what has no watch.
func (s *scene) until(what string, is func() (string, bool)) {
	s.Helper()
	ctx, cancel := context.WithTimeoutCause(s.ctx, patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	for {
		now, done := is()
		if done {
			return
		}
		select {
		case <-ctx.Done():
			s.Fatalf("wait until %s: %v; now: %s", what, context.Cause(ctx), now)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
