package controllers

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Indexes of the caches.
const (
	// indexWorkload finds Rollouts, ReplicaSets and HPAs by their Deployment.
	indexWorkload = "crossfade.workload"
	// indexService finds Rollouts by the Service whose requests they shift.
	indexService = "crossfade.service"
	// indexTemplate finds Rollouts by the templates of their checks.
	indexTemplate = "crossfade.template"
	// indexRevision finds pods by their pod-template-hash.
	indexRevision = "crossfade.revision"
	// indexRollout finds RolloutActions by their Rollout.
	indexRollout = "crossfade.rollout"
)

// addIndexes tells the caches how objects are looked up.
func addIndexes(ctx context.Context, caches cache.Cache) error {
	for _, index := range []struct {
		of    client.Object
		field string
		value client.IndexerFunc
	}{
		{&v1alpha1.Rollout{}, indexWorkload, rolloutNames(func(ro *v1alpha1.Rollout) []string {
			return []string{ro.Spec.WorkloadRef.Name, workloadName(ro)}
		})},
		{&v1alpha1.Rollout{}, indexService, rolloutNames(func(ro *v1alpha1.Rollout) []string {
			return []string{ro.Spec.ServiceRef.Name, serviceName(ro)}
		})},
		{workloadObject(replicaSetKind), indexWorkload, func(o client.Object) []string {
			name, ok := deploymentOfReplicaSet(o)
			return only(name, ok)
		}},
		{&autoscalingv2.HorizontalPodAutoscaler{}, indexWorkload, func(o client.Object) []string {
			hpa, ok := o.(*autoscalingv2.HorizontalPodAutoscaler)
			return only(hpa.Spec.ScaleTargetRef.Name, ok && hpa.Spec.ScaleTargetRef.Kind == deploymentKind.Kind)
		}},
		{&v1alpha1.RolloutAction{}, indexRollout, func(o client.Object) []string {
			a, ok := o.(*v1alpha1.RolloutAction)
			return only(a.Spec.Rollout, ok)
		}},
		{&corev1.Pod{}, indexRevision, func(o client.Object) []string {
			hash, ok := o.GetLabels()[appsv1.DefaultDeploymentUniqueLabelKey]
			return only(hash, ok)
		}},
	} {
		if err := addNamespacedIndex(ctx, caches, index.of, index.field, index.value); err != nil {
			return fmt.Errorf("index %T by %s: %w", index.of, index.field, err)
		}
	}
	// Who uses a ClusterAnalysisTemplate may be in any namespace.
	if err := caches.IndexField(ctx, &v1alpha1.Rollout{}, indexTemplate, templateNames); err != nil {
		return fmt.Errorf("index Rollouts by %s: %w", indexTemplate, err)
	}
	return nil
}

// addNamespacedIndex adds an index that is asked within one namespace only.
// IndexField would hold each value a second time, for all namespaces: a set of
// objects more for every pod, ReplicaSet and Rollout. The names here are those by
// which the cache's List looks for an index and its value; it refuses to list if
// they are others one day.
func addNamespacedIndex(ctx context.Context, caches cache.Informers, of client.Object, field string, value client.IndexerFunc) error {
	informer, err := caches.GetInformer(ctx, of)
	if err != nil {
		return err
	}
	return informer.AddIndexers(toolscache.Indexers{"field:" + field: func(raw any) ([]string, error) {
		o, ok := raw.(client.Object)
		if !ok {
			return nil, nil
		}
		keys := value(o)
		for i, key := range keys {
			keys[i] = o.GetNamespace() + "/" + key
		}
		return keys, nil
	}})
}

// rolloutNames indexes a Rollout by the name that its spec says and the one that
// its record still holds.
func rolloutNames(names func(*v1alpha1.Rollout) []string) client.IndexerFunc {
	return func(o client.Object) []string {
		ro, ok := o.(*v1alpha1.Rollout)
		if !ok {
			return nil
		}
		both := names(ro)
		if both[0] == both[1] {
			return both[:1]
		}
		return both
	}
}

// templateNames indexes a Rollout by the templates that its checks name.
func templateNames(o client.Object) []string {
	ro, ok := o.(*v1alpha1.Rollout)
	if !ok || ro.Spec.Analysis == nil {
		return nil
	}
	var out []string
	for _, c := range ro.Spec.Analysis.Checks {
		if c.TemplateRef == nil {
			continue
		}
		kind := v1alpha1.KindAnalysisTemplate
		if c.TemplateRef.Kind != "" {
			kind = c.TemplateRef.Kind
		}
		if name := kind + "/" + c.TemplateRef.Name; !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func only(value string, ok bool) []string {
	if !ok {
		return nil
	}
	return []string{value}
}
