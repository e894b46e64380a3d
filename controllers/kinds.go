package controllers

import (
	"context"
	"fmt"
	"net/http"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// watch is a kind, and which Rollouts an object of it wakes.
type watch struct {
	kind  client.Object
	wakes func(context.Context, client.Object) []reconcile.Request
}

// watches are the kinds that an Observation is made of, but for the policies, which
// an older cluster does not have.
func (m mapper) watches() []watch {
	return []watch{
		{&v1alpha1.Rollout{}, m.rollout},
		{&v1alpha1.RolloutAction{}, m.action},
		{workloadObject(deploymentKind), m.deployment},
		{workloadObject(replicaSetKind), m.replicaSet},
		{&appsv1.ControllerRevision{}, m.holder},
		{&corev1.Pod{}, m.pods},
		{&corev1.Service{}, m.service},
		{&discoveryv1.EndpointSlice{}, m.slice},
		{&autoscalingv2.HorizontalPodAutoscaler{}, m.autoscaler},
		{&policyv1.PodDisruptionBudget{}, m.budget},
		{&v1alpha1.AnalysisTemplate{}, m.template},
		{&v1alpha1.ClusterAnalysisTemplate{}, m.clusterTemplate},
		{&v1alpha1.Freeze{}, m.freeze},
		{&batchv1.Job{}, m.job},
		{&corev1.Namespace{}, m.namespace},
	}
}

// meshKinds are the kinds that the proxies' configuration is made of.
func meshKinds() []client.Object {
	return []client.Object{
		&v1alpha1.Rollout{}, &v1alpha1.MeshPolicy{}, &corev1.Service{}, &corev1.Pod{}, &corev1.Namespace{},
		&gatewayv1.GatewayClass{}, &gatewayv1.Gateway{}, &gatewayv1.HTTPRoute{}, &gatewayv1.ReferenceGrant{},
	}
}

// watchedKinds are all of them.
func watchedKinds() []client.Object {
	kinds := meshKinds()
	for _, w := range (mapper{}).watches() {
		kinds = append(kinds, w.kind)
	}
	return kinds
}

// cachesFilled is the readiness of a replica that can decide, and one that stands by,
// which fills its caches as well. The informers are asked for each time: those of a
// kind that the cluster does not know yet, because its CRD comes later, can only be
// made then.
func cachesFilled(informers cache.Informers, kinds []client.Object) healthz.Checker {
	return func(r *http.Request) error {
		for _, kind := range kinds {
			name := kind.GetObjectKind().GroupVersionKind().Kind
			if name == "" {
				name = fmt.Sprintf("%T", kind)
			}
			informer, err := informers.GetInformer(r.Context(), kind, cache.BlockUntilSynced(false))
			if err != nil {
				return fmt.Errorf("watch %s: %w", name, err)
			}
			if !informer.HasSynced() {
				return fmt.Errorf("the cache of %s is not filled yet", name)
			}
		}
		return nil
	}
}
