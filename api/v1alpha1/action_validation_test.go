package v1alpha1_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// testActionValidation asks a real API server what a RolloutAction may say, and what
// a step may require of people.
func testActionValidation(t *testing.T, c client.Client) {
	base := func() map[string]any {
		return map[string]any{"rollout": "payments", "action": "Promote", "revision": "78bd5d695", "step": int64(2), "reason": "looks good, INC-7"}
	}
	for name, tc := range map[string]struct {
		reason string
		change func(spec map[string]any)
		want   string
	}{
		"everything":      {"every field", func(map[string]any) {}, ""},
		"smallest":        {"what is required", func(s map[string]any) { delete(s, "step"); delete(s, "reason") }, ""},
		"our own hash":    {"canaries that we make", put("xb3c0ffee12", "revision"), ""},
		"no rollout":      {"", func(s map[string]any) { delete(s, "rollout") }, "spec.rollout: Required value"},
		"bad rollout":     {"", put("Pay_ments", "rollout"), "must be the name of a Rollout"},
		"no action":       {"", func(s map[string]any) { delete(s, "action") }, "spec.action: Required value"},
		"unknown action":  {"", put("Rollback", "action"), `supported values: "Promote", "PromoteFull", "Abort", "Retry", "Pause", "Resume", "Override"`},
		"no revision":     {"the guard is no option", func(s map[string]any) { delete(s, "revision") }, "spec.revision: Required value"},
		"empty revision":  {"", put("", "revision"), "spec.revision"},
		"revision/step":   {"that is the annotation's word", put("78bd5d695/2", "revision"), "must be a revision as status.canary.revision shows it"},
		"step 0":          {"steps count from 1", put(int64(-1), "step"), "greater than or equal to 1"},
		"long reason":     {"", put(strings.Repeat("x", 1025), "reason"), "may not be more than 1024"},
		"a name":          {"who acts is not his to say", put("ann", "by"), `unknown field "spec.by"`},
		"longest reason":  {"the limit itself", put(strings.Repeat("x", 1024), "reason"), ""},
		"each of the six": {"the other actions", put("Override", "action"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			says(t, c.Create(t.Context(), actionOf(tc.change, base()), client.DryRunAll), tc.reason, tc.want)
		})
	}
	t.Run("immutable", func(t *testing.T) {
		a := actionOf(func(map[string]any) {}, base())
		if err := c.Create(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		err := c.Patch(t.Context(), a, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"action":"Abort"}}`)))
		says(t, err, "another action is another object", "an action cannot be changed: create another one")
	})
	for name, tc := range map[string]struct {
		pause map[string]any
		want  string
	}{
		"two":           {map[string]any{"requires": map[string]any{"approvals": int64(2)}}, ""},
		"ten":           {map[string]any{"requires": map[string]any{"approvals": int64(10)}}, ""},
		"none":          {map[string]any{"requires": map[string]any{"approvals": int64(0)}}, "greater than or equal to 1"},
		"eleven":        {map[string]any{"requires": map[string]any{"approvals": int64(11)}}, "less than or equal to 10"},
		"nothing":       {map[string]any{"requires": map[string]any{}}, "approvals: Required value"},
		"with duration": {map[string]any{"duration": "5m", "requires": map[string]any{"approvals": int64(2)}}, "set one of duration and requires"},
	} {
		t.Run("approvals, "+name, func(t *testing.T) {
			u := rollout(t)
			set(u.Object["spec"].(map[string]any), []any{map[string]any{"weight": int64(5), "pause": tc.pause}}, "strategy", "canary", "steps")
			says(t, c.Create(t.Context(), u, client.DryRunAll), name, tc.want)
		})
	}
}

func actionOf(change func(map[string]any), spec map[string]any) *unstructured.Unstructured {
	change(spec)
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "crossfade.dev/v1alpha1", "kind": "RolloutAction",
		"metadata": map[string]any{"generateName": "payments-", "namespace": "default"},
		"spec":     spec,
	}}
}

// says compares a refusal with what it must say; empty is none.
func says(t *testing.T, err error, reason, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: refused: %v", reason, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: want %q, got %v", reason, want, err)
	}
}
