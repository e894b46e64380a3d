package steer

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

// older asks a controller that does not know RolloutActions yet: by the annotations
// and the field that it has for some of them.
func (a *action) older(ctx context.Context, client dynamic.Interface, r *v1alpha1.Rollout, revision string) error {
	patch := before(r, a.kind, revision)
	if patch == nil {
		return fmt.Errorf("this cluster's Crossfade is too old for %s: it has no RolloutActions; upgrade it (docs/operate.md#upgrade)", a.kind)
	}
	// The object that was looked at, or none.
	patch["metadata"] = merge(patch["metadata"], map[string]any{"resourceVersion": r.ResourceVersion})
	raw, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("encode the patch: %w", err)
	}
	if _, err := client.Resource(session.Rollouts).Namespace(r.Namespace).Patch(ctx, r.Name, types.MergePatchType, raw, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("patch Rollout %s: %w", r.Name, err)
	}
	if a.reason != "" {
		fmt.Fprintln(a.ErrOut, "warning: this cluster's Crossfade keeps no reasons: it has no RolloutActions yet")
	}
	fmt.Fprintf(a.Out, "rollout %s: %s of revision %s asked for; this cluster's Crossfade does not answer, look with: kubectl crossfade get %s -n %s\n", r.Name, a.kind, revision, r.Name, r.Namespace)
	return nil
}

// before is how an action was asked for before there were RolloutActions; nil where
// it could not be.
func before(r *v1alpha1.Rollout, kind v1alpha1.ActionKind, revision string) map[string]any {
	annotate := func(key, value string) map[string]any {
		return map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value}}}
	}
	switch kind {
	case v1alpha1.ActionPromote:
		return annotate(v1alpha1.AnnotationPromote, fmt.Sprintf("%s/%d", revision, r.Status.Record.Step))
	case v1alpha1.ActionRetry:
		return annotate(v1alpha1.AnnotationRetry, fmt.Sprintf("%s/%d", revision, r.Status.Record.Attempt+1))
	case v1alpha1.ActionPause:
		return map[string]any{"spec": map[string]any{"paused": true}}
	case v1alpha1.ActionResume:
		return map[string]any{"spec": map[string]any{"paused": false}}
	case v1alpha1.ActionPromoteFull, v1alpha1.ActionAbort, v1alpha1.ActionOverride:
	}
	return nil
}

func merge(into any, more map[string]any) map[string]any {
	m, _ := into.(map[string]any)
	if m == nil {
		m = map[string]any{}
	}
	for key, value := range more {
		m[key] = value
	}
	return m
}
