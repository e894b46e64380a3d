package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/inject"
)

// trustLoop gives every namespace with proxies a ConfigMap with the roots to
// believe, from which pods verify the controller before they send it their token.
// It leaves the ConfigMap of a namespace that has no proxies any more: roots are no
// secret, and a pod that is on its way would wait for it.
type trustLoop struct {
	cache     client.Reader
	client    client.Client
	authority *Authority
	// system is the control plane's own namespace, where gateways run.
	system string
}

// Reconcile brings the ConfigMap of one namespace up to date.
func (l *trustLoop) Reconcile(ctx context.Context, r ctrl.Request) (ctrl.Result, error) {
	bundle := l.authority.Bundle()
	if len(bundle) == 0 {
		return ctrl.Result{}, nil // All namespaces are looked at again when the root is known.
	}
	namespace := &corev1.Namespace{}
	if err := l.cache.Get(ctx, types.NamespacedName{Name: r.Name}, namespace); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	found := &corev1.ConfigMap{}
	err := l.cache.Get(ctx, types.NamespacedName{Namespace: r.Name, Name: inject.Trust}, found)
	switch {
	case err == nil && found.Data[inject.TrustKey] == string(bundle), namespace.DeletionTimestamp != nil:
		return ctrl.Result{}, nil
	case err == nil:
		patch := client.MergeFrom(found.DeepCopy())
		found.Data = map[string]string{inject.TrustKey: string(bundle)}
		if err := l.client.Patch(ctx, found, patch); err != nil {
			return ctrl.Result{}, fmt.Errorf("patch trust bundle: %w", client.IgnoreNotFound(err))
		}
		return ctrl.Result{}, nil
	case !apierrors.IsNotFound(err):
		return ctrl.Result{}, fmt.Errorf("get trust bundle: %w", err)
	}
	if needed, err := l.needed(ctx, namespace); err != nil || !needed {
		return ctrl.Result{}, err
	}
	made := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Name, Name: inject.Trust, Labels: partOf()},
		Data:       map[string]string{inject.TrustKey: string(bundle)},
	}
	if err := l.client.Create(ctx, made); err != nil {
		return ctrl.Result{}, fmt.Errorf("create trust bundle: %w", err)
	}
	return ctrl.Result{}, nil
}

// needed says whether pods of a namespace may mount the bundle. Where Istio reads
// the label instead of us, it does no harm.
func (l *trustLoop) needed(ctx context.Context, namespace *corev1.Namespace) (bool, error) {
	if namespace.Name == l.system || inject.NamespaceMeshed(namespace.Labels, false) {
		return true, nil
	}
	pods := &corev1.PodList{}
	if err := l.cache.List(ctx, pods, client.InNamespace(namespace.Name), client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("list pods: %w", err)
	}
	for i := range pods.Items {
		if ofMesh(&pods.Items[i]) {
			return true, nil
		}
	}
	return false, nil
}

// ofMesh says whether a pod has, or asks for, a proxy.
func ofMesh(pod client.Object) bool {
	return inject.PodMeshed(pod.GetLabels()) || pod.GetLabels()[v1alpha1.LabelProxy] != ""
}

// published says whether every ConfigMap that is needed holds this bundle.
func (l *trustLoop) published(ctx context.Context, bundle []byte) (bool, error) {
	namespaces, bundles := &corev1.NamespaceList{}, &corev1.ConfigMapList{}
	if err := l.cache.List(ctx, namespaces, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("list namespaces: %w", err)
	}
	if err := l.cache.List(ctx, bundles, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("list trust bundles: %w", err)
	}
	has := map[string]bool{}
	for i := range bundles.Items {
		has[bundles.Items[i].Namespace] = bundles.Items[i].Data[inject.TrustKey] == string(bundle)
	}
	for i := range namespaces.Items {
		n := &namespaces.Items[i]
		current, exists := has[n.Name]
		if current || n.DeletionTimestamp != nil {
			continue
		}
		needed, err := l.needed(ctx, n)
		if err != nil || exists || needed {
			return false, err
		}
	}
	return true, nil
}

// setupBundles looks at a namespace when it, its bundle or its proxies change, and
// at all of them when the roots do.
func setupBundles(mgr ctrl.Manager, l *trustLoop) error {
	changed := make(chan event.GenericEvent)
	if err := mgr.Add(trustPump{authority: l.authority, cache: l.cache, out: changed}); err != nil {
		return fmt.Errorf("add bundle pump: %w", err)
	}
	ofNamespace := func(_ context.Context, o client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: o.GetNamespace()}}}
	}
	return ctrl.NewControllerManagedBy(mgr).Named("trust").
		For(&corev1.Namespace{}).
		Watches(&corev1.ConfigMap{}, on(ofNamespace)).
		Watches(&corev1.Pod{}, on(func(ctx context.Context, o client.Object) []reconcile.Request {
			if !ofMesh(o) {
				return nil
			}
			return ofNamespace(ctx, o)
		})).
		WatchesRawSource(source.Channel(changed, &handler.EnqueueRequestForObject{})).
		Complete(l)
}

// trustPump wakes all namespaces when the roots have changed.
type trustPump struct {
	authority *Authority
	cache     client.Reader
	out       chan<- event.GenericEvent
}

// Start runs until ctx ends.
func (p trustPump) Start(ctx context.Context) error {
	changed, cancel := p.authority.Subscribe()
	defer cancel()
	for {
		namespaces := &corev1.NamespaceList{}
		if err := p.cache.List(ctx, namespaces, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("list namespaces: %w", err)
		}
		for i := range namespaces.Items {
			select {
			case p.out <- event.GenericEvent{Object: &namespaces.Items[i]}:
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
