package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossfade-dev/crossfade/delivery"
)

// stripBudget reduces a PodDisruptionBudget to its selector and its minAvailable,
// and one that does not count pods to its name: nothing of it is judged.
func stripBudget(obj any) (any, error) {
	pdb, ok := obj.(*policyv1.PodDisruptionBudget)
	if !ok {
		return obj, nil
	}
	out := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{
		Name: pdb.Name, Namespace: pdb.Namespace, UID: pdb.UID, ResourceVersion: pdb.ResourceVersion,
	}}
	if countsPods(pdb) {
		out.Spec = policyv1.PodDisruptionBudgetSpec{Selector: pdb.Spec.Selector, MinAvailable: pdb.Spec.MinAvailable}
	}
	return out, nil
}

// countsPods says that a budget keeps a number of pods, whatever revision they are
// of. A percentage and maxUnavailable are about all pods that there are, the
// canary's among them, so they keep about half of stable's.
func countsPods(pdb *policyv1.PodDisruptionBudget) bool {
	n := pdb.Spec.MinAvailable
	return n != nil && n.Type == intstr.Int && n.IntVal > 0
}

// budgetSelector is what a budget is about; one that cannot be read is about
// nothing.
func budgetSelector(pdb *policyv1.PodDisruptionBudget) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
	if err != nil {
		return labels.Nothing()
	}
	return selector
}

// budgets finds those that count pods of the Deployment.
func (o *observer) budgets(ctx context.Context, out *observed) error {
	if out.deployment == nil {
		return nil
	}
	list := &policyv1.PodDisruptionBudgetList{}
	if err := o.cache.List(ctx, list, client.InNamespace(out.Rollout.Namespace)); err != nil {
		return fmt.Errorf("list PodDisruptionBudgets: %w", err)
	}
	template := out.deployment.podLabels
	for i := range list.Items {
		pdb := &list.Items[i]
		if countsPods(pdb) && budgetSelector(pdb).Matches(template) {
			out.Budgets = append(out.Budgets, delivery.Budget{Name: pdb.Name, MinAvailable: pdb.Spec.MinAvailable.IntVal})
		}
	}
	slices.SortFunc(out.Budgets, func(a, b delivery.Budget) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// budget maps a PodDisruptionBudget to the Rollouts whose pods it counts.
func (m mapper) budget(ctx context.Context, o client.Object) []reconcile.Request {
	pdb, ok := o.(*policyv1.PodDisruptionBudget)
	if !ok || !countsPods(pdb) {
		return nil
	}
	return m.bySelector(ctx, pdb.Namespace, budgetSelector(pdb))
}
