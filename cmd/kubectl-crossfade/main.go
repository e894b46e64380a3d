// Command kubectl-crossfade is the plugin `kubectl crossfade`: it shows Rollouts,
// steers them, and lets a pipeline wait for what becomes of a revision. It talks to
// the API server only, with the rights of whoever runs it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // not every machine has them, and plans name time zones

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/live"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/outcome"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/proxies"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/release"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/review"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/steer"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/templates"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/tree"
)

// version is what the linker was told (-X main.version=...): make build asks git.
var version = "dev"

// verbs are the plugin's subcommands, in the order of its help. Another verb is one
// more line here.
func verbs() []session.Verb {
	return []session.Verb{
		tree.Get, live.Watch,
		steer.Promote, steer.Abort, steer.Retry, steer.Pause, steer.Resume, steer.Override,
		templates.Undo, templates.Restart, templates.History,
		proxies.Show,
		outcome.Wait,
		release.Version, release.Completion,
		review.Plan, review.Analyze, review.Check,
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	code := run(ctx, session.New(streams, version, time.Now), os.Args[1:])
	stop()
	os.Exit(code)
}

// run is the program but for its process: it returns the exit code.
func run(ctx context.Context, s *session.Session, args []string) int {
	root := newRoot(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return session.ExitOK
	}
	if message := session.Explain(err); message != "" {
		fmt.Fprintf(s.ErrOut, "error: %s\n", message)
	}
	return session.ExitCode(err)
}

const about = `Watch and steer how Deployments are delivered by Crossfade.

Exit codes: 0 when it did what was asked, 1 otherwise. "wait" and the verbs that
check have more of them; see their help.`

func newRoot(s *session.Session) *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-crossfade",
		Short:         "Watch and steer how Deployments are delivered by Crossfade",
		Long:          about,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl crossfade"},
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          knownVerb,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.ErrOut)
	root.CompletionOptions.DisableDefaultCmd = true // Ours knows kubectl, too.
	s.AddFlags(root.PersistentFlags())
	cobra.CheckErr(root.RegisterFlagCompletionFunc("namespace", s.CompleteNamespaces))
	for _, verb := range verbs() {
		root.AddCommand(verb(s))
	}
	return root
}

// knownVerb says what there is instead of a verb that does not exist.
func knownVerb(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("there is no verb %q; did you mean %s? kubectl crossfade --help lists all", args[0], strings.Join(near, " or "))
	}
	return fmt.Errorf("there is no verb %q; kubectl crossfade --help lists all", args[0])
}
