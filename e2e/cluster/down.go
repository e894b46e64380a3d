package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
	"github.com/crossfade-dev/crossfade/e2e/cluster/machine"
)

// downDeadline is for one instance. The kernel needs a second or two for many
// pods on a busy machine.
const downDeadline = time.Minute

func down(ctx context.Context, v *invocation) error {
	number, all := v.instanceFlag(), v.flags.Bool("all", false, "all instances of this checkout")
	if err := v.parseWithoutArguments(); err != nil {
		return err
	}
	if err := machine.CheckRoot(); err != nil {
		return err
	}
	if !*all {
		return v.downOne(ctx, *number)
	}
	if v.given("instance") {
		return errors.New("-instance and -all: give one of them")
	}
	var failures []error
	for n := range layout.MaxInstance + 1 {
		e, err := machine.ThisRegistry().Get(n)
		if err == nil && e != nil && e.Root != v.root {
			v.printf("instance %d is from %s: left alone", n, e.Root)
			continue
		}
		failures = append(failures, err, v.downOne(ctx, n))
	}
	return errors.Join(failures...)
}

func (v *invocation) downOne(ctx context.Context, number int) error {
	// The number of nodes does not matter: all are found.
	instance := layout.Instance{Number: number, Nodes: 1}
	if err := instance.Validate(); err != nil {
		return err
	}
	e, err := machine.ThisRegistry().Get(number)
	if err != nil {
		return err
	}
	if e == nil && !leftover(v.root, instance) {
		return nil // Silent: -all asks for every number.
	}
	unlock, err := machine.ThisRegistry().LockInstance(ctx, number, func() {
		v.printf("instance %d is being started or stopped by another command: waiting for it", number)
	})
	if err != nil {
		return err
	}
	defer unlock()
	if err := checkForeign(v.root, instance); err != nil {
		return err
	}
	if e, err = machine.ThisRegistry().Get(number); err != nil {
		return err
	}
	if e == nil {
		e = &machine.Entry{Root: v.root, Instance: instance}
	}
	ctx, cancel := context.WithTimeout(ctx, downDeadline)
	defer cancel()
	began := time.Now()
	if err := remove(ctx, *e); err != nil {
		return fmt.Errorf("take instance %d down: %w", number, err)
	}
	v.printf("instance %d is down (%.1f s)", number, time.Since(began).Seconds())
	return nil
}

// leftover says whether files are left of an instance that the registry does
// not know: the machine was switched off while it was up.
func leftover(root layout.Root, i layout.Instance) bool {
	_, err := os.Stat(string(root.State(i)))
	return err == nil
}

// remove ends an instance, in whatever state it is, and removes all of it. The
// registry's entry goes last, so that a removal that was interrupted is taken
// up again.
func remove(ctx context.Context, e machine.Entry) error {
	if err := machine.KillNodes(ctx, e.Root, e.Number); err != nil {
		return err
	}
	if err := machine.Disconnect(ctx, e.Instance); err != nil {
		return err
	}
	if err := machine.RemoveCgroups(ctx, e.Instance); err != nil {
		return err
	}
	if err := removeState(e.Root.State(e.Instance)); err != nil {
		return err
	}
	if e.Number == 0 {
		if err := os.Remove(e.Root.Kubeconfig()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove kubeconfig: %w", err)
		}
	}
	return machine.ThisRegistry().Remove(ctx, e.Number)
}
