package outcome

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

const waitHelp = `Wait for what becomes of a revision, print one line per change, and end on its outcome.

The revision is the one of --revision, --image or --generation; without any of them
it is the template that the Deployment has when the wait begins. It is the outcome of
that revision that counts: a revision that was promoted before, or comes after it,
never ends the wait as if it were its own success.

Exit codes:
  0  promoted: it serves everybody
  1  anything else, such as no such Rollout or no right to see it
  2  rolled back: the message has the failed check, its value and its query
  3  timed out; it never takes longer than --timeout, whatever the API server does
  4  a person is needed (not with --wait-for-approval)
  5  superseded by another revision
  6  stalled on a mistake in the configuration

With -o json the lines go to standard error and the outcome is one JSON object on
standard output.`

type wait struct {
	*session.Session
	output   *session.Output
	target   Target
	goal     string
	timeout  time.Duration
	junit    string
	approval bool
}

// Wait is `kubectl crossfade wait`.
func Wait(s *session.Session) *cobra.Command {
	w := &wait{Session: s}
	c := &cobra.Command{
		Use:   "wait NAME",
		Short: "Wait for the outcome of a revision, for pipelines",
		Long:  waitHelp,
		Example: "  kubectl set image deployment/payments payments=registry.example/payments:v2\n" +
			"  kubectl crossfade wait payments --image registry.example/payments:v2 --timeout 30m --junit rollout.xml",
		Args:              session.OneName,
		ValidArgsFunction: s.CompleteRollouts,
		RunE:              func(c *cobra.Command, args []string) error { return w.run(c.Context(), args[0]) },
	}
	f := c.Flags()
	f.StringVar(&w.goal, "for", "promoted", "what is waited for; promoted is all there is")
	f.StringVar(&w.target.Revision, "revision", "", "the revision, as kubectl crossfade history shows it")
	f.StringVar(&w.target.Image, "image", "", "the revision with this image in one of its containers, as soon as the Deployment has it")
	f.Int64Var(&w.target.Generation, "generation", 0, "the revision that the Deployment has from this metadata.generation on")
	f.DurationVar(&w.timeout, "timeout", 15*time.Minute, "the longest time to wait")
	f.StringVar(&w.junit, "junit", "", "write the outcome to this file, as a JUnit report")
	f.BoolVar(&w.approval, "wait-for-approval", false, "go on waiting while a person is needed")
	w.output = session.AddOutput(c, "json")
	cobra.CheckErr(c.RegisterFlagCompletionFunc("for", cobra.FixedCompletions([]string{"promoted"}, cobra.ShellCompDirectiveNoFileComp)))
	return c
}

func (w *wait) check() error {
	switch {
	case w.goal != "promoted":
		return fmt.Errorf("--for %s: want promoted; the exit code tells all other outcomes apart", w.goal)
	case w.timeout <= 0:
		return fmt.Errorf("--timeout %s: want a time above 0, such as 15m", w.timeout)
	}
	if err := w.output.Check(); err != nil {
		return err
	}
	return w.target.check()
}

func (w *wait) run(ctx context.Context, name string) error {
	if err := w.check(); err != nil {
		return err
	}
	client, err := w.Client()
	if err != nil {
		return err
	}
	namespace, err := w.Namespace()
	if err != nil {
		return err
	}
	report := &Report{Namespace: namespace, Rollout: name, Started: w.Now()}
	lines := w.Out
	if w.output.Format == "json" {
		lines = w.ErrOut
	}
	l := &loop{
		look: looker(client, namespace, name),
		wake: func(ctx context.Context) <-chan struct{} { return rollouts.Wake(ctx, client, namespace, name) },
		query: func(ctx context.Context, s Sight, f Finding) string {
			return rollouts.Query(ctx, client, s.Family.Rollout, f.Check.Name, f.Revision)
		},
		judge: Judge{Target: w.target, WaitForApproval: w.approval},
		now:   w.Now, timeout: w.timeout,
		say: func(c Change) {
			report.Changes = append(report.Changes, c)
			fmt.Fprintf(lines, "%s  %s\n", c.At.Format(time.TimeOnly), c.Text)
		},
	}
	finding, err := l.run(ctx)
	if err != nil {
		return err
	}
	report.end(finding, w.Now())
	if err := w.write(report); err != nil {
		return err
	}
	return &session.Exit{Code: report.ExitCode}
}

// write writes the report in the forms that were asked for. The exit code is the
// outcome's even where a file could not be written: that is said, and does not turn
// a promotion into a failure of another kind.
func (w *wait) write(r *Report) error {
	if w.output.Format == "json" {
		if err := session.WriteJSON(w.Out, r); err != nil {
			return fmt.Errorf("write the outcome: %w", err)
		}
	} else {
		r.writeText(w.Out, w.Paint())
	}
	if w.junit == "" {
		return nil
	}
	if err := w.writeJUnit(r); err != nil {
		fmt.Fprintf(w.ErrOut, "warning: write the JUnit report: %v\n", err)
	}
	return nil
}

func (w *wait) writeJUnit(r *Report) error {
	file, err := os.Create(w.junit)
	if err != nil {
		return err
	}
	return errors.Join(r.WriteJUnit(file), file.Close())
}
