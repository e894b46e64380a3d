package controllers

import (
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery/podtemplate"
)

// workload is a Deployment or ReplicaSet reduced to what decisions need. Its
// template was hashed as the API server serves it and is gone. An unstructured
// object of the same fields is a dozen small maps: five times the memory, and
// there are two workloads or more for every Rollout.
//
// To the caches and clients it is an unstructured object, so that they decode
// everything that a cluster newer than this client may send. It is only read: it
// cannot be written back.
type workload struct {
	metav1.TypeMeta
	// ObjectMeta has no labels and annotations: those that are judged follow.
	metav1.ObjectMeta
	rollout, revision string // Labels.
	hold              string // Annotation.
	breakGlass        bool
	revisionNumber    int64

	// template and canary are the hashes of the template: see templateHash and
	// canaryHash.
	template, canary string
	// podLabels are the labels of a Deployment's template; a ReplicaSet has none
	// here. Copies share them.
	podLabels labels.Set
	// pods selects what belongs to a Deployment. Copies share it.
	pods labels.Selector

	// config are the ConfigMaps and Secrets that the template names, sorted. Copies
	// share them.
	config []configRef

	replicas, minReadySeconds, historyLimit int32
	paused, recreate                        bool

	observedGeneration                 int64
	statusReplicas, updated, available int32
	// failure is the message of the condition ReplicaFailure.
	failure string
}

// workloadList is a list of them.
type workloadList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []workload `json:"items"`
}

var (
	_ runtime.Unstructured = &workload{}
	_ runtime.Unstructured = &workloadList{}
)

// newWorkload is an empty Deployment or ReplicaSet to read into.
func newWorkload(kind schema.GroupVersionKind) *workload {
	w := &workload{}
	w.SetGroupVersionKind(kind)
	return w
}

// newReplicaSetList is an empty list to read into.
func newReplicaSetList() *workloadList {
	list := &workloadList{}
	list.SetGroupVersionKind(replicaSetKind.GroupVersion().WithKind(replicaSetKind.Kind + "List"))
	return list
}

// workloadFrom reads a workload as the API server serves it.
func workloadFrom(u *unstructured.Unstructured) (*workload, error) {
	spec, _ := u.Object["spec"].(map[string]any)
	template, _ := spec["template"].(map[string]any)
	annotations := u.GetAnnotations()
	w := &workload{
		ObjectMeta: metav1.ObjectMeta{
			Name: u.GetName(), Namespace: u.GetNamespace(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(),
			Generation: u.GetGeneration(), CreationTimestamp: u.GetCreationTimestamp(), DeletionTimestamp: u.GetDeletionTimestamp(),
			OwnerReferences: u.GetOwnerReferences(),
		},
		rollout:            u.GetLabels()[v1alpha1.LabelRollout],
		revision:           u.GetLabels()[appsv1.DefaultDeploymentUniqueLabelKey],
		hold:               annotations[v1alpha1.AnnotationHold],
		revisionNumber:     revisionNumber(annotations),
		replicas:           int32(number(u, 1, "spec", "replicas")),
		minReadySeconds:    int32(number(u, 0, "spec", "minReadySeconds")),
		historyLimit:       int32(number(u, defaultHistoryLimit, "spec", "revisionHistoryLimit")),
		paused:             truth(u, "spec", "paused"),
		observedGeneration: number(u, 0, "status", "observedGeneration"),
		statusReplicas:     int32(number(u, 0, "status", "replicas")),
		updated:            int32(number(u, 0, "status", "updatedReplicas")),
		available:          int32(number(u, 0, "status", "availableReplicas")),
		failure:            replicaFailure(u),
	}
	w.SetGroupVersionKind(u.GroupVersionKind())
	_, w.breakGlass = annotations[v1alpha1.AnnotationBreakGlass]
	strategy, _, _ := unstructured.NestedString(spec, "strategy", "type")
	w.recreate = strategy == string(appsv1.RecreateDeploymentStrategyType)
	if w.Kind == deploymentKind.Kind {
		own, _, _ := unstructured.NestedStringMap(template, "metadata", "labels")
		w.podLabels, w.pods = own, selectorOf(spec)
	}
	w.config = configOf(template)
	var err error
	if w.template, err = podtemplate.Hash(template); err != nil {
		return nil, fmt.Errorf("hash template of %s: %w", u.GetName(), err)
	}
	if w.canary, err = podtemplate.CanaryHash(template); err != nil {
		return nil, fmt.Errorf("hash template of %s: %w", u.GetName(), err)
	}
	return w, nil
}

// selectorOf parses a selector once for all; one that cannot be read selects
// nothing.
func selectorOf(spec map[string]any) labels.Selector {
	raw, _, _ := unstructured.NestedMap(spec, "selector")
	selector := &metav1.LabelSelector{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, selector); err != nil {
		return labels.Nothing()
	}
	out, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return labels.Nothing()
	}
	return out
}

