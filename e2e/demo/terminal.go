package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// terminal tells what happens, and types what a user would.
type terminal struct {
	root, instance, kubeconfig string
	begin                      time.Time

	mu  sync.Mutex
	out io.Writer
}

func newTerminal(out io.Writer, root, instance string) *terminal {
	return &terminal{
		root: root, instance: instance, out: out, begin: time.Now(),
		kubeconfig: filepath.Join(root, ".local", "instance"+instance, "kubeconfig"),
	}
}

func (t *terminal) line(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, format+"\n", args...)
}

// title begins a part.
func (t *terminal) title(text string) {
	t.line("\n%s\n%s", text, strings.Repeat("─", len([]rune(text))))
}

// tell says something, with the time since the start.
func (t *terminal) tell(format string, args ...any) {
	t.line("%5.1f s  %s", time.Since(t.begin).Seconds(), fmt.Sprintf(format, args...))
}

// environment is the one of a shell in which the printed commands work.
func (t *terminal) environment() []string {
	bin := filepath.Join(t.root, ".local", "bin")
	return append(os.Environ(), "KUBECONFIG="+t.kubeconfig, "INSTANCE="+t.instance, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func (t *terminal) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.Env = t.root, t.environment()
	// An interrupted script gets to clean up after itself.
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 10 * time.Second
	return c
}

// script runs one of the project's scripts and shows its lines.
func (t *terminal) script(ctx context.Context, name string) error {
	c := t.command(ctx, filepath.Join(t.root, name))
	r, w := io.Pipe()
	c.Stdout, c.Stderr = w, w
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		t.show(r, func(line string) bool { return !strings.HasPrefix(line, "Crossfade is installed. Next:") })
	}()
	err := c.Run()
	_ = w.Close()
	<-shown
	if err != nil {
		return fmt.Errorf("run %s: %w", name, err)
	}
	return nil
}

// show prints lines as they come, as long as they are wanted.
func (t *terminal) show(r io.Reader, wanted func(string) bool) {
	lines, on := bufio.NewScanner(r), true
	for lines.Scan() {
		if on = on && wanted(lines.Text()); on {
			t.line("%s", lines.Text())
		}
	}
	_, _ = io.Copy(io.Discard, r)
}

// kubectl types a command line, runs it and shows what it says.
func (t *terminal) kubectl(ctx context.Context, args ...string) error {
	t.line("\n$ kubectl %s", strings.Join(args, " "))
	out, err := t.quietly(ctx, args...)
	if text := strings.TrimRight(out, "\n"); text != "" {
		t.line("%s", text)
	}
	return err
}

// quietly runs kubectl and returns what it printed.
func (t *terminal) quietly(ctx context.Context, args ...string) (string, error) {
	c := t.command(ctx, "kubectl", args...)
	c.Path = filepath.Join(t.root, ".local", "bin", "kubectl")
	c.Err = nil
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}

// watch types a command line that prints a line for each change, and shows the lines that differ, until the
// returned function is called. The last column but one is the age, which always differs.
func (t *terminal) watch(ctx context.Context, args ...string) (func(), error) {
	t.line("\n$ kubectl %s", strings.Join(args, " "))
	ctx, cancel := context.WithCancel(ctx)
	c := t.command(ctx, "kubectl", args...)
	c.Path = filepath.Join(t.root, ".local", "bin", "kubectl")
	c.Err = nil
	r, w := io.Pipe()
	c.Stdout, c.Stderr = w, w
	if err := c.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start kubectl: %w", err)
	}
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		before := ""
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			if now := withoutAge(lines.Text()); now != before {
				before = now
				t.line("%s", lines.Text())
			}
		}
	}()
	return func() {
		cancel()
		_ = c.Wait() // it was told to stop
		_ = w.Close()
		<-shown
	}, nil
}

// withoutAge takes the column AGE out of a line, so that two lines that differ only in it are equal.
func withoutAge(line string) string {
	var kept []string
	for _, column := range strings.Fields(line) {
		if d, err := time.ParseDuration(strings.Replace(column, "d", "h", 1)); err == nil && d >= 0 && column != "0" {
			continue
		}
		kept = append(kept, column)
	}
	return strings.Join(kept, " ")
}
