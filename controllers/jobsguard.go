package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// policyJobs asks whoever writes a Job into a Rollout whether he may create Jobs.
const policyJobs = "jobs.crossfade.dev"

// jobsGuard says whether that policy works in a namespace.
type jobsGuard int

const (
	guardUnknown jobsGuard = iota
	guardWorks
	guardMissing
)

const jobsUnguarded = "no Job is made, for whoever may write Rollouts could run any with every ServiceAccount of the namespace: the admission policy " +
	policyJobs + " does not work; install it, with its binding (kubectl apply -k config/policies)"

// runsJobs says whether a Rollout has hooks or checks that are Jobs.
func runsJobs(ro *v1alpha1.Rollout) bool {
	return slices.ContainsFunc(ro.Spec.Hooks, func(h v1alpha1.Hook) bool { return h.Job != nil }) ||
		ro.Spec.Analysis != nil && slices.ContainsFunc(ro.Spec.Analysis.Checks, func(c v1alpha1.Check) bool { return c.Job != nil })
}

// jobs proves that the API server guards the Jobs of a Rollout that has some: a dry-run
// that the policy refuses to everybody has to be refused by it.
func (p *prober) jobs(ctx context.Context, ro *v1alpha1.Rollout) (jobsGuard, error) {
	return prove(p, p.guarded, ro.Namespace, func() (jobsGuard, error) {
		probed := &v1alpha1.Rollout{}
		probed.Namespace, probed.Name = ro.Namespace, ro.Name
		err := p.dryRun(ctx, probed, patch{"metadata": patch{"annotations": patch{annotationProbe: "jobs"}}})
		switch {
		case err == nil:
			return guardMissing, nil
		case strings.Contains(err.Error(), policyJobs):
			return guardWorks, nil
		}
		return guardUnknown, fmt.Errorf("try the policy %s in a dry-run: %w", policyJobs, err)
	})
}

// refusal is there for a Rollout whose Jobs are known to be guarded by nobody.
func (j *jobs) refusal(ctx context.Context, ro *v1alpha1.Rollout) *delivery.Refusal {
	if !runsJobs(ro) {
		return nil
	}
	// An error is said where a Job is due.
	if guard, _ := j.guard(ctx, ro); guard == guardMissing {
		return &delivery.Refusal{Reason: v1alpha1.ReasonJobsUnguarded, Message: jobsUnguarded}
	}
	return nil
}

// allowed is an error as long as a Rollout's Jobs are not known to be guarded.
func (j *jobs) allowed(ctx context.Context, ro *v1alpha1.Rollout) error {
	switch guard, err := j.guard(ctx, ro); {
	case err != nil:
		return fmt.Errorf("%w: %s", errNotMade, oneLine(err.Error()))
	case guard == guardMissing:
		return fmt.Errorf("%w: %s", errNotMade, jobsUnguarded)
	case guard != guardWorks:
		return fmt.Errorf("%w: the admission policies have just changed, and %s is proven anew", errNotMade, policyJobs)
	}
	return nil
}
