package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/delivery/schedule"
)

// readFreeze understands a Freeze and whom it is for. One whose selector cannot be
// read is for everybody: see schedule.Freeze.
func readFreeze(f *v1alpha1.Freeze) (schedule.Freeze, labels.Selector) {
	read := schedule.ReadFreeze(f)
	if f.Spec.NamespaceSelector == nil {
		return read, labels.Everything()
	}
	selector, err := metav1.LabelSelectorAsSelector(f.Spec.NamespaceSelector)
	if err != nil {
		read.Trouble = fmt.Sprintf("namespaceSelector: %v", err)
		return read, labels.Everything()
	}
	return read, selector
}

// schedules reads when the Rollout may go on: its own schedule, and the Freezes of
// its namespace.
func (o *observer) schedules(ctx context.Context, out *observed) error {
	if spec := out.Rollout.Spec.Schedule; spec != nil {
		read, err := schedule.Read(spec)
		if err != nil && out.Refused == nil {
			out.Refused = &delivery.Refusal{Reason: v1alpha1.ReasonInvalidSchedule, Message: err.Error()}
		}
		out.Schedule = read
	}
	freezes := &v1alpha1.FreezeList{}
	if err := o.cache.List(ctx, freezes); err != nil {
		return fmt.Errorf("list Freezes: %w", err)
	}
	if len(freezes.Items) == 0 {
		return nil
	}
	ns := &corev1.Namespace{}
	if err := o.cache.Get(ctx, types.NamespacedName{Name: out.Rollout.Namespace}, ns); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get Namespace: %w", err)
	}
	for i := range freezes.Items {
		if read, selector := readFreeze(&freezes.Items[i]); selector.Matches(labels.Set(ns.Labels)) {
			out.Freezes = append(out.Freezes, read)
		}
	}
	slices.SortFunc(out.Freezes, func(a, b schedule.Freeze) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// freeze maps a Freeze to the Rollouts that it may hold or have held.
func (m mapper) freeze(ctx context.Context, _ client.Object) []reconcile.Request {
	return m.active(ctx, "")
}

// namespace maps a Namespace, whose labels Freezes select, to its Rollouts that are
// on their way.
func (m mapper) namespace(ctx context.Context, o client.Object) []reconcile.Request {
	return m.active(ctx, o.GetName())
}

// freezeStatuses tells in each Freeze whether it holds.
type freezeStatuses struct {
	client client.Client
	now    func() time.Time
}

// setupFreezes wires the statuses of Freezes.
func setupFreezes(mgr ctrl.Manager, now func() time.Time) error {
	s := &freezeStatuses{client: mgr.GetClient(), now: now}
	if err := ctrl.NewControllerManagedBy(mgr).Named("freeze").For(&v1alpha1.Freeze{}).Complete(s); err != nil {
		return fmt.Errorf("set up statuses of Freezes: %w", err)
	}
	return nil
}

// Reconcile brings the status of one Freeze up to date, and comes back when it begins
// or ends.
func (s *freezeStatuses) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	f := &v1alpha1.Freeze{}
	if err := s.client.Get(ctx, req.NamespacedName, f); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	now := s.now()
	next := f.DeepCopy()
	changes := freezeStatus(next, now)
	result := ctrl.Result{}
	if !changes.IsZero() {
		result.RequeueAfter = max(changes.Sub(now), conflictDelay)
	}
	if equality.Semantic.DeepEqual(f.Status, next.Status) {
		return result, nil
	}
	err := s.client.Status().Patch(ctx, next, client.MergeFromWithOptions(f, client.MergeFromWithOptimisticLock{}), client.FieldOwner(fieldManager))
	switch {
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, nil
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: conflictDelay}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("patch status of Freeze: %w", err)
	}
	return result, nil
}

// freezeStatus writes the status that a Freeze has at a time, and says when it
// changes next; zero when it does not by itself.
func freezeStatus(f *v1alpha1.Freeze, now time.Time) time.Time {
	read, _ := readFreeze(f)
	active, changes := read.Active(now), read.Changes(now)
	f.Status.ObservedGeneration = f.Generation
	f.Status.Namespaces = "all"
	if f.Spec.NamespaceSelector != nil && read.Trouble == "" && !labelsNothing(f.Spec.NamespaceSelector) {
		f.Status.Namespaces = metav1.FormatLabelSelector(f.Spec.NamespaceSelector)
	}
	f.Status.Until = nil
	if !changes.IsZero() {
		f.Status.Until = &metav1.Time{Time: changes}
	}
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted, Message: "understood"}
	if read.Trouble != "" {
		ready.Status, ready.Reason = metav1.ConditionFalse, v1alpha1.ReasonInvalidSchedule
		ready.Message = read.Trouble + "; until that is mended, it holds"
	}
	holds := metav1.Condition{Type: v1alpha1.ConditionActive, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonPending, Message: "deliveries go on"}
	switch {
	case active:
		holds.Status, holds.Reason, holds.Message = metav1.ConditionTrue, v1alpha1.ReasonFrozen, "deliveries wait"
	case changes.IsZero():
		holds.Reason = v1alpha1.ReasonOver
	}
	wanted := []metav1.Condition{ready, holds}
	for i := range wanted {
		wanted[i].ObservedGeneration = f.Generation
	}
	f.Status.Conditions = mergeConditions(f.Status.Conditions, wanted, now)
	return changes
}

func labelsNothing(s *metav1.LabelSelector) bool {
	return len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0
}
