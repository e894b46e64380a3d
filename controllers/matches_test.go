package controllers

import (
	"testing"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

func TestMatchesOfAGeneration(t *testing.T) {
	bad := "("
	m := newPerGeneration(invalidMatch)
	ro := &v1alpha1.Rollout{}
	ro.Name, ro.UID, ro.Generation = "web", "u1", 1
	ro.Spec.Strategy.BlueGreen = &v1alpha1.BlueGreen{Preview: &v1alpha1.Preview{Match: []v1alpha1.RequestMatch{
		{Cookies: []v1alpha1.ValueMatch{{Name: "beta", Type: v1alpha1.MatchRegex, Value: &bad}}},
	}}}
	first := m.of(ro)
	if first == nil || m.of(ro) != first {
		t.Fatalf("the same generation was compared again, or not at all: %+v", first)
	}
	*ro.Spec.Strategy.BlueGreen.Preview.Match[0].Cookies[0].Value = "1"
	ro.Generation = 2
	if got := m.of(ro); got != nil {
		t.Errorf("the mended generation is refused: %s", got.Message)
	}
	m.forget(keyOf(ro))
	if len(m.known) != 0 {
		t.Error("a Rollout that is gone is remembered")
	}
}
