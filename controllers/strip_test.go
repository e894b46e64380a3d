package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/delivery"
)

const exampleDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  uid: u1
  resourceVersion: "7"
  generation: 3
  labels: {crossfade.dev/rollout: payments}
  annotations: {crossfade.dev/hold: paused, deployment.kubernetes.io/revision: "4", someone.else/note: long}
  managedFields: [{manager: kubectl}]
spec:
  replicas: 5
  paused: true
  minReadySeconds: 2
  revisionHistoryLimit: 3
  progressDeadlineSeconds: 600
  selector: {matchLabels: {app: web}}
  strategy: {type: Recreate}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "web:1"}]}}
status:
  observedGeneration: 3
  replicas: 5
  updatedReplicas: 2
  conditions: [{type: Available, status: "True"}]
`

// TestStripKeepsWhatIsJudged reads a Deployment through the cache's transform:
// what the transform drops, no decision may need.
func TestStripKeepsWhatIsJudged(t *testing.T) {
	u := object(t, exampleDeployment)
	if _, err := stripWorkload(u); err != nil {
		t.Fatal(err)
	}
	got := deploymentFrom(u)
	if got.Template == "" || got.CanaryHash == "" {
		t.Errorf("hashes: %q, %q", got.Template, got.CanaryHash)
	}
	got.Template, got.CanaryHash = "", ""
	want := &delivery.Deployment{
		Name: "web", UID: "u1", ResourceVersion: "7", Generation: 3, ObservedGeneration: 3, Rollout: "payments", Hold: "paused",
		Paused: true, Replicas: 5, MinReadySeconds: 2, Recreate: true, HistoryLimit: 3, UpdatedReplicas: 2, RevisionNumber: 4,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"app": "web"}, map[string]string(templateLabels(u))); diff != "" {
		t.Errorf("template's labels (-want +got)\n%s", diff)
	}
	if !podSelector(u).Matches(templateLabels(u)) {
		t.Error("the selector was lost")
	}
	if _, has := u.GetAnnotations()["someone.else/note"]; has || u.GetManagedFields() != nil {
		t.Error("something that nobody uses is kept in memory")
	}
	before := u.DeepCopy()
	if _, err := stripWorkload(u); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, u); diff != "" {
		t.Errorf("a second transform changed it (-before +after)\n%s", diff)
	}
}

func TestReplicaFailureSurvivesTheTransform(t *testing.T) {
	u := object(t, `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-abc, labels: {pod-template-hash: abc}}, spec: {template: {}},
status: {conditions: [{type: ReplicaFailure, status: "True", message: "exceeded quota"}]}}`)
	if _, err := stripWorkload(u); err != nil {
		t.Fatal(err)
	}
	if got := replicaSetFrom(u, delivery.OwnerHolder); got.Trouble != "exceeded quota" || got.Revision != "abc" {
		t.Errorf("got %+v", got)
	}
}
