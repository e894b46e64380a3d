package rollouts

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/dynamic"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
	"github.com/crossfade-dev/crossfade/delivery/podtemplate"
)

// labelRevision on ReplicaSets and pods names their revision.
const labelRevision = "pod-template-hash"

// annotationNumber on a ReplicaSet is the number that `kubectl rollout history` has
// for it.
const annotationNumber = "deployment.kubernetes.io/revision"

// Family is a Rollout with what belongs to it.
type Family struct {
	// Object is the Rollout as the API server has it, Rollout what is understood of
	// it, Strange the fields that are not.
	Object  *unstructured.Unstructured
	Rollout *v1alpha1.Rollout
	Strange string
	// Deployment is nil when there is none.
	Deployment *unstructured.Unstructured
	// Revisions are its ReplicaSets, those that the holder has for it among them, the
	// newest first.
	Revisions []Revision
	// Pods are those of all revisions, sorted by name.
	Pods []Pod
}

// Revision is a pod template that runs, waits or is kept as history.
type Revision struct {
	// Hash is the pod-template-hash.
	Hash string
	// ReplicaSet has the revision's template.
	ReplicaSet string
	// Number is that of `kubectl rollout history`; 0 before the promotion.
	Number int64
	// Created is when the ReplicaSet was.
	Created time.Time
	// Replicas is how many pods are asked for, Ready how many are.
	Replicas, Ready int64
	// Images are those of the containers, in their order.
	Images []string
	// Template is the pod template without the label that names the revision.
	Template map[string]any
	// Cause is the annotation kubernetes.io/change-cause.
	Cause string
}

// Pod is a pod of a revision.
type Pod struct {
	Name, Revision, State string
	Ready, Containers     int
	Restarts              int64
	Created               time.Time
	Node, IP              string
}

// Get reads one Rollout.
func Get(ctx context.Context, client dynamic.Interface, namespace, name string) (*unstructured.Unstructured, error) {
	object, err := client.Resource(session.Rollouts).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("get Rollout %s in namespace %s: %w", name, namespace, err)
	}
	return object, nil
}

// WorkloadName is the name of the Deployment that the Rollout delivers.
func WorkloadName(r *v1alpha1.Rollout) string {
	if r.Status.Record != nil && r.Status.Record.Workload != "" {
		return r.Status.Record.Workload
	}
	return r.Spec.WorkloadRef.Name
}

// Gather reads a Rollout with its Deployment, revisions and pods.
func Gather(ctx context.Context, client dynamic.Interface, namespace, name string) (*Family, error) {
	object, err := Get(ctx, client, namespace, name)
	if err != nil {
		return nil, err
	}
	return GatherFor(ctx, client, object)
}

// GatherFor reads what belongs to a Rollout that was read before.
func GatherFor(ctx context.Context, client dynamic.Interface, object *unstructured.Unstructured) (*Family, error) {
	f, err := GatherWorkload(ctx, client, object)
	if err != nil || f.Deployment == nil {
		return f, err
	}
	pods, err := client.Resource(session.Pods).Namespace(object.GetNamespace()).List(ctx, metav1.ListOptions{LabelSelector: f.selector()})
	if err != nil {
		return nil, fmt.Errorf("list pods of Deployment %s: %w", f.Deployment.GetName(), err)
	}
	for i := range pods.Items {
		f.Pods = append(f.Pods, readPod(&pods.Items[i]))
	}
	slices.SortFunc(f.Pods, func(a, b Pod) int { return cmp.Compare(a.Name, b.Name) })
	return f, nil
}

// GatherWorkload reads the Deployment and its ReplicaSets, and no pods.
func GatherWorkload(ctx context.Context, client dynamic.Interface, object *unstructured.Unstructured) (*Family, error) {
	f := &Family{Object: object}
	f.Rollout, f.Strange = Read(object)
	return f, f.gatherWorkload(ctx, client)
}

