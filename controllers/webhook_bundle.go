package controllers

import (
	"bytes"
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// builderPredicate selects which objects wake a loop.
func builderPredicate(selects func(client.Object) bool) builder.ForOption {
	return builder.WithPredicates(predicate.NewPredicateFuncs(selects))
}

// webhookBundle keeps the roots in our webhook configuration those of the
// certificate that the webhook shows.
type webhookBundle struct {
	client      client.Client
	certificate servingCertificate
}

// Reconcile writes caBundle where it differs. A configuration that is not there
// is not made: who takes it away wants no injection.
func (l *webhookBundle) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	bundle := l.certificate.Bundle()
	if len(bundle) == 0 {
		return ctrl.Result{}, nil // A signal follows.
	}
	before := &admissionv1.MutatingWebhookConfiguration{}
	if err := l.client.Get(ctx, request.NamespacedName, before); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	after, changed := before.DeepCopy(), false
	for i := range after.Webhooks {
		if c := &after.Webhooks[i].ClientConfig; !bytes.Equal(c.CABundle, bundle) {
			c.CABundle, changed = bundle, true
		}
	}
	if !changed {
		return ctrl.Result{}, nil
	}
	// With the version that was read: the list of webhooks is written whole, and
	// must not undo what somebody else changes in it.
	if err := l.client.Patch(ctx, after, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return ctrl.Result{}, fmt.Errorf("write caBundle: %w", err)
	}
	log.FromContext(ctx).Info("Wrote the roots by which the API server knows the webhook", "configuration", webhookName)
	return ctrl.Result{}, nil
}
