package parts

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// goProgram is a program of one of the nested modules.
type goProgram struct {
	folder  string // below the cluster module
	target  string // package to build, the folder itself if empty
	out     string
	tags    []string
	ldflags []string
}

// recipe is everything but the sources that the program depends on.
func (g goProgram) recipe() string { return strings.Join(g.args("", ""), " ") }

// args are the same flags for all programs: other ones would compile all of
// Kubernetes a second time.
func (g goProgram) args(verb, out string) []string {
	target := g.target
	if target == "" {
		target = "."
	}
	args := []string{verb, "-trimpath", "-buildvcs=false", "-tags", strings.Join(g.tags, ",")}
	if verb != "list" {
		args = append(args, "-v", "-ldflags", strings.Join(append([]string{"-s", "-w"}, g.ldflags...), " "), "-o", out)
	} else {
		args = append(args, "-deps")
	}
	return append(args, target)
}

func (b *builder) command(ctx context.Context, g goProgram, args []string) *exec.Cmd {
	c := exec.CommandContext(ctx, "go", args...)
	c.Dir = b.root.Source(g.folder)
	// No workspace and no flags of the user's: see args.
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	return c
}

// compile builds a program. The reporter counts the packages, of which the Go
// cache may hold some already.
func (b *builder) compile(ctx context.Context, g goProgram) error {
	if err := os.MkdirAll(filepath.Dir(g.out), 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	b.reporter.say("downloading modules")
	list := b.command(ctx, g, g.args("list", ""))
	var packages bytes.Buffer
	list.Stdout = &packages
	if err := b.run(list); err != nil {
		return err
	}
	b.reporter.count("compiling packages, then linking", bytes.Count(packages.Bytes(), []byte("\n")))
	temporary := g.out + ".new"
	if err := b.run(b.command(ctx, g, g.args("build", temporary))); err != nil {
		return err
	}
	if err := os.Rename(temporary, g.out); err != nil {
		return fmt.Errorf("put program in place: %w", err)
	}
	return nil
}

// run runs a command, feeds its stderr to the reporter and puts the end of it
// into the error if there is one.
func (b *builder) run(c *exec.Cmd) error {
	c.Stderr = b.reporter
	if c.Stdout == nil {
		c.Stdout = b.reporter
	}
	if err := c.Run(); err != nil {
		return fmt.Errorf("run %s: %w\n%s", strings.Join(c.Args[:min(3, len(c.Args))], " "), err, b.reporter.tail())
	}
	return nil
}
