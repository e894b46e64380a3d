package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/policy"
)

func TestConditions(t *testing.T) {
	both := timeout(3)
	both.Retries = &v1alpha1.RetryPolicy{}
	const (
		fine = "True Accepted: every target is there"
		none = "False NoConflict: no older policy sets the same for the same target"
	)
	cases := map[string]struct {
		reason   string
		policies []*v1alpha1.MeshPolicy
		overlaps []policy.Conflict
		// want are the conditions Accepted and Conflicted of each policy.
		want map[string][2]string
	}{
		"alone": {policies: []*v1alpha1.MeshPolicy{made("a", 1, timeout(3), "web")}, want: map[string][2]string{"a": {fine, none}}},
		"namespace": {
			reason: "it needs no Service", policies: []*v1alpha1.MeshPolicy{made("a", 1, timeout(3))}, want: map[string][2]string{"a": {fine, none}},
		},
		"no such Service": {
			policies: []*v1alpha1.MeshPolicy{made("a", 1, timeout(3), "pay")},
			want: map[string][2]string{"a": {
				"False TargetNotFound: namespace shop has no Service with a selector named pay: create it, or correct targetRefs", none,
			}},
		},
		"one of two": {
			policies: []*v1alpha1.MeshPolicy{made("a", 1, timeout(3), "pay", "web")},
			want: map[string][2]string{"a": {
				"False TargetNotFound: namespace shop has no Service with a selector named pay: create it, or correct targetRefs; for the other targets the policy holds", none,
			}},
		},
		"different levels": {
			reason:   "the more specific wins, which is no conflict",
			policies: []*v1alpha1.MeshPolicy{made("a", 1, timeout(3)), made("b", 2, timeout(3), "web")},
			want:     map[string][2]string{"a": {fine, none}, "b": {fine, none}},
		},
		"different fields": {
			reason:   "both hold",
			policies: []*v1alpha1.MeshPolicy{made("a", 1, timeout(3), "web"), made("b", 2, strict(v1alpha1.MTLSStrict), "web")},
			want:     map[string][2]string{"a": {fine, none}, "b": {fine, none}},
		},
		"same namespace": {
			reason:   "the younger one says so, also when its name comes first",
			policies: []*v1alpha1.MeshPolicy{made("a", 2, timeout(3)), made("b", 1, both)},
			want:     map[string][2]string{"a": {fine, "True OlderWins: older policies win: timeouts of the namespace is that of b. Remove it from one of the two"}, "b": {fine, none}},
		},
		"three of one Service": {
			reason:   "all lose to the oldest",
			policies: []*v1alpha1.MeshPolicy{made("a", 1, timeout(3), "web"), made("b", 2, both, "web"), made("c", 3, both, "web", "api")},
			want: map[string][2]string{
				"a": {fine, none},
				"b": {fine, "True OlderWins: older policies win: timeouts of Service web is that of a. Remove it from one of the two"},
				"c": {fine, "True OlderWins: older policies win: retries of Service web is that of b; timeouts of Service web is that of a. Remove it from one of the two"},
			},
		},
		"pods": {
			reason:   "the same overlap of many pods is told once",
			policies: []*v1alpha1.MeshPolicy{made("a", 1, strict(v1alpha1.MTLSStrict), "web"), made("b", 2, strict(v1alpha1.MTLSStrict), "api")},
			overlaps: []policy.Conflict{
				{Namespace: "shop", Policy: "b", Winner: "a", Field: "mtls", Target: "some pods"},
				{Namespace: "shop", Policy: "b", Winner: "a", Field: "mtls", Target: "some pods"},
			},
			want: map[string][2]string{
				"a": {fine, none}, "b": {fine, "True OlderWins: older policies win: mtls of some pods is that of a. Remove it from one of the two"},
			},
		},
		"very many": {
			reason:   "a message has an end",
			policies: []*v1alpha1.MeshPolicy{made("a", 1, both, "web", "api", "app"), made("b", 2, both, "web", "api", "app")},
			want: map[string][2]string{"a": {fine, none}, "b": {fine, "True OlderWins: older policies win: retries of Service api is that of a; retries of Service app is that of a; " +
				"retries of Service web is that of a; timeouts of Service api is that of a; timeouts of Service app is that of a; 1 more. Remove it from one of the two"}},
		},
	}
	exists := func(s ir.ServiceKey) bool { return s.Namespace == "shop" && s.Name != "pay" }
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := map[string][2]string{}
			for key, conditions := range policy.New(tc.policies).Conditions(exists, tc.overlaps) {
				if len(conditions) != 2 || conditions[0].Type != v1alpha1.ConditionAccepted || conditions[1].Type != v1alpha1.ConditionConflicted {
					t.Fatalf("conditions of %s are %v", key, conditions)
				}
				if key.Namespace != "shop" || conditions[0].ObservedGeneration != 7 || conditions[1].ObservedGeneration != 7 {
					t.Errorf("%s: %+v", key, conditions)
				}
				got[key.Name] = [2]string{say(conditions[0]), say(conditions[1])}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func say(c metav1.Condition) string { return string(c.Status) + " " + c.Reason + ": " + c.Message }

func TestConditionsOfNothing(t *testing.T) {
	var zero policy.Policies
	if diff := cmp.Diff(map[types.NamespacedName][]metav1.Condition{}, zero.Conditions(nil, nil)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
