package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// hookJobKey names one run of a hook's Job. A hook that is asked anew, because the
// situation is another one, gets another run; a crash finds the one that was under way.
func hookJobKey(ro *v1alpha1.Rollout, rec *v1alpha1.Record, q delivery.Question) string {
	if e := delivery.HookOf(rec, q); e != nil {
		return fmt.Sprintf("%s/%d", hookKey(ro, q), e.Since.UnixMicro())
	}
	return hookKey(ro, q)
}

// hookRun is the Job of a hook.
func hookRun(ro *v1alpha1.Rollout, hook *v1alpha1.Hook, q delivery.Question) (*jobRun, error) {
	about, _, err := hookRequest(ro, q)
	if err != nil {
		return nil, err
	}
	return &jobRun{rollout: ro, label: v1alpha1.LabelHook, of: hook.Name, key: hookJobKey(ro, ro.Status.Record, q), source: hook.Job, about: about}, nil
}

// checkKey names one measurement of a check: it follows the last one, so that a crash
// finds the Job of the measurement that was under way.
func checkKey(ro *v1alpha1.Rollout, status *v1alpha1.RolloutStatus, check string) string {
	rec := status.Record
	key := fmt.Sprintf("%s/%s/%d/check/%s/%d", ro.UID, rec.Canary, rec.Attempt, check, rec.Step)
	if rec.AckedAt != nil {
		key += fmt.Sprintf("/%d", rec.AckedAt.UnixMicro())
	}
	for i := range status.Checks {
		if c := &status.Checks[i]; c.Name == check && c.MeasuredAt != nil {
			key += fmt.Sprintf("/%d", c.MeasuredAt.UnixMicro())
		}
	}
	return key
}

// checkRun is the Job of one measurement of a check.
func checkRun(ro *v1alpha1.Rollout, check *v1alpha1.Check, d delivery.Measurement) (*jobRun, error) {
	rec := ro.Status.Record
	key := checkKey(ro, &ro.Status, d.Check)
	about, err := json.Marshal(hookBody{
		APIVersion: hookVersion, Kind: "CheckRequest", Hook: d.Check, Key: key,
		Namespace: ro.Namespace, Rollout: ro.Name, UID: ro.UID, Deployment: rec.Workload, Service: rec.Service,
		Stable: rec.Stable, Canary: d.Revision, Attempt: rec.Attempt, Try: 1, Step: d.Step,
		Weight: rec.Weight, TotalWeight: rec.Total, Phase: ro.Status.Phase,
	})
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return &jobRun{rollout: ro, label: v1alpha1.LabelCheck, of: check.Name, key: key, source: check.Job, about: about}, nil
}

// wantedJobs are the Jobs that a status waits for.
func wantedJobs(ro *v1alpha1.Rollout, status *v1alpha1.RolloutStatus) map[string]bool {
	wanted := map[string]bool{}
	rec := status.Record
	if rec == nil {
		return wanted
	}
	for i := range rec.Hooks {
		e := &rec.Hooks[i]
		if hook := hookNamed(ro, e.Name); hook != nil && hook.Job != nil && e.State == v1alpha1.HookAsking {
			wanted[jobName(ro.Name, e.Name, hookJobKey(ro, rec, delivery.QuestionOf(e)))] = true
		}
	}
	measured := rec.Stage == v1alpha1.StageStepping || rec.Stage == v1alpha1.StagePinning || rec.Stage == v1alpha1.StageHandingOver
	if ro.Spec.Analysis == nil || !measured || rec.AckedAt == nil {
		return wanted
	}
	for i := range ro.Spec.Analysis.Checks {
		if c := &ro.Spec.Analysis.Checks[i]; c.Job != nil {
			wanted[jobName(ro.Name, c.Name, checkKey(ro, status, c.Name))] = true
		}
	}
	return wanted
}

// runHook runs a hook's Job, or looks how it goes. While it runs there is no answer:
// its end wakes the Rollout.
func (a *asker) runHook(of *hookCalls, ro *v1alpha1.Rollout, hook *v1alpha1.Hook, q delivery.Question) {
	run, err := hookRun(ro, hook, q)
	var end *jobEnd
	if err == nil {
		end, err = a.jobs.run(of.context, run)
	}
	answer := delivery.HookAnswer{Question: q, Came: a.now()}
	switch {
	case end != nil && end.complete:
		answer.Outcome, answer.Message = delivery.HookYes, end.message
	case end != nil:
		answer.Outcome, answer.Message = delivery.HookNo, end.message
	case errors.Is(err, errNotMade):
		answer.Outcome, answer.Message = delivery.HookLater, oneLine(err.Error())
	case err != nil:
		answer.Outcome, answer.Message = delivery.HookLater, "the API server did not say how its Job is"
	default:
		a.release(of, q)
		// It may have ended while another pass left it to this one.
		if end, err := a.jobs.run(of.context, run); err == nil && end != nil {
			a.wake(of.key)
		}
		return
	}
	a.keep(of, answer)
}

// runCheck runs a check's Job, or looks how it goes; nil while it runs.
func (s *sampler) runCheck(ctx context.Context, ro *v1alpha1.Rollout, check *v1alpha1.Check, d delivery.Measurement) *delivery.Sample {
	sample := &delivery.Sample{Check: d.Check, Step: d.Step, Revision: d.Revision, At: s.now(), Outcome: delivery.NoAnswer}
	run, err := checkRun(ro, check, d)
	var end *jobEnd
	if err == nil {
		end, err = s.jobs.run(ctx, run)
	}
	switch {
	case end != nil && end.complete:
		sample.Outcome = delivery.Completed
	case end != nil:
		sample.Outcome, sample.Message = delivery.Failed, end.message
	case errors.Is(err, errNotMade):
		sample.Message = oneLine(err.Error())
	case err != nil:
		sample.Message = "the API server did not say how its Job is"
	default:
		return nil
	}
	return sample
}
