package controllers

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
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
  annotations: {crossfade.dev/hold: paused, crossfade.dev/break-glass: "", deployment.kubernetes.io/revision: "4", someone.else/note: long}
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
	w := stripped(t, exampleDeployment)
	got := deploymentFrom(w)
	if got.Template == "" || got.CanaryHash == "" {
		t.Errorf("hashes: %q, %q", got.Template, got.CanaryHash)
	}
	got.Template, got.CanaryHash = "", ""
	want := &delivery.Deployment{
		Name: "web", UID: "u1", ResourceVersion: "7", Generation: 3, ObservedGeneration: 3, Rollout: "payments", Hold: "paused",
		BreakGlass: true, Paused: true, Replicas: 5, MinReadySeconds: 2, Recreate: true, HistoryLimit: 3, UpdatedReplicas: 2, RevisionNumber: 4,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"app": "web"}, map[string]string(w.podLabels)); diff != "" {
		t.Errorf("template's labels (-want +got)\n%s", diff)
	}
	if !w.pods.Matches(w.podLabels) || w.pods.Matches(labels.Set{"app": "other"}) {
		t.Errorf("the selector was lost: %v", w.pods)
	}
	if again, err := stripWorkload(w); err != nil || again != any(w) {
		t.Errorf("a second transform must change nothing: %v, %v", again, err)
	}
}

func TestReplicaSetSurvivesTheTransform(t *testing.T) {
	w := stripped(t, `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-abc, uid: u2, resourceVersion: "9", generation: 2,
creationTimestamp: "2026-01-02T03:04:05Z", labels: {pod-template-hash: abc}, annotations: {deployment.kubernetes.io/revision: "3"},
ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u1, controller: true}]},
spec: {replicas: 4, minReadySeconds: 1, template: {}},
status: {observedGeneration: 2, replicas: 3, availableReplicas: 2, conditions: [{type: ReplicaFailure, status: "True", message: "exceeded quota"}]}}`)
	got := replicaSetFrom(w, delivery.OwnerDeployment)
	got.Template = ""
	want := delivery.ReplicaSet{
		Name: "web-abc", UID: "u2", ResourceVersion: "9", Revision: "abc", Owner: delivery.OwnerDeployment, Replicas: 4, MinReadySeconds: 1,
		StatusReplicas: 3, Available: 2, Observed: true, RevisionNumber: 3,
		Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Local(), Trouble: "exceeded quota",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if name, ok := deploymentOfReplicaSet(w); !ok || name != "web" || !controlledBy(w, "u1") {
		t.Errorf("the owner was lost: %q", name)
	}
}

// TestWorkloadAbsentFields holds the API server's defaults where it sent nothing.
func TestWorkloadAbsentFields(t *testing.T) {
	w := stripped(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {selector: {matchExpressions: [{key: app, operator: Sideways}]}}}`)
	if w.replicas != 1 || w.historyLimit != defaultHistoryLimit || w.paused || w.recreate {
		t.Errorf("got %+v", w)
	}
	if w.pods.Matches(labels.Set{"app": "web"}) || w.pods.Matches(labels.Set{}) {
		t.Error("a selector that cannot be read must select nothing")
	}
}

// TestWorkloadDecodesLikeTheCache holds that a live read and the cache see the
// same: a decision may use either.
func TestWorkloadDecodesLikeTheCache(t *testing.T) {
	u := object(t, exampleDeployment)
	raw, err := u.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	cached, live := stripped(t, exampleDeployment), newWorkload(deploymentKind)
	if err := json.Unmarshal(raw, live); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(deploymentFrom(cached), deploymentFrom(live)); diff != "" {
		t.Errorf("(-cached +live)\n%s", diff)
	}
	// Items of a list carry no kind of their own.
	unstructured.RemoveNestedField(u.Object, "kind")
	item, err := json.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	list := newReplicaSetList()
	text := fmt.Sprintf(`{"kind":"ReplicaSetList","apiVersion":"apps/v1","metadata":{"resourceVersion":"8"},"items":[%s]}`, item)
	if err := json.Unmarshal([]byte(text), list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 || list.ResourceVersion != "8" || list.Items[0].template != cached.template || list.Items[0].template == "" {
		t.Errorf("got %+v", list)
	}
	if _, err := json.Marshal(live); err == nil {
		t.Error("a reduced object must not be written back")
	}
}

// TestStripPodKeepsWhatContainersSay holds for which pods that is asked.
func TestStripPodKeepsWhatContainersSay(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		labels map[string]string
		ready  corev1.ConditionStatus
		want   int
	}{
		"serves":     {reason: "nobody asks, and most pods are such", ready: corev1.ConditionTrue},
		"not ready":  {reason: "the status says why a canary does not come", ready: corev1.ConditionFalse, want: 1},
		"is a proxy": {reason: "it counts from when its containers have started", labels: map[string]string{v1alpha1.LabelProxy: v1alpha1.ProxyGateway}, ready: corev1.ConditionTrue, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			yes := true
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: tc.labels}, Status: corev1.PodStatus{
				Conditions:        []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: tc.ready}},
				ContainerStatuses: []corev1.ContainerStatus{{Name: "web", Started: &yes, Image: "web:1"}},
			}}
			out, err := stripPod(pod)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := out.(*corev1.Pod)
			if len(got.Status.ContainerStatuses) != tc.want {
				t.Errorf("%s: kept %v", tc.reason, got.Status.ContainerStatuses)
			}
			if podReady(got) != (tc.ready == corev1.ConditionTrue) || len(got.Status.Conditions) != 1 {
				t.Errorf("conditions: %v", got.Status.Conditions)
			}
		})
	}
}

// TestNamedPortsSurvive keeps of a pod's containers what a Service may ask for by
// name, of native sidecars as well.
func TestNamedPortsSurvive(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	named := []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		Containers: []corev1.Container{
			{Name: "web", Image: "web:1", Ports: []corev1.ContainerPort{{ContainerPort: 9000}, named[0]}},
			{Name: "other", Ports: []corev1.ContainerPort{{ContainerPort: 9001}}},
		},
		InitContainers: []corev1.Container{{Name: "sidecar", RestartPolicy: &always, Ports: named}, {Name: "init"}},
	}}
	out, err := stripPod(pod)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := out.(*corev1.Pod)
	want := corev1.PodSpec{
		Containers:     []corev1.Container{{Name: "web", Ports: named}},
		InitContainers: []corev1.Container{{Name: "sidecar", RestartPolicy: &always, Ports: named}},
	}
	if diff := cmp.Diff(want, got.Spec); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func stripped(t *testing.T, text string) *workload {
	t.Helper()
	out, err := stripWorkload(object(t, text))
	if err != nil {
		t.Fatal(err)
	}
	w, ok := out.(*workload)
	if !ok {
		t.Fatalf("got a %T", out)
	}
	return w
}
