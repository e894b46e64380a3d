package controllers

import (
	"context"
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// The policies that say who acts, and who may.
const (
	policyNames = "names.crossfade.dev"
	policyActs  = "acts.crossfade.dev"
)

// probeAction is the name under which the controller may create an action, in a
// dry-run only; under any other name the policy acts.crossfade.dev refuses it.
const probeAction = "crossfade-probe"

// policyKinds are the kinds of admission policies, with their bindings.
func policyKinds() []client.Object {
	return []client.Object{
		&admissionv1.MutatingAdmissionPolicy{}, &admissionv1.MutatingAdmissionPolicyBinding{},
		&admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{},
	}
}

// names says whether the API server vouches for who created an action in a
// namespace: two dry-runs prove it, once for each namespace after every change of a
// policy. What could not be asked is not known, and the next pass asks again.
func (p *prober) names(ctx context.Context, namespace string) delivery.Names {
	out, err := prove(p, p.vouched, namespace, func() (delivery.Names, error) { return p.probeNames(ctx, namespace) })
	if err != nil {
		return delivery.Names{Message: err.Error()}
	}
	return out
}

func (p *prober) probeNames(ctx context.Context, namespace string) (delivery.Names, error) {
	since, err := p.vouchingSince(ctx)
	if err != nil {
		return delivery.Names{}, err
	}
	if since.IsZero() {
		return unproven("are missing, or their bindings"), nil
	}
	// A forged name must come back as the controller's own.
	a := forged(namespace, probeAction)
	err = p.client.Create(ctx, a, client.DryRunAll, client.FieldOwner(fieldManager))
	if err != nil && strings.Contains(err.Error(), policyActs) {
		return unproven("do not write down who acts"), nil
	}
	if err != nil {
		return delivery.Names{}, fmt.Errorf("try an action in a dry-run: %w", err)
	}
	if by := a.Annotations[v1alpha1.AnnotationBy]; by == "" || by == forgedName {
		return unproven("do not write down who acts"), nil
	}
	// And the controller must not be able to act.
	err = p.client.Create(ctx, forged(namespace, probeAction+"-refused"), client.DryRunAll, client.FieldOwner(fieldManager))
	if err == nil {
		return unproven("do not ask who may act"), nil
	}
	if !strings.Contains(err.Error(), policyActs) {
		return delivery.Names{}, fmt.Errorf("try a refused action in a dry-run: %w", err)
	}
	return delivery.Names{Known: true, Kept: true, Since: since}, nil
}

// forgedName is a user who does not exist.
const forgedName = "crossfade:nobody"

func forged(namespace, name string) *v1alpha1.RolloutAction {
	a := &v1alpha1.RolloutAction{}
	a.Namespace, a.Name = namespace, name
	a.Annotations = map[string]string{v1alpha1.AnnotationBy: forgedName}
	a.Spec = v1alpha1.RolloutActionSpec{Rollout: "none", Action: v1alpha1.ActionPromote, Revision: "none"}
	return a
}

func unproven(what string) delivery.Names {
	return delivery.Names{Known: true, Message: fmt.Sprintf(
		"the admission policies %s and %s %s (they need Kubernetes 1.36): install config/policies and ask again, or use the annotations",
		policyNames, policyActs, what)}
}

// vouchingSince is when the policies began to act, zero when one of them is missing:
// an action that is not newer may have been written while nobody looked.
func (p *prober) vouchingSince(ctx context.Context) (time.Time, error) {
	var since time.Time
	for _, kind := range policyKinds() {
		name := policyActs
		switch kind.(type) {
		case *admissionv1.MutatingAdmissionPolicy, *admissionv1.MutatingAdmissionPolicyBinding:
			name = policyNames
		}
		err := p.client.Get(ctx, types.NamespacedName{Name: name}, kind)
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			return time.Time{}, nil
		}
		if err != nil {
			return time.Time{}, fmt.Errorf("get %s: %w", name, err)
		}
		if created := kind.GetCreationTimestamp().Add(settleTime); created.After(since) {
			since = created
		}
	}
	return since, nil
}