func (f *Family) gatherWorkload(ctx context.Context, client dynamic.Interface) error {
	name := WorkloadName(f.Rollout)
	deployment, err := client.Resource(session.Deployments).Namespace(f.Rollout.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get Deployment %s: %w", name, err)
	}
	f.Deployment = deployment
	sets, err := client.Resource(session.ReplicaSets).Namespace(f.Rollout.Namespace).List(ctx, metav1.ListOptions{LabelSelector: f.selector()})
	if err != nil {
		return fmt.Errorf("list ReplicaSets of Deployment %s: %w", name, err)
	}
	for i := range sets.Items {
		if f.owns(&sets.Items[i]) {
			f.Revisions = append(f.Revisions, readRevision(&sets.Items[i]))
		}
	}
	slices.SortFunc(f.Revisions, func(a, b Revision) int {
		return cmp.Or(cmp.Compare(rank(b), rank(a)), b.Created.Compare(a.Created), cmp.Compare(a.Hash, b.Hash))
	})
	return nil
}

// rank puts a revision that has no number yet before all that have one.
func rank(r Revision) int64 {
	if r.Number == 0 {
		return 1 << 62
	}
	return r.Number
}

// owns says whether a ReplicaSet is the Deployment's, or kept for it by the holder, a
// ControllerRevision of the Deployment's with its name.
func (f *Family) owns(set *unstructured.Unstructured) bool {
	owner := metav1.GetControllerOf(set)
	switch {
	case owner == nil:
		return false
	case owner.Kind == "Deployment":
		return owner.UID == f.Deployment.GetUID()
	default:
		return owner.Kind == "ControllerRevision" && owner.Name == f.Deployment.GetName()+"-crossfade"
	}
}

func (f *Family) selector() string { return Selector(f.Deployment) }

// Selector is that of a Deployment, in the words of a list; one that selects nothing
// where it cannot be read.
func Selector(deployment *unstructured.Unstructured) string {
	matches, _, _ := unstructured.NestedStringMap(deployment.Object, "spec", "selector", "matchLabels")
	selector := labels.SelectorFromSet(matches)
	expressions, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "selector", "matchExpressions")
	for _, e := range expressions {
		expression, _ := e.(map[string]any)
		key, _, _ := unstructured.NestedString(expression, "key")
		operator, _, _ := unstructured.NestedString(expression, "operator")
		values, _, _ := unstructured.NestedStringSlice(expression, "values")
		operators := map[string]selection.Operator{
			"In": selection.In, "NotIn": selection.NotIn, "Exists": selection.Exists, "DoesNotExist": selection.DoesNotExist,
		}
		requirement, err := labels.NewRequirement(key, operators[operator], values)
		if err != nil {
			return labelRevision + "=,!" + labelRevision
		}
		selector = selector.Add(*requirement)
	}
	return selector.String()
}

func readRevision(set *unstructured.Unstructured) Revision {
	template, _, _ := unstructured.NestedMap(set.Object, "spec", "template")
	number, _ := strconv.ParseInt(set.GetAnnotations()[annotationNumber], 10, 64)
	r := Revision{
		Hash: set.GetLabels()[labelRevision], ReplicaSet: set.GetName(), Number: number,
		Created: set.GetCreationTimestamp().Time,
		Images:  Images(template), Template: podtemplate.Bare(template),
		Cause: set.GetAnnotations()["kubernetes.io/change-cause"],
	}
	r.Replicas, _, _ = unstructured.NestedInt64(set.Object, "spec", "replicas")
	r.Ready, _, _ = unstructured.NestedInt64(set.Object, "status", "readyReplicas")
	return r
}

// Revision is the one of that hash, nil when there is none.
func (f *Family) Revision(hash string) *Revision {
	for i := range f.Revisions {
		if f.Revisions[i].Hash == hash {
			return &f.Revisions[i]
		}
	}
	return nil
}
