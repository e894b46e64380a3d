package controllers

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// TestRolloutWakesWhoWaitsForIt: of two Rollouts on one object the later one waits,
// and nothing else would wake it when the first has let go.
func TestRolloutWakesWhoWaitsForIt(t *testing.T) {
	rollout := func(name, deployment, service string) *v1alpha1.Rollout {
		return &v1alpha1.Rollout{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
			Spec: v1alpha1.RolloutSpec{
				WorkloadRef: v1alpha1.WorkloadRef{Name: deployment}, ServiceRef: v1alpha1.ServiceRef{Name: service},
			},
		}
	}
	moved := rollout("first", "api", "api-lb")
	moved.Status.Record = &v1alpha1.Record{Workload: "web", Service: "web-lb"}
	cases := map[string]struct {
		reason string
		of     *v1alpha1.Rollout
		want   []string
	}{
		"same Deployment":    {"it may start when the first goes", rollout("first", "web", "x"), []string{"on-web"}},
		"same Service":       {"it may start when the first goes", rollout("first", "x", "web-lb"), []string{"on-web-lb"}},
		"nothing in common":  {"nobody waits", rollout("first", "x", "x"), nil},
		"references changed": {"what its record holds is let go last", moved, []string{"on-api", "on-web", "on-web-lb"}},
	}
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := fake.NewClientBuilder().WithScheme(scheme).
				WithObjects(tc.of, rollout("on-web", "web", "own"), rollout("on-web-lb", "own", "web-lb"), rollout("on-api", "api", "other")).
				WithIndex(&v1alpha1.Rollout{}, indexWorkload, rolloutNames(func(ro *v1alpha1.Rollout) []string {
					return []string{ro.Spec.WorkloadRef.Name, workloadName(ro)}
				})).
				WithIndex(&v1alpha1.Rollout{}, indexService, rolloutNames(func(ro *v1alpha1.Rollout) []string {
					return []string{ro.Spec.ServiceRef.Name, serviceName(ro)}
				})).Build()
			var got []string
			for _, r := range (mapper{cache: c}).rollout(t.Context(), tc.of) {
				got = append(got, r.Name)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, slices.Compact(got)); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}
