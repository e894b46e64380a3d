package main

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
	"github.com/crossfade-dev/crossfade/e2e/cluster/machine"
	"github.com/crossfade-dev/crossfade/e2e/cluster/parts"
)

// buildDisk is what compiling Kubernetes takes at most: module and build cache,
// temporary files, programs.
const buildDisk = 10 * machine.GiB

func build(ctx context.Context, v *invocation) error {
	if err := v.parse(); err != nil {
		return err
	}
	if err := v.ensure(ctx, v.flags.Args()); err != nil {
		return err
	}
	v.printf("built; the programs are in %s", v.root.Bin())
	return nil
}

// ensure builds those of the named parts (all if there are none) that are
// missing or made from other sources.
func (v *invocation) ensure(ctx context.Context, names []string) error {
	chosen, err := parts.Choose(parts.All(v.root), names)
	if err != nil {
		return err
	}
	if missing, err := parts.Missing(ctx, v.root, chosen); err != nil || len(missing) == 0 {
		return err
	}
	unlock, err := machine.Lock(ctx, filepath.Join(v.root.Local(), "build.lock"), func() {
		v.printf("another build of this checkout is on its way: waiting for it")
	})
	if err != nil {
		return err
	}
	defer unlock()
	// Again: the other build may have made them.
	missing, err := parts.Missing(ctx, v.root, chosen)
	if err != nil || len(missing) == 0 {
		return err
	}
	if err := checkBuild(ctx, v.root); err != nil {
		return err
	}
	missingNames := make([]string, len(missing))
	for i, p := range missing {
		missingNames[i] = p.Name
	}
	v.printf("to build: %s", strings.Join(missingNames, ", "))
	return parts.Build(ctx, v.root, missing, v.out)
}

func checkBuild(ctx context.Context, root layout.Root) error {
	if err := machine.CheckArchitecture(); err != nil {
		return err
	}
	folders, err := parts.Folders(ctx)
	if err != nil {
		return err
	}
	for _, folder := range append(folders, root.Local()) {
		if err := machine.CheckDisk(folder, buildDisk); err != nil {
			return err
		}
	}
	return nil
}
