package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

func budget(name string, spec policyv1.PodDisruptionBudgetSpec) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Annotations: map[string]string{"note": "long"}},
		Spec:       spec, Status: policyv1.PodDisruptionBudgetStatus{ExpectedPods: 4},
	}
}

// TestBudgets looks at budgets as the cache holds them.
func TestBudgets(t *testing.T) {
	count, none, percent := intstr.FromInt32(3), intstr.FromInt32(0), intstr.FromString("75%")
	web := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	cases := map[string]struct {
		reason string
		spec   policyv1.PodDisruptionBudgetSpec
		want   []delivery.Budget
	}{
		"a number":             {"canary pods count, too", policyv1.PodDisruptionBudgetSpec{Selector: web, MinAvailable: &count}, []delivery.Budget{{Name: "pdb", MinAvailable: 3}}},
		"a number, everything": {"an empty selector selects all", policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{}, MinAvailable: &count}, []delivery.Budget{{Name: "pdb", MinAvailable: 3}}},
		"a percentage":         {"it grows with the pods", policyv1.PodDisruptionBudgetSpec{Selector: web, MinAvailable: &percent}, nil},
		"maxUnavailable":       {"it does not count what stays", policyv1.PodDisruptionBudgetSpec{Selector: web, MaxUnavailable: &count}, nil},
		"zero":                 {"it protects nothing anyhow", policyv1.PodDisruptionBudgetSpec{Selector: web, MinAvailable: &none}, nil},
		"other pods":           {"not these", policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}, MinAvailable: &count}, nil},
		"no selector":          {"it selects nothing", policyv1.PodDisruptionBudgetSpec{MinAvailable: &count}, nil},
		"unreadable selector": {"about nothing that is known", policyv1.PodDisruptionBudgetSpec{
			Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Like"}}}, MinAvailable: &count,
		}, nil},
	}
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			stripped, err := stripBudget(budget("pdb", tc.spec))
			if err != nil {
				t.Fatal(err)
			}
			pdb := stripped.(*policyv1.PodDisruptionBudget)
			if pdb.Annotations != nil || pdb.Status.ExpectedPods != 0 || pdb.Spec.MaxUnavailable != nil {
				t.Errorf("the cache holds more than is judged: %+v", pdb)
			}
			o := &observer{cache: fake.NewClientBuilder().WithScheme(scheme).WithObjects(pdb).Build()}
			out := &observed{
				Observation: delivery.Observation{Rollout: &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}},
				deployment:  &workload{podLabels: map[string]string{"app": "web"}},
			}
			if err := o.budgets(t.Context(), out); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, out.Budgets); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestBudgetWakesItsRollouts(t *testing.T) {
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	web, db := deploymentOfPods(map[string]any{"app": "web"}), deploymentOfPods(map[string]any{"app": "db"})
	db.SetName("db")
	rollout := func(name string) *v1alpha1.Rollout {
		return &v1alpha1.Rollout{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name + "-rollout"},
			Spec:       v1alpha1.RolloutSpec{WorkloadRef: v1alpha1.WorkloadRef{Name: name}},
		}
	}
	m := mapper{cache: fake.NewClientBuilder().WithScheme(scheme).WithObjects(web, db, rollout("web"), rollout("db")).Build()}
	count := intstr.FromInt32(1)
	spec := policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}, MinAvailable: &count}
	got := m.budget(t.Context(), budget("pdb", spec))
	if len(got) != 1 || got[0].Name != "db-rollout" {
		t.Errorf("woke %v, want db-rollout only", got)
	}
	spec.MinAvailable = nil
	if got := m.budget(t.Context(), budget("pdb", spec)); len(got) != 0 {
		t.Errorf("a budget that is not judged woke %v", got)
	}
	if got := m.budget(t.Context(), &corev1.Pod{}); len(got) != 0 {
		t.Errorf("a pod woke %v", got)
	}
}

// deploymentOfPods is a Deployment of pods with these labels.
func deploymentOfPods(labels map[string]any) *unstructured.Unstructured {
	u := workloadObject(deploymentKind)
	u.SetNamespace("shop")
	u.SetName("web")
	_ = unstructured.SetNestedMap(u.Object, labels, "spec", "template", "metadata", "labels")
	return u
}
