package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
	"github.com/crossfade-dev/crossfade/e2e/cluster/machine"
)

func load(ctx context.Context, v *invocation) error {
	number := v.instanceFlag()
	if err := v.parse(); err != nil {
		return err
	}
	if v.flags.NArg() == 0 {
		return errors.New("load needs image archives: load [-instance N] ARCHIVE [ARCHIVE]")
	}
	if err := machine.CheckRoot(); err != nil {
		return err
	}
	for _, archive := range v.flags.Args() {
		if _, err := os.Stat(archive); err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
	}
	e, err := machine.ThisRegistry().Get(*number)
	if err != nil {
		return err
	}
	if e == nil {
		return fmt.Errorf("instance %d is not up", *number)
	}
	if err := checkForeign(v.root, e.Instance); err != nil {
		return err
	}
	began := time.Now()
	if err := loadInto(ctx, e.Root, e.Instance, v.flags.Args()); err != nil {
		return err
	}
	v.printf("loaded %d image archive(s) into %d node(s) of instance %d in %.1f s",
		v.flags.NArg(), e.Nodes, e.Number, time.Since(began).Seconds())
	return nil
}

// loadInto loads archives into every node, the nodes at the same time.
func loadInto(ctx context.Context, root layout.Root, i layout.Instance, archives []string) error {
	running, err := machine.Nodes(root, i.Number)
	if err != nil {
		return err
	}
	if len(running) < i.Nodes {
		return fmt.Errorf("load images: %d of %d nodes are running: `up` repairs that", len(running), i.Nodes)
	}
	group, ctx := errgroup.WithContext(ctx)
	for k, pid := range running {
		group.Go(func() error {
			for _, archive := range archives {
				if err := loadOne(ctx, pid, archive); err != nil {
					return fmt.Errorf("load %s into %s: %w", archive, i.NodeName(k), err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// loadOne talks to the node's containerd through the node's own file system,
// which the kernel shows to root below /proc.
func loadOne(ctx context.Context, pid int, archive string) error {
	socket := filepath.Join("/proc", fmt.Sprint(pid), "root", layout.ContainerdSocket)
	c := exec.CommandContext(ctx, "ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", archive)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("run ctr: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
