package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// action maps a RolloutAction to its Rollout.
func (m mapper) action(_ context.Context, o client.Object) []reconcile.Request {
	a, ok := o.(*v1alpha1.RolloutAction)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: a.Namespace, Name: a.Spec.Rollout}}}
}

// asked reads what people have asked of a Rollout. As long as something is not
// answered it is read from the API server itself: a cache that is behind could show
// an action as new that was applied and answered, and whose record is forgotten.
func (o *observer) asked(ctx context.Context, out *observed) error {
	var err error
	if out.Asked, err = actionsOf(ctx, o.cache, keyOf(out.Rollout), client.MatchingFields{indexRollout: out.Rollout.Name}); err != nil {
		return err
	}
	if !slices.ContainsFunc(out.Asked, unanswered) {
		return nil
	}
	if out.Asked, err = actionsOf(ctx, o.live, keyOf(out.Rollout), client.MatchingFields{selectableRollout: out.Rollout.Name}); err != nil {
		return err
	}
	out.Names = o.prober.names(ctx, out.Rollout.Namespace)
	return nil
}

// selectableRollout is the field by which the API server selects RolloutActions.
const selectableRollout = "spec.rollout"

func actionsOf(ctx context.Context, reader client.Reader, key types.NamespacedName, of client.MatchingFields) ([]v1alpha1.RolloutAction, error) {
	list := &v1alpha1.RolloutActionList{}
	if err := reader.List(ctx, list, client.InNamespace(key.Namespace), of); err != nil {
		return nil, fmt.Errorf("list RolloutActions: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.RolloutAction) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	return list.Items, nil
}

func unanswered(a v1alpha1.RolloutAction) bool {
	return a.Status.Phase == "" && a.DeletionTimestamp.IsZero()
}

// answer writes what came of an action, if the Rollout is still the one that was
// judged: the lock on its status does not cover another object, and a cache that is
// behind could refuse what was applied. The Rollout owns the action from then on, so
// that it goes with it.
func (a *actor) answer(ctx context.Context, o *observed, action delivery.Action) error {
	judged := judgedAction(o, action.Object)
	if judged == nil {
		return nil
	}
	now := &v1alpha1.Rollout{}
	if err := a.live.Get(ctx, keyOf(o.Rollout), now); err != nil {
		return fmt.Errorf("get Rollout: %w", err)
	}
	if now.ResourceVersion != o.Rollout.ResourceVersion {
		return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("rollouts").GroupResource(), now.Name, errors.New("it has changed since it was judged"))
	}
	if len(judged.OwnerReferences) == 0 {
		next := judged.DeepCopy()
		next.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "Rollout", Name: o.Rollout.Name, UID: o.Rollout.UID,
		}}
		base := client.MergeFromWithOptions(judged, client.MergeFromWithOptimisticLock{})
		if err := a.client.Patch(ctx, next, base, client.FieldOwner(fieldManager)); err != nil {
			return client.IgnoreNotFound(err)
		}
		judged = next
	}
	return client.IgnoreNotFound(a.writeAnswer(ctx, judged, *action.Answer))
}

func (a *actor) writeAnswer(ctx context.Context, judged *v1alpha1.RolloutAction, status v1alpha1.RolloutActionStatus) error {
	next := judged.DeepCopy()
	next.Status = status
	return a.client.Status().Patch(ctx, next, client.MergeFromWithOptions(judged, client.MergeFromWithOptimisticLock{}), client.FieldOwner(fieldManager))
}

func (a *actor) deleteAction(ctx context.Context, o *observed, name string) error {
	judged := judgedAction(o, name)
	if judged == nil {
		return nil
	}
	return client.IgnoreNotFound(a.client.Delete(ctx, judged, client.Preconditions{UID: &judged.UID}))
}

func judgedAction(o *observed, name string) *v1alpha1.RolloutAction {
	for i := range o.Asked {
		if o.Asked[i].Name == name {
			return &o.Asked[i]
		}
	}
	return nil
}

// orphans answers actions on a Rollout that does not exist, and removes them in
// their time: nothing owns them.
func (l *rolloutLoop) orphans(ctx context.Context, key types.NamespacedName) (ctrl.Result, error) {
	actions, err := actionsOf(ctx, l.client, key, client.MatchingFields{indexRollout: key.Name})
	if err != nil || len(actions) == 0 {
		return ctrl.Result{}, err
	}
	// The action may have come to the caches before its Rollout.
	err = l.observer.live.Get(ctx, key, &v1alpha1.Rollout{})
	if !apierrors.IsNotFound(err) {
		return ctrl.Result{}, err
	}
	now := l.observer.now()
	for i := range actions {
		if !unanswered(actions[i]) {
			continue
		}
		at := metav1.NewMicroTime(now)
		message := fmt.Sprintf("there is no Rollout %s in namespace %s", key.Name, key.Namespace)
		answer := v1alpha1.RolloutActionStatus{Phase: v1alpha1.ActionRefused, Message: message, AppliedAt: &at}
		err := l.actor.writeAnswer(ctx, &actions[i], answer)
		if apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: conflictDelay}, nil
		}
		if client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, fmt.Errorf("answer RolloutAction %s: %w", actions[i].Name, err)
		}
		l.meters.beside.answered(&actions[i], &answer)
		l.events.Eventf(&actions[i], nil, corev1.EventTypeWarning, delivery.EventActionRefused, "Deliver", "%s", message)
	}
	gone, next := delivery.Expired(actions, now)
	for _, name := range gone {
		if err := l.actor.deleteAction(ctx, &observed{Observation: delivery.Observation{Asked: actions}}, name); err != nil {
			return ctrl.Result{}, fmt.Errorf("delete RolloutAction %s: %w", name, err)
		}
	}
	if next.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(now), time.Second)}, nil
}
