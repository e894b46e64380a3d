package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// conflictDelay is how long a pass waits after it was told that it had judged
// something stale. The cache has usually caught up by then, and its event wakes
// the Rollout before.
const conflictDelay = 200 * time.Millisecond

// rolloutLoop observes, lets package delivery decide, and acts.
type rolloutLoop struct {
	client   client.Client
	observer *observer
	actor    *actor
	besides
	prober *prober
	events events.EventRecorder
	meters *meters
	// process lives as long as the controller does; measurements outlive the pass
	// that asked for them.
	process context.Context
}

// besides is what goes on beside the loop: its answers are observed in a later pass.
type besides struct {
	samples *sampler
	notices *notifier
	hooks   *asker
	jobs    *jobs
}

// forget drops a Rollout that is gone.
func (b besides) forget(key types.NamespacedName) {
	b.samples.forget(key)
	b.notices.forget(key)
	b.hooks.forget(key)
	b.hooks.refused.forget(key)
}

// Reconcile makes one pass over one Rollout.
func (l *rolloutLoop) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ro := &v1alpha1.Rollout{}
	if err := l.client.Get(ctx, req.NamespacedName, ro); err != nil {
		if apierrors.IsNotFound(err) {
			l.meters.forget(req.NamespacedName)
			l.observer.parser.forget(req.NamespacedName)
			l.observer.advice.forget(req.NamespacedName)
			l.observer.matches.forget(req.NamespacedName)
			l.forget(req.NamespacedName)
			return l.orphans(ctx, req.NamespacedName)
		}
		return ctrl.Result{}, err
	}
	seen, err := l.observer.observe(ctx, ro)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observe: %w", err)
	}
	plan := delivery.Decide(seen.Observation)
	if err := l.carryOut(ctx, seen, plan); err != nil {
		if apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: conflictDelay}, nil
		}
		return ctrl.Result{}, err
	}
	l.meters.observe(ro, plan, seen.Observation)
	return l.next(seen, plan), nil
}

// carryOut goes through a plan in its order.
func (l *rolloutLoop) carryOut(ctx context.Context, seen *observed, plan delivery.Plan) error {
	ro := seen.Rollout
	if err := l.writeStatus(ctx, ro, plan.Status); err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	l.samples.seen(ro, seen.Samples)
	l.notices.seen(ro, seen.Told)
	l.hooks.seen(ro, seen.HookAnswers)
	l.meters.beside.answers(seen)
	l.tell(ro, plan.Events...)
	l.notices.send(l.process, ro, plan.Status.Notices)
	for _, action := range plan.Actions {
		if err := l.actor.act(ctx, seen, action); err != nil {
			return err
		}
		if a := judgedAction(seen, action.Object); a != nil && action.Answer != nil {
			l.meters.beside.answered(a, action.Answer)
		}
		if action.Tells != nil {
			l.tell(ro, *action.Tells)
		}
		log.FromContext(ctx).Info("Acted", "action", action.Kind, "object", action.Object, "why", action.Why)
	}
	l.samples.ask(l.process, ro, seen.questions, plan.Measure)
	l.hooks.ask(l.process, ro, plan.Hooks)
	if err := l.jobs.tidy(ctx, ro, wantedJobs(ro, &plan.Status)); err != nil {
		return fmt.Errorf("tidy up Jobs: %w", err)
	}
	return nil
}

// writeStatus writes the status if it differs, under an optimistic lock.
func (l *rolloutLoop) writeStatus(ctx context.Context, ro *v1alpha1.Rollout, status v1alpha1.RolloutStatus) error {
	if equality.Semantic.DeepEqual(ro.Status, status) {
		return nil
	}
	next := ro.DeepCopy()
	next.Status = status
	base := client.MergeFromWithOptions(ro, client.MergeFromWithOptimisticLock{})
	if err := l.client.Status().Patch(ctx, next, base, client.FieldOwner(fieldManager)); err != nil {
		return err
	}
	if before, after := stageOf(ro.Status), stageOf(status); before != after {
		log.FromContext(ctx).Info("Entered stage", "stage", after, "message", status.Message)
	}
	ro.ResourceVersion = next.ResourceVersion
	return nil
}

func stageOf(s v1alpha1.RolloutStatus) v1alpha1.Stage {
	if s.Record == nil {
		return ""
	}
	return s.Record.Stage
}

// tell records events about what is written.
func (l *rolloutLoop) tell(ro *v1alpha1.Rollout, list ...delivery.Event) {
	for _, e := range list {
		kind := corev1.EventTypeNormal
		if e.Warning {
			kind = corev1.EventTypeWarning
		}
		l.events.Eventf(ro, nil, kind, e.Reason, "Deliver", "%s", e.Message)
	}
}

// next says when time alone may change the decision.
func (l *rolloutLoop) next(seen *observed, plan delivery.Plan) ctrl.Result {
	at := plan.RequeueAt
	// An adopted Rollout goes by the last proof until the changed policies have settled: then it has to look again.
	pending := slices.ContainsFunc(seen.Asked, unanswered) && !seen.Names.Known
	if (!seen.Policies.Known || !l.prober.proven() || pending) && seen.Deployment != nil && seen.Service != nil {
		if due := l.prober.due(); at.IsZero() || due.Before(at) {
			at = due
		}
	}
	if at.IsZero() {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: max(at.Sub(seen.Now), conflictDelay)}
}