// UnmarshalJSON reads a workload as a client receives it.
func (w *workload) UnmarshalJSON(raw []byte) error {
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(raw, &u.Object); err != nil { // Items of a list have no kind of their own.
		return err
	}
	read, err := workloadFrom(u)
	if err != nil {
		return err
	}
	*w = *read
	return nil
}

// MarshalJSON refuses: what is written back would lose everything else.
func (w *workload) MarshalJSON() ([]byte, error) {
	return nil, fmt.Errorf("write %s %s: it is reduced to what is judged", w.Kind, w.Name)
}

// DeepCopyObject copies what a reader could change.
func (w *workload) DeepCopyObject() runtime.Object {
	out := *w
	w.DeepCopyInto(&out.ObjectMeta)
	return &out
}

// NewEmptyInstance returns a workload of the same kind.
func (w *workload) NewEmptyInstance() runtime.Unstructured {
	return newWorkload(w.GroupVersionKind())
}

// UnstructuredContent is never asked for: nothing is written from a workload.
func (w *workload) UnstructuredContent() map[string]any { return map[string]any{} }

// SetUnstructuredContent is never asked for either: workloads are decoded.
func (w *workload) SetUnstructuredContent(map[string]any) {}

// IsList says that this is one object.
func (w *workload) IsList() bool { return false }

// EachListItem fails: there are no items.
func (w *workload) EachListItem(func(runtime.Object) error) error { return errNoList }

// EachListItemWithAlloc fails: there are no items.
func (w *workload) EachListItemWithAlloc(func(runtime.Object) error) error { return errNoList }

var errNoList = errors.New("a workload is not a list")

// DeepCopyObject copies the items, too.
func (l *workloadList) DeepCopyObject() runtime.Object {
	out := &workloadList{TypeMeta: l.TypeMeta, ListMeta: *l.DeepCopy(), Items: slices.Clone(l.Items)}
	for i := range out.Items {
		l.Items[i].DeepCopyInto(&out.Items[i].ObjectMeta)
	}
	return out
}

// NewEmptyInstance returns a list of the same kind.
func (l *workloadList) NewEmptyInstance() runtime.Unstructured {
	return &workloadList{TypeMeta: l.TypeMeta}
}

// UnstructuredContent is never asked for: nothing is written from a list.
func (l *workloadList) UnstructuredContent() map[string]any { return map[string]any{} }

// SetUnstructuredContent is never asked for either: lists are decoded.
func (l *workloadList) SetUnstructuredContent(map[string]any) {}

// IsList says that this is a list.
func (l *workloadList) IsList() bool { return true }

// EachListItem calls f for every item, until one fails.
func (l *workloadList) EachListItem(f func(runtime.Object) error) error {
	for i := range l.Items {
		if err := f(&l.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// EachListItemWithAlloc does so with copies that outlive the list.
func (l *workloadList) EachListItemWithAlloc(f func(runtime.Object) error) error {
	for i := range l.Items {
		if err := f(l.Items[i].DeepCopyObject()); err != nil {
			return err
		}
	}
	return nil
}
