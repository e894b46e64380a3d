// Command crossfade is Crossfade's one server binary. Its subcommands are the
// controller, which delivers Rollouts and tells the proxies what to do, the agent,
// which runs a proxy, and init, which leads a pod's connections to it; for people
// there is bench, which measures what that costs, with load as its client, and dump,
// by which the kubectl plugin asks an Envoy.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // the image has no files but this program, and schedules name time zones

	"github.com/crossfade-dev/crossfade/cmd/crossfade/agent"
	"github.com/crossfade-dev/crossfade/cmd/crossfade/bench"
	"github.com/crossfade-dev/crossfade/cmd/crossfade/controller"
	"github.com/crossfade-dev/crossfade/cmd/crossfade/intercept"
	"github.com/crossfade-dev/crossfade/cmd/crossfade/load"
)

// version is what the linker was told (-X main.version=...): make build asks git.
var version = "dev"

const usage = `usage: crossfade <command> [flags]

commands:
  controller   deliver Rollouts and serve the proxies their configuration
  agent        run an Envoy, and drain it without loss when told to stop
  init         lead a pod's connections to its proxy, and see that they arrive
  bench        measure what a sidecar costs the clients of a Service
  load         be a client for bench, in a pod
  dump         print the routes that this container's Envoy has, for kubectl crossfade
  version      print the version of this program

crossfade <command> --help lists the flags of a command.
`

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	commands := map[string]func(context.Context, []string) error{
		"controller": func(ctx context.Context, args []string) error { return controller.Run(ctx, version, args) },
		"agent":      func(ctx context.Context, args []string) error { return agent.Run(ctx, version, args) },
		"init":       intercept.Run,
		"bench":      bench.Run,
		"load":       load.Run,
		"dump":       func(ctx context.Context, args []string) error { return agent.Dump(ctx, args, os.Stdout, os.Stderr) },
		"version":    printVersion,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	if err := commands[args[0]](ctx, args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "crossfade %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

func printVersion(context.Context, []string) error {
	_, err := fmt.Fprintln(os.Stdout, version)
	return err
}
