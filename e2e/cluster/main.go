// Command cluster builds and runs real Kubernetes clusters on this machine,
// without a container daemon, a registry or systemd. Run it from anywhere in
// the checkout:
//
//	go run -C e2e/cluster . up
//
// See usage for the commands. All that it makes is below .local in the root of
// the checkout, except for links, cgroups and /run/crossfade-cluster, which
// `down` removes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
	"github.com/crossfade-dev/crossfade/e2e/cluster/machine"
	"github.com/crossfade-dev/crossfade/e2e/cluster/node"
)

const usage = `usage: cluster COMMAND [FLAGS] [ARGUMENTS]

  build [PART...]                     build and install all parts, or some: packages,
                                      kubernetes, coredns, pause, envoy, prometheus, promtool
  up [-instance N] [-nodes K]         start a cluster, unless it is up
  down [-instance N | -all]           stop it and leave nothing behind
  load [-instance N] ARCHIVE...       load image archives into every node
  image -o ARCHIVE -name HOST/NAME:TAG [-user UID] [-entrypoint JSON]
        [-env NAME=VALUE]... [-libs-of PROGRAM]... SOURCE=PATH...
                                      make an image from files
  status                              show all clusters on this machine

Every command takes -root, the root of the checkout (found from the working
directory if not given). N is 0 to 14, and 0 if not given.
`

// errUsage has been explained to the user already.
var errUsage = errors.New("wrong usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	commands := map[string]func(context.Context, *invocation) error{
		"build": build, "up": up, "down": down, "load": load, "image": makeImage, "status": status,
	}
	name, rest := args[0], args[1:]
	if name == "node" { // Not for people: process 1 of a node.
		return runNode(ctx, rest)
	}
	if name == "help" || name == "-h" || name == "-help" || name == "--help" {
		fmt.Fprint(out, usage)
		return nil
	}
	command, ok := commands[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "there is no command %q\n\n%s", name, usage)
		return errUsage
	}
	return command(ctx, newInvocation(name, rest, out))
}

func runNode(ctx context.Context, args []string) error {
	root, instance, number, err := machine.ParseNodeArgs(args)
	if err != nil {
		return err
	}
	return node.Run(ctx, node.Node{Instance: instance, Number: number}, root)
}

// invocation is one call of a command: its flags, its output, its checkout.
type invocation struct {
	flags *flag.FlagSet
	args  []string
	out   io.Writer
	root  layout.Root
}

func newInvocation(name string, args []string, out io.Writer) *invocation {
	v := &invocation{flags: flag.NewFlagSet(name, flag.ContinueOnError), args: args, out: out}
	v.flags.Usage = func() { fmt.Fprint(v.flags.Output(), usage) }
	return v
}

// parse reads the flags, of which the command has defined its own before, and
// finds the root of the checkout.
func (v *invocation) parse() error {
	given := v.flags.String("root", "", "root of the checkout")
	if err := v.flags.Parse(v.args); err != nil {
		return errUsage
	}
	root, err := findRoot(*given)
	v.root = root
	return err
}

// parseWithoutArguments is for commands that take flags only.
func (v *invocation) parseWithoutArguments() error {
	if err := v.parse(); err != nil {
		return err
	}
	if v.flags.NArg() > 0 {
		return fmt.Errorf("%s takes no arguments, got %q", v.flags.Name(), v.flags.Arg(0))
	}
	return nil
}

func (v *invocation) instanceFlag() *int { return v.flags.Int("instance", 0, "number of the instance") }

// given says whether the user wrote the flag.
func (v *invocation) given(name string) bool {
	found := false
	v.flags.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

func (v *invocation) printf(format string, args ...any) {
	fmt.Fprintf(v.out, format+"\n", args...)
}

// findRoot looks upwards from the working directory for the checkout.
func findRoot(given string) (layout.Root, error) {
	start := given
	if start == "" {
		start = "."
	}
	dir, err := filepath.Abs(start)
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	// One name for one checkout: the registry compares them.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	for d := dir; ; d = filepath.Dir(d) {
		if isRoot(d) {
			return layout.Root(d), nil
		}
		if d == filepath.Dir(d) || given != "" {
			return "", fmt.Errorf("%s is not %s a checkout of Crossfade: use -root", dir,
				strings.TrimSpace(map[bool]string{true: "the root of", false: "in"}[given != ""]))
		}
	}
}

func isRoot(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "e2e", "cluster", "go.mod"))
	return err == nil
}
