package review

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/prometheus"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
	"github.com/crossfade-dev/crossfade/delivery/advice"
	"github.com/crossfade-dev/crossfade/delivery/forecast"
	"github.com/crossfade-dev/crossfade/metrics"
)

type plan struct {
	*session.Session
	output   *session.Output
	files    []string
	address  string
	at       string
	replicas int32
	offline  bool
}

const planHelp = `Tell a delivery before it begins: steps with their earliest times, how many pods
there are at most, about how many requests meet the canary, what the checks ask and
measure now, and what would be refused.

The Rollout comes from the cluster, or with -f from files; what the files do not
have is taken from the cluster, and the API server is asked (dry run) what it would
refuse of them. Nothing is written. Without a cluster, or with --offline, only the
files are known, and the plan says what it does not know.

Times are the earliest: pods take longer to start, checks may have to pass again,
and people take their time.

Exit codes: 0; 2 something would be refused; 1 anything else.`

// Plan is `kubectl crossfade plan`.
func Plan(s *session.Session) *cobra.Command {
	p := &plan{Session: s}
	c := &cobra.Command{
		Use:     "plan [NAME] [-f FILE...]",
		Short:   "Tell a delivery before it begins: times, pods, requests, checks, refusals",
		Long:    planHelp,
		Example: "  kubectl crossfade plan -f deploy/\n  kubectl crossfade plan payments --at 2026-12-24T17:00:00Z\n  kubectl crossfade plan -f rollout.yaml --offline --replicas 10 -o json",
		Args:    session.AtMostOneName,

		ValidArgsFunction: s.CompleteRollouts,
		RunE: func(c *cobra.Command, args []string) error {
			return p.run(c.Context(), session.NameIn(args))
		},
	}
	c.Flags().StringSliceVarP(&p.files, "filename", "f", nil, "files or directories with the Rollout and what belongs to it, or - for standard input")
	c.Flags().StringVar(&p.address, "prometheus-url", "", "Prometheus, such as http://localhost:9090; default: the controller's")
	c.Flags().StringVar(&p.at, "at", "", "when the template changes, as 2026-12-24T17:00:00Z; default: now")
	c.Flags().Int32Var(&p.replicas, "replicas", 0, "size of the Deployment; default: what it says")
	c.Flags().BoolVar(&p.offline, "offline", false, "with -f: look at no cluster")
	p.output = session.AddOutput(c, "json", "yaml")
	return c
}

// planned is what -o json and yaml print.
type planned struct {
	forecast.Forecast
	Checks []measured `json:"checks"`
	// Refused is what would be refused, Warnings what analyze warns of.
	Refused  []string `json:"refused"`
	Warnings []string `json:"warnings"`
	// Unknown is what this plan does not know, and why.
	Unknown []string `json:"unknown,omitempty"`
}

func (p *plan) run(ctx context.Context, name string) error {
	if err := p.output.Check(); err != nil {
		return err
	}
	start := p.Now()
	if p.at != "" {
		at, err := time.Parse(time.RFC3339, p.at)
		if err != nil {
			return fmt.Errorf("--at %s: want a time such as 2026-12-24T17:00:00Z", p.at)
		}
		start = at
	}
	s, err := gather(ctx, p.Session, p.files, name, p.offline)
	if err != nil {
		return err
	}
	out := p.make(ctx, s, start.UTC().Truncate(time.Second))
	if p.output.Objects() {
		if err := writeData(p.Out, p.output.Format, out); err != nil {
			return err
		}
	} else {
		writePlan(p.Out, out, p.Paint())
	}
	if len(out.Refused) > 0 {
		return &session.Exit{Code: ExitFound}
	}
	return nil
}

func (p *plan) make(ctx context.Context, s *subject, start time.Time) *planned {
	out := &planned{Checks: []measured{}, Refused: []string{}, Warnings: []string{}}
	if s.missing != "" {
		out.Unknown = append(out.Unknown, "the cluster, and what its API server would refuse ("+s.missing+")")
	}
	source := p.source(ctx, s, out)
	if source != nil {
		defer source.Close()
	}
	in := forecast.Input{Rollout: s.rollout, Start: start, Startup: s.startup(), Opens: s.opens(out)}
	var known bool
	switch in.Replicas, known = s.replicas(); {
	case p.replicas > 0:
		in.Replicas = p.replicas
	case !known:
		in.Replicas = 1
		out.Unknown = append(out.Unknown, "the size of Deployment "+s.rollout.Spec.WorkloadRef.Name+", taken as 1 (say it with --replicas)")
	}
	if source != nil {
		in.Rate = p.rate(ctx, source, s, out)
	}
	out.Forecast = forecast.Make(in)
	p.check(ctx, s, source, out)
	p.refusals(ctx, s, out)
	return out
}

