package controllers

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
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
func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
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
		{&v1alpha1.Rollout{}, indexTemplate, templateNames},
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
		if err := indexer.IndexField(ctx, index.of, index.field, index.value); err != nil {
			return fmt.Errorf("index %T by %s: %w", index.of, index.field, err)
		}
	}
	return nil
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
