// Package steer has the verbs by which a person steers a delivery: each creates a
// RolloutAction about the revision that was looked at, waits for the controller's
// answer, and says it.
package steer

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

// action is one run of a verb.
type action struct {
	*session.Session
	output   *session.Output
	kind     v1alpha1.ActionKind
	revision string
	reason   string
	timeout  time.Duration
}

// Promote is `kubectl crossfade promote`.
func Promote(s *session.Session) *cobra.Command {
	full := false
	a, c := verb(s, v1alpha1.ActionPromote, "promote", "Go on with the step that is held, or with all that is left")
	c.Long = "Go on with the step that is held. Where a step wants several approvals, this is one of them.\n" +
		"With --full the steps that are left are skipped, with their holds and approvals; confirmations of\n" +
		"the proxies and pods are still waited for, and a check that fails still goes back."
	c.Flags().BoolVar(&full, "full", false, "skip all steps that are left")
	c.PreRun = func(*cobra.Command, []string) {
		if full {
			a.kind = v1alpha1.ActionPromoteFull
		}
	}
	return c
}

// Abort is `kubectl crossfade abort`.
func Abort(s *session.Session) *cobra.Command {
	_, c := verb(s, v1alpha1.ActionAbort, "abort", "Go back to stable; the revision counts as failed")
	return c
}

// Retry is `kubectl crossfade retry`.
func Retry(s *session.Session) *cobra.Command {
	_, c := verb(s, v1alpha1.ActionRetry, "retry", "Try the revision that was rolled back or aborted once more")
	return c
}

// Pause is `kubectl crossfade pause`.
func Pause(s *session.Session) *cobra.Command {
	_, c := verb(s, v1alpha1.ActionPause, "pause", "Stop every move of this delivery but those towards stable")
	return c
}

// Resume is `kubectl crossfade resume`.
func Resume(s *session.Session) *cobra.Command {
	_, c := verb(s, v1alpha1.ActionResume, "resume", "End a pause, and go on where it was")
	return c
}

// Override is `kubectl crossfade override`.
func Override(s *session.Session) *cobra.Command {
	_, c := verb(s, v1alpha1.ActionOverride, "override", "Let this delivery go on where a schedule or a freeze holds it")
	return c
}

func verb(s *session.Session, kind v1alpha1.ActionKind, name, short string) (*action, *cobra.Command) {
	a := &action{Session: s, kind: kind}
	c := &cobra.Command{
		Use:               name + " NAME",
		Short:             short,
		Example:           fmt.Sprintf("  kubectl crossfade %s payments --reason \"INC-7\"", name),
		Args:              session.OneName,
		ValidArgsFunction: s.CompleteRollouts,
		RunE:              func(c *cobra.Command, args []string) error { return a.run(c.Context(), args[0]) },
	}
	f := c.Flags()
	f.StringVar(&a.revision, "revision", "", "the revision that is meant; without it the one on its way now (of a retry, the one that was rolled back)")
	f.StringVar(&a.reason, "reason", "", "for those who read the history")
	f.DurationVar(&a.timeout, "timeout", 30*time.Second, "the longest time to wait for the controller's answer")
	a.output = session.AddOutput(c, "json", "yaml", "name")
	return a, c
}
