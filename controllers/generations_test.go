package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery/advice"
)

// TestPerGeneration: the rules are asked again when the spec has changed, and only then.
func TestPerGeneration(t *testing.T) {
	a := newPerGeneration(advice.Codes)
	half := int32(50)
	ro := &v1alpha1.Rollout{Spec: v1alpha1.RolloutSpec{Strategy: v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: []v1alpha1.Step{{Weight: &half}}}}}}
	ro.Name, ro.Namespace, ro.UID, ro.Generation = "payments", "shop", "1", 1
	if diff := cmp.Diff([]string{"XF0101"}, a.of(ro)); diff != "" {
		t.Errorf("a Rollout without checks (-want +got):\n%s", diff)
	}
	none := int32(0)
	ro.Spec.ScaleDownDelaySeconds = &none
	if diff := cmp.Diff([]string{"XF0101"}, a.of(ro)); diff != "" {
		t.Errorf("the same generation was asked about again (-want +got):\n%s", diff)
	}
	ro.Generation = 2
	if diff := cmp.Diff([]string{"XF0101", "XF0105"}, a.of(ro)); diff != "" {
		t.Errorf("the next generation (-want +got):\n%s", diff)
	}
	a.forget(keyOf(ro))
	if len(a.known) > 0 {
		t.Error("what is known of a Rollout that is gone is kept")
	}
}
