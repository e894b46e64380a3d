package schemas

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/manifests"
	"github.com/crossfade-dev/crossfade/config/crd"
)

const rollout = `
apiVersion: crossfade.dev/v1alpha1
kind: Rollout
metadata: {name: cart, namespace: shop}
spec:
  workloadRef: {kind: Deployment, name: cart}
  serviceRef: {name: cart}
  strategy: {canary: {steps: [{weight: 10}, {weight: 50, pause: {duration: 1m}}]}}
`

func TestJudge(t *testing.T) {
	for name, tc := range map[string]struct {
		file string
		want []string // beginnings of "field: message"
	}{
		"good": {rollout, nil},
		"a rule over several fields": {
			strings.Replace(rollout, "weight: 50", "weight: 5", 1),
			[]string{"spec.strategy.canary: the weights of the steps must not descend"},
		},
		"a shape": {
			strings.Replace(rollout, "weight: 50", "weight: -1", 1),
			[]string{"spec.strategy.canary.steps[1].weight: -1: "},
		},
		"shapes before rules": {
			strings.Replace(rollout, "{weight: 10}, {weight: 50", "{weight: 50}, {weight: -1", 1),
			[]string{"spec.strategy.canary.steps[1].weight: -1: "},
		},
		"a name twice": {
			rollout + "  analysis: {checks: [{name: a, successRate: {min: '99'}, interval: 1m}, {name: a, successRate: {min: '99'}, interval: 1m}]}\n",
			[]string{"spec.analysis.checks[1]: Duplicate value"},
		},
		"something that is needed": {
			strings.Replace(rollout, "serviceRef: {name: cart}", "", 1),
			[]string{"spec.serviceRef: Required value"},
		},
		"the other kinds": {`
apiVersion: crossfade.dev/v1alpha1
kind: Freeze
metadata: {name: xmas}
spec: {cron: "0 0 24 12 *"}
---
apiVersion: crossfade.dev/v1alpha1
kind: MeshPolicy
metadata: {name: all, namespace: shop}
spec: {mtls: {mode: Loose}}
---
apiVersion: crossfade.dev/v1alpha1
kind: RolloutAction
metadata: {name: go, namespace: shop}
spec: {rollout: cart, action: Push}
---
apiVersion: crossfade.dev/v1alpha1
kind: ClusterAnalysisTemplate
metadata: {name: errors}
spec: {}
`, []string{"spec.reason: Required value", "spec.mtls.mode: Unsupported value", "spec.action: Unsupported value", "spec.revision: Required value", "spec.check: Required value"}},
		"no kind of ours":      {"apiVersion: crossfade.dev/v1alpha1\nkind: Rollouts\nmetadata: {name: cart}\n", []string{"kind: there is no such kind"}},
		"a kind of others":     {"apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: cart}\nspec: {strategy: 1}\n", nil},
		"a version of another": {"apiVersion: crossfade.dev/v2\nkind: Rollout\nmetadata: {name: cart}\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := manifests.Files([]string{"-"}, strings.NewReader(tc.file), "shop")
			if err != nil {
				t.Fatal(err)
			}
			before := objects[0].DeepCopy()
			found, err := Judge(t.Context(), crd.Files, objects)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				got = append(got, f.Field+": "+f.Message)
			}
			if !slices.EqualFunc(got, tc.want, strings.HasPrefix) {
				t.Errorf("got %q, want these beginnings: %q", got, tc.want)
			}
			if diff := cmp.Diff(before.Object, objects[0].Object); diff != "" {
				t.Errorf("the object was changed:\n%s", diff)
			}
		})
	}
}

// What the cluster has was accepted by it.
func TestJudgeFilesOnly(t *testing.T) {
	objects, err := manifests.Files([]string{"-"}, strings.NewReader(strings.Replace(rollout, "weight: 50", "weight: 5", 1)), "shop")
	if err != nil {
		t.Fatal(err)
	}
	objects[0].Source = ""
	if found, err := Judge(t.Context(), crd.Files, objects); err != nil || len(found) > 0 {
		t.Errorf("an object of the cluster was judged: %v, %v", found, err)
	}
}
