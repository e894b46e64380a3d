package controllers

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/delivery/podtemplate"
)

func template(t *testing.T, text string) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func asJSON(t *testing.T, p patch) string {
	t.Helper()
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestDeploymentPatch(t *testing.T) {
	cases := map[string]struct {
		reason     string
		deployment delivery.Deployment
		kind       delivery.Kind
		want       string
	}{
		"label": {kind: delivery.LabelDeployment, want: `{"metadata":{"labels":{"crossfade.dev/rollout":"payments"}}}`},
		"release": {
			reason: "what was running runs again", deployment: delivery.Deployment{Hold: "running", Paused: true}, kind: delivery.Release,
			want: `{"metadata":{"annotations":{"crossfade.dev/hold":null}},"spec":{"paused":null}}`,
		},
		"release of a paused one": {
			reason: "the user had paused it: it stays so", deployment: delivery.Deployment{Hold: "paused", Paused: true}, kind: delivery.Release,
			want: `{"metadata":{"annotations":{"crossfade.dev/hold":null}}}`,
		},
		"let go": {
			deployment: delivery.Deployment{Hold: "running", Paused: true}, kind: delivery.LetGo,
			want: `{"metadata":{"annotations":{"crossfade.dev/hold":null},"labels":{"crossfade.dev/rollout":null}},"spec":{"paused":null}}`,
		},
		"let go without a hold": {
			reason: "nobody but the user paused it", deployment: delivery.Deployment{Paused: true}, kind: delivery.LetGo,
			want: `{"metadata":{"annotations":{"crossfade.dev/hold":null},"labels":{"crossfade.dev/rollout":null}}}`,
		},
		"hold": {kind: delivery.Hold, want: `{"metadata":{"annotations":{"crossfade.dev/hold":"running"}},"spec":{"paused":true}}`},
		"hold of a paused one": {
			deployment: delivery.Deployment{Paused: true}, kind: delivery.Hold,
			want: `{"metadata":{"annotations":{"crossfade.dev/hold":"paused"}},"spec":{"paused":true}}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := &observed{Observation: delivery.Observation{Deployment: &tc.deployment, Rollout: &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Name: "payments"}}}}
			got := asJSON(t, deploymentPatch(o, delivery.Action{Kind: tc.kind}))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestServicePatch(t *testing.T) {
	cases := map[string]struct {
		action delivery.Action
		want   string
	}{
		"label":        {delivery.Action{Kind: delivery.LabelService}, `{"metadata":{"labels":{"crossfade.dev/rollout":"payments"}}}`},
		"pin":          {delivery.Action{Kind: delivery.Pin, Revision: "abc"}, `{"metadata":{"annotations":{"crossfade.dev/pin":"abc"},"labels":{"crossfade.dev/rollout":"payments"}}}`},
		"pin directly": {delivery.Action{Kind: delivery.Pin, Revision: "abc", Direct: true}, `{"metadata":{"annotations":{"crossfade.dev/pin":"abc"},"labels":{"crossfade.dev/rollout":"payments"}},"spec":{"selector":{"pod-template-hash":"abc"}}}`},
		"unpin":        {delivery.Action{Kind: delivery.Unpin}, `{"metadata":{"annotations":{"crossfade.dev/pin":null},"labels":{"crossfade.dev/rollout":"payments"}}}`},
		"unlabel": {
			delivery.Action{Kind: delivery.UnlabelService, Direct: true},
			`{"metadata":{"annotations":{"crossfade.dev/pin":null},"labels":{"crossfade.dev/rollout":null}},"spec":{"selector":{"pod-template-hash":null}}}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, asJSON(t, servicePatch("payments", tc.action))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestOwnedByReplacesAllOwners(t *testing.T) {
	holder := &unstructured.Unstructured{}
	holder.SetName("payments-crossfade")
	holder.SetUID("u1")
	want := `{"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"ControllerRevision","name":"payments-crossfade","uid":"u1","controller":true,"blockOwnerDeletion":false}]}}`
	if diff := cmp.Diff(want, asJSON(t, ownedBy(holder, "ControllerRevision", nil))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	want = `{"metadata":{"annotations":{"deployment.kubernetes.io/revision":"7"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"payments-crossfade","uid":"u1","controller":true,"blockOwnerDeletion":true}]}}`
	if diff := cmp.Diff(want, asJSON(t, ownedBy(holder, "Deployment", revisionNumbered(delivery.Action{RevisionNumber: 7})))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCanaryReplicaSetKeepsTheTemplate(t *testing.T) {
	in := template(t, `{metadata: {labels: {app: web}}, spec: {novelty: {a: 1}, containers: [{name: web}]}}`)
	selector := template(t, `{matchLabels: {app: web}, matchExpressions: [{key: x, operator: DoesNotExist}]}`)
	before, err := podtemplate.Hash(in)
	if err != nil {
		t.Fatal(err)
	}
	rs := canaryReplicaSet("web", "shop", "xabc", in, selector)
	made, _, _ := unstructured.NestedMap(rs.Object, "spec", "template")
	after, err := podtemplate.Hash(made)
	if err != nil {
		t.Fatal(err)
	}
	if before != after {
		t.Error("the canary's template differs from the Deployment's")
	}
	got, _, _ := unstructured.NestedMap(rs.Object, "spec", "selector")
	want := map[string]any{
		"matchLabels":      map[string]any{"app": "web", "pod-template-hash": "xabc"},
		"matchExpressions": []any{map[string]any{"key": "x", "operator": "DoesNotExist"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("selector (-want +got)\n%s", diff)
	}
	if label := made["metadata"].(map[string]any)["labels"].(map[string]any)["pod-template-hash"]; label != "xabc" {
		t.Errorf("label pod-template-hash = %v", label)
	}
	if _, changed := in["metadata"].(map[string]any)["labels"].(map[string]any)["pod-template-hash"]; changed {
		t.Error("the Deployment's own template was changed")
	}
}
