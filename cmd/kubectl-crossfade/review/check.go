package review

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/prometheus"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

// Exit codes of check.
const (
	// ExitFailing: a check is out of its range.
	ExitFailing = 2
	// ExitNoVerdict: none is, and one has no number.
	ExitNoVerdict = 3
)

type check struct {
	*session.Session
	output           *session.Output
	files, names     []string
	revision, stable string
	address          string
	offline          bool
}

const checkHelp = `Measure the checks of a Rollout once, and print values, thresholds, verdicts and the
queries as they are asked. Nothing is decided and nothing is written: checks that are
Jobs are named and not run.

The Rollout comes from the cluster, or with -f from a file, so that a check can be
tried before it is applied. What is measured is --revision: the canary, or stable
when there is none. Prometheus is the controller's, asked through the API server
(services/proxy), or that of --prometheus-url.

Exit codes: 0 all pass; 2 one is out of its range; 3 none is, but one has no verdict;
1 anything else. Checks that are dry runs count, too; one that is a Job has no verdict.`

// Check is `kubectl crossfade check`.
func Check(s *session.Session) *cobra.Command {
	k := &check{Session: s}
	c := &cobra.Command{
		Use:     "check [NAME] [-f FILE]",
		Short:   "Measure checks once: values, thresholds, verdicts, queries",
		Long:    checkHelp,
		Example: "  kubectl crossfade check payments\n  kubectl crossfade check -f rollout.yaml --revision 8695bf8868\n  kubectl crossfade check payments --check errors -o json",
		Args:    session.AtMostOneName,

		ValidArgsFunction: s.CompleteRollouts,
		RunE: func(c *cobra.Command, args []string) error {
			return k.run(c.Context(), session.NameIn(args))
		},
	}
	c.Flags().StringSliceVarP(&k.files, "filename", "f", nil, "files or directories with the Rollout, or - for standard input")
	c.Flags().StringVar(&k.revision, "revision", "", "the revision that is measured (pod-template-hash); default: the canary, else stable")
	c.Flags().StringVar(&k.stable, "stable", "", "the revision that it is compared with; default: stable")
	c.Flags().StringSliceVar(&k.names, "check", nil, "names of the checks; default: all")
	c.Flags().StringVar(&k.address, "prometheus-url", "", "Prometheus, such as http://localhost:9090; default: the controller's")
	c.Flags().BoolVar(&k.offline, "offline", false, "with -f: look at no cluster")
	k.output = session.AddOutput(c, "json", "yaml")
	return c
}

// result is what -o json and yaml print.
type result struct {
	Namespace string     `json:"namespace"`
	Rollout   string     `json:"rollout"`
	Revision  string     `json:"revision"`
	Stable    string     `json:"stable,omitempty"`
	Asked     string     `json:"prometheus"`
	Checks    []measured `json:"checks"`
}

func (k *check) run(ctx context.Context, name string) error {
	if err := k.output.Check(); err != nil {
		return err
	}
	s, err := gather(ctx, k.Session, k.files, name, k.offline)
	if err != nil {
		return err
	}
	if len(s.world.Refused) > 0 {
		return errors.New(s.world.Refused[0].Message)
	}
	list, err := k.chosen(s.rollout)
	if err != nil {
		return err
	}
	r, err := k.subject(s)
	if err != nil {
		return err
	}
	source, err := prometheus.Open(ctx, k.Session, k.address)
	if err != nil {
		return err
	}
	defer source.Close()
	r.Asked = source.Where
	for i := range list {
		r.Checks = append(r.Checks, measure(ctx, source, s.rollout, &list[i], r.Stable, r.Revision, k.Now()))
	}
	if k.output.Objects() {
		if err := writeData(k.Out, k.output.Format, r); err != nil {
			return err
		}
	} else {
		writeChecks(k.Out, r, k.Paint())
	}
	return verdict(r.Checks)
}

// subject says which revisions are measured.
func (k *check) subject(s *subject) (*result, error) {
	stable, canary := s.revisions()
	r := &result{Namespace: s.rollout.Namespace, Rollout: s.rollout.Name, Revision: k.revision, Stable: k.stable}
	if r.Stable == "" {
		r.Stable = stable
	}
	if r.Revision == "" {
		r.Revision = canary
	}
	if r.Revision == "" {
		r.Revision = r.Stable
	}
	if r.Revision == "" {
		return nil, errors.New("say which revision with --revision: no cluster knows the Rollout (pods have theirs in the label pod-template-hash)")
	}
	return r, nil
}

// chosen are the checks to be measured.
func (k *check) chosen(ro *v1alpha1.Rollout) ([]v1alpha1.Check, error) {
	if ro.Spec.Analysis == nil || len(ro.Spec.Analysis.Checks) == 0 {
		return nil, fmt.Errorf("there are no checks in Rollout %s: add spec.analysis", ro.Name)
	}
	if len(k.names) == 0 {
		return ro.Spec.Analysis.Checks, nil
	}
	var list []v1alpha1.Check
	for _, name := range k.names {
		i := slices.IndexFunc(ro.Spec.Analysis.Checks, func(c v1alpha1.Check) bool { return c.Name == name })
		if i < 0 {
			var have []string
			for _, c := range ro.Spec.Analysis.Checks {
				have = append(have, c.Name)
			}
			return nil, fmt.Errorf("there is no check %s in Rollout %s: it has %s", name, ro.Name, strings.Join(have, ", "))
		}
		list = append(list, ro.Spec.Analysis.Checks[i])
	}
	return list, nil
}

func verdict(list []measured) error {
	code := 0
	for i := range list {
		switch list[i].Verdict {
		case v1alpha1.VerdictFailing, v1alpha1.VerdictFailed:
			return &session.Exit{Code: ExitFailing}
		case v1alpha1.VerdictNoVerdict, v1alpha1.VerdictPending, "":
			code = ExitNoVerdict
		case v1alpha1.VerdictPassing:
		}
	}
	if code != 0 {
		return &session.Exit{Code: code}
	}
	return nil
}

func writeChecks(w io.Writer, r *result, paint session.Paint) {
	compared := ""
	if r.Stable != "" && r.Stable != r.Revision {
		compared = ", stable is " + r.Stable
	}
	fmt.Fprintf(w, "%s revision %s%s\nasked: %s\n", paint.Strong("Rollout "+r.Namespace+"/"+r.Rollout), r.Revision, compared, r.Asked)
	for i := range r.Checks {
		m := &r.Checks[i]
		dry := ""
		if m.DryRun {
			dry = " (dry run)"
		}
		verdict := "not asked"
		if m.Verdict != "" {
			verdict = painted(m.Verdict, paint)
		}
		fmt.Fprintf(w, "\n%s %s%s\n  now:      %s\n", paint.Strong(m.Check), verdict, dry, m.now())
		if m.Expected != "" {
			fmt.Fprintf(w, "  expected: %s\n", m.Expected)
		}
		m.writeQueries(w, paint)
	}
}
