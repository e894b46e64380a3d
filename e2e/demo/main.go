// Command demo shows Crossfade at work on a local cluster: a good version that is promoted by itself and a bad one
// that is rolled back by itself, under a load that counts every request. `make demo` starts it. It exits with 1 if
// anything was not as it should be.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// longest bounds the whole demonstration; a cold one builds Kubernetes first.
const longest = 40 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if err := demonstrate(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "\nThe demonstration failed: %v\n", err)
		os.Exit(1)
	}
}

func demonstrate(ctx context.Context) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, ".ci", "install")); err != nil {
		return fmt.Errorf("start it with `make demo` in the checkout: %w", err)
	}
	instance := os.Getenv("INSTANCE")
	if instance == "" {
		instance = "0"
	}
	t := newTerminal(os.Stdout, root, instance)
	if err := prepare(ctx, t); err != nil {
		return err
	}
	p := &play{terminal: t}
	defer p.end()
	if err := p.perform(ctx); err != nil {
		return err
	}
	return p.judge()
}

// prepare brings up the cluster with the product and the sample service's images in it.
func prepare(ctx context.Context, t *terminal) error {
	t.title("A local cluster, and Crossfade in it")
	if err := t.script(ctx, ".ci/install"); err != nil {
		return err
	}
	t.tell("Images of the sample service: v1, v2, and v3, which has a bug.")
	return t.script(ctx, ".ci/shop")
}