// source is the Prometheus that is asked, nil where there is none.
func (p *plan) source(ctx context.Context, s *subject, out *planned) *prometheus.Source {
	if p.address == "" && s.client == nil {
		out.Unknown = append(out.Unknown, "the number of requests, and what the checks measure (no Prometheus: say one with --prometheus-url)")
		return nil
	}
	source, err := prometheus.Open(ctx, p.Session, p.address)
	if err != nil {
		out.Unknown = append(out.Unknown, "the number of requests, and what the checks measure ("+session.Explain(err)+")")
		return nil
	}
	return source
}

// rateWindow is what the present rate is taken over.
const rateWindow = 5 * time.Minute

// rate is how many requests the Service gets in a second.
func (p *plan) rate(ctx context.Context, of asked, s *subject, out *planned) *float64 {
	query, err := metrics.ParseQuery(`sum(rate(envoy_cluster_upstream_rq_xx{namespace="{{.Namespace}}",service="{{.Service}}"}[{{.Interval}}]))`)
	if err == nil {
		var text string
		text, err = query.Render(metrics.QueryArgs{Namespace: s.rollout.Namespace, Service: s.rollout.Spec.ServiceRef.Name, Interval: rateWindow})
		if err == nil {
			got := of.Query(ctx, text, p.Now())
			if got.Outcome == metrics.Number {
				return &got.Value
			}
			out.Unknown = append(out.Unknown, fmt.Sprintf("the number of requests (%s: %s)", got.Outcome, got.Message))
			return nil
		}
	}
	out.Unknown = append(out.Unknown, "the number of requests ("+err.Error()+")")
	return nil
}

// Names that stand for revisions that nobody knows.
const (
	someStable = "STABLE"
	someCanary = "CANARY"
	// unadopted is what proxies call the pods of a Service without a Rollout.
	unadopted = "-"
)

// check measures the checks, of the canary if there is one, else of stable: what
// they would have said of it.
func (p *plan) check(ctx context.Context, s *subject, source *prometheus.Source, out *planned) {
	if s.rollout.Spec.Analysis == nil || len(s.world.Refused) > 0 {
		return
	}
	stable, canary := s.revisions()
	if stable == "" && s.client != nil {
		stable = unadopted
	}
	revision := canary
	if revision == "" {
		revision = stable
	}
	var of asked
	if source != nil && revision != "" {
		of = source
	} else if source != nil {
		out.Unknown = append(out.Unknown, "what the checks measure (the cluster does not know the Rollout, so there is no revision to ask about)")
	}
	if stable == "" {
		stable = someStable
	}
	if revision == "" {
		revision = someCanary
	}
	for i := range s.rollout.Spec.Analysis.Checks {
		out.Checks = append(out.Checks, measure(ctx, of, s.rollout, &s.rollout.Spec.Analysis.Checks[i], stable, revision, p.Now()))
	}
}

// refusals are what the API server refuses of the files, and what analyze finds
// around the Rollout.
func (p *plan) refusals(ctx context.Context, s *subject, out *planned) {
	out.Refused = append(out.Refused, s.dryRun(ctx)...)
	mine := []string{s.rollout.Name, s.rollout.Spec.WorkloadRef.Name, s.rollout.Spec.ServiceRef.Name}
	for _, f := range advice.Judge(s.world) {
		near := f.Source != "" || f.Object.Namespace == s.rollout.Namespace && slices.Contains(mine, f.Object.Name)
		line := fmt.Sprintf("%s %s %s: %s", f.Code, f.Name, f.Object, f.Message)
		switch {
		case !near:
		case f.Severity == advice.Error:
			out.Refused = append(out.Refused, line)
		case f.Severity == advice.Warning:
			out.Warnings = append(out.Warnings, line)
		}
	}
}
