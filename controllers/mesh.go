package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// publisher hands resources to the proxies.
type publisher interface {
	Publish(view string, snapshot *xds.Snapshot)
	// Reassign makes proxies that have got another view come back for it.
	Reassign()
}

// meshLoop keeps what the proxies should do in step with the cluster. Each pass
// builds the whole world: what is published follows from what is there, never
// from the order in which events came.
type meshLoop struct {
	cache    client.Reader
	options  proxy.Options
	publish  publisher
	world    *world
	statuses *gatewayStatuses
	policies *policyStatuses
	// last is what was published last; what has not changed is taken from it.
	last *xds.World
	// wake tells Rollouts that what is published for them has changed.
	wake func(types.NamespacedName)
}

// Reconcile builds and publishes the world. Its request is always the same one,
// so that events that come meanwhile merge into one more pass.
func (l *meshLoop) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	in, err := l.gather(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	out := proxy.Build(in)
	l.last = xds.Options{WithoutGRPC: !l.world.views.hasGRPC.Load()}.Translate(l.last, out.Config)
	for _, problem := range l.last.Problems {
		log.FromContext(ctx).Info("Left out what a proxy would refuse", "problem", problem)
	}
	for view, snapshot := range l.last.Snapshots {
		l.publish.Publish(view, snapshot)
	}
	if l.world.views.set(out.Sidecars, out.Config.Sidecars) {
		l.publish.Reassign()
	}
	for _, key := range l.world.published(in.Rollouts, out) {
		l.wake(key)
	}
	l.policies.published(out.MeshPolicies)
	if err := l.statuses.write(ctx, in, out); err != nil {
		return ctrl.Result{}, fmt.Errorf("write Gateway API statuses: %w", err)
	}
	return ctrl.Result{}, nil
}

// gather lists what Build needs. The objects are the caches' own: nothing here
// or behind it may change them, and copying a cluster's pods for every change of
// one of them would cost more than all the rest.
func (l *meshLoop) gather(ctx context.Context) (proxy.Input, error) {
	in := proxy.Input{Options: l.options}
	lists := []struct {
		into client.ObjectList
		take func(runtime.Object)
	}{
		{&v1alpha1.RolloutList{}, func(o runtime.Object) { in.Rollouts = pointers(o.(*v1alpha1.RolloutList).Items) }},
		{&v1alpha1.MeshPolicyList{}, func(o runtime.Object) { in.MeshPolicies = pointers(o.(*v1alpha1.MeshPolicyList).Items) }},
		{&corev1.ServiceList{}, func(o runtime.Object) { in.Services = pointers(o.(*corev1.ServiceList).Items) }},
		{&corev1.PodList{}, func(o runtime.Object) { in.Pods = pointers(o.(*corev1.PodList).Items) }},
		{&corev1.NamespaceList{}, func(o runtime.Object) { in.Namespaces = pointers(o.(*corev1.NamespaceList).Items) }},
		{&gatewayv1.GatewayClassList{}, func(o runtime.Object) { in.GatewayClasses = pointers(o.(*gatewayv1.GatewayClassList).Items) }},
		{&gatewayv1.GatewayList{}, func(o runtime.Object) { in.Gateways = pointers(o.(*gatewayv1.GatewayList).Items) }},
		{&gatewayv1.HTTPRouteList{}, func(o runtime.Object) { in.HTTPRoutes = pointers(o.(*gatewayv1.HTTPRouteList).Items) }},
		{&gatewayv1.ReferenceGrantList{}, func(o runtime.Object) { in.ReferenceGrants = pointers(o.(*gatewayv1.ReferenceGrantList).Items) }},
	}
	for _, list := range lists {
		if err := l.cache.List(ctx, list.into, client.UnsafeDisableDeepCopy); err != nil {
			return proxy.Input{}, fmt.Errorf("list %T: %w", list.into, err)
		}
		list.take(list.into)
	}
	return in, nil
}

func pointers[T any](items []T) []*T {
	out := make([]*T, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	return out
}
