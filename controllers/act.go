package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/delivery/podtemplate"
)

// fieldManager is the name under which this controller writes.
const fieldManager = "crossfade"

// actor carries out planned writes. Each is a merge patch that carries the
// resourceVersion of the object that was judged, so that a decision made from
// something stale is answered with a conflict instead of carried out.
type actor struct {
	client client.Client
	// live reads templates: the cached copies have none.
	live client.Reader
}

// patch is a JSON merge patch in the making.
type patch map[string]any

// act carries out one action.
func (a *actor) act(ctx context.Context, o *observed, action delivery.Action) error {
	err := a.write(ctx, o, action)
	if err != nil {
		return fmt.Errorf("%s %s: %w", action.Kind, action.Object, err)
	}
	return nil
}

func (a *actor) write(ctx context.Context, o *observed, action delivery.Action) error {
	switch action.Kind {
	case delivery.AddFinalizer, delivery.RemoveFinalizer:
		return a.finalizer(ctx, o.Rollout, action.Kind == delivery.AddFinalizer)
	case delivery.LabelDeployment, delivery.LetGo, delivery.Hold, delivery.Release:
		return a.deployment(ctx, o, deploymentPatch(o, action))
	case delivery.LabelService, delivery.UnlabelService, delivery.Pin, delivery.Unpin:
		return a.service(ctx, o, action)
	case delivery.CreateHolder:
		return a.createHolder(ctx, o)
	case delivery.DeleteHolder:
		return a.deleteHolder(ctx, o)
	case delivery.CreateCanary:
		return a.createCanary(ctx, o, action)
	case delivery.Park:
		return a.replicaSet(ctx, o, action.Object, ownedBy(o.holder, controllerRevisionKind.Kind, nil))
	case delivery.GiveBack:
		return a.replicaSet(ctx, o, action.Object, ownedBy(o.deployment, deploymentKind.Kind, nil))
	case delivery.Join:
		return a.replicaSet(ctx, o, action.Object, ownedBy(o.deployment, deploymentKind.Kind, revisionNumbered(action)))
	case delivery.Swap:
		return a.swap(ctx, o, action)
	case delivery.Scale:
		return a.replicaSet(ctx, o, action.Object, patch{"spec": patch{"replicas": action.Replicas}})
	case delivery.SetMinReady:
		return a.replicaSet(ctx, o, action.Object, patch{"spec": patch{"minReadySeconds": action.Seconds}})
	case delivery.DeleteReplicaSet:
		return a.deleteReplicaSet(ctx, o, action.Object)
	case delivery.AnswerAction:
		return a.answer(ctx, o, action)
	case delivery.DeleteAction:
		return a.deleteAction(ctx, o, action.Object)
	default:
		return fmt.Errorf("unknown action %q", action.Kind)
	}
}

func (a *actor) finalizer(ctx context.Context, ro *v1alpha1.Rollout, present bool) error {
	next := ro.DeepCopy()
	if present {
		controllerutil.AddFinalizer(next, v1alpha1.Finalizer)
	} else {
		controllerutil.RemoveFinalizer(next, v1alpha1.Finalizer)
	}
	return a.client.Patch(ctx, next, client.MergeFromWithOptions(ro, client.MergeFromWithOptimisticLock{}), client.FieldOwner(fieldManager))
}

// deploymentPatch is what a Deployment's label, hold or release changes.
func deploymentPatch(o *observed, action delivery.Action) patch {
	if action.Kind == delivery.LabelDeployment {
		return patch{"metadata": patch{"labels": patch{v1alpha1.LabelRollout: o.Rollout.Name}}}
	}
	if action.Kind == delivery.Hold {
		was := holdRunning
		if o.Deployment.Paused {
			was = holdPaused
		}
		return patch{"metadata": patch{"annotations": patch{v1alpha1.AnnotationHold: was}}, "spec": patch{"paused": true}}
	}
	meta := patch{"annotations": patch{v1alpha1.AnnotationHold: nil}}
	if action.Kind == delivery.LetGo {
		meta["labels"] = patch{v1alpha1.LabelRollout: nil}
	}
	out := patch{"metadata": meta}
	if o.Deployment.Hold != "" && o.Deployment.Hold != holdPaused {
		out["spec"] = patch{"paused": nil}
	}
	return out
}

// Values of the annotation crossfade.dev/hold: what the Deployment was before.
const (
	holdRunning = "running"
	holdPaused  = "paused"
)

func (a *actor) deployment(ctx context.Context, o *observed, p patch) error {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(deploymentKind)
	u.SetNamespace(o.Rollout.Namespace)
	u.SetName(o.Deployment.Name)
	return a.merge(ctx, u, o.Deployment.ResourceVersion, p)
}

func (a *actor) service(ctx context.Context, o *observed, action delivery.Action) error {
	rv := ""
	for _, s := range o.OtherServices {
		if s.Name == action.Object {
			rv = s.ResourceVersion
		}
	}
	if o.Service != nil && o.Service.Name == action.Object {
		rv = o.Service.ResourceVersion
	}
	if rv == "" {
		return fmt.Errorf("it was not observed")
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: o.Rollout.Namespace, Name: action.Object}}
	return a.merge(ctx, service, rv, servicePatch(o.Rollout.Name, action))
}

// servicePatch writes the label or the pin. The key in the selector is the
// policy's to write: a field manager that wrote it would own the whole selector,
// and the user's next server-side apply would conflict. Only where no policy
// works (Direct) it is written here.
func servicePatch(rollout string, action delivery.Action) patch {
	if action.Kind == delivery.LabelService {
		return patch{"metadata": patch{"labels": patch{v1alpha1.LabelRollout: rollout}}}
	}
	label, pin := any(rollout), any(nil)
	if action.Kind == delivery.Pin {
		pin = action.Revision
	}
	if action.Kind == delivery.UnlabelService {
		label = nil
	}
	out := patch{"metadata": patch{
		"labels":      patch{v1alpha1.LabelRollout: label},
		"annotations": patch{v1alpha1.AnnotationPin: pin},
	}}
	if action.Direct {
		out["spec"] = patch{"selector": patch{appsv1.DefaultDeploymentUniqueLabelKey: pin}}
	}
	return out
}

func (a *actor) createHolder(ctx context.Context, o *observed) error {
	holder := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.Rollout.Namespace, Name: holderName(o.Deployment.Name),
			Labels: map[string]string{v1alpha1.LabelRollout: o.Rollout.Name},
			// Owned, not controlled: deleting the Deployment takes it, and whatever it
			// controls; no controller acts on it.
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: deploymentKind.GroupVersion().String(), Kind: deploymentKind.Kind,
				Name: o.Deployment.Name, UID: types.UID(o.Deployment.UID),
			}},
		},
		Data:     runtime.RawExtension{Raw: []byte("{}")},
		Revision: 1,
	}
	err := a.client.Create(ctx, holder, client.FieldOwner(fieldManager))
	if apierrors.IsAlreadyExists(err) {
		return nil // An earlier pass made it and the cache does not show it yet.
	}
	return err
}

func (a *actor) deleteHolder(ctx context.Context, o *observed) error {
	if o.holder == nil {
		return nil
	}
	return client.IgnoreNotFound(a.client.Delete(ctx, o.holder,
		client.Preconditions{UID: &o.holder.UID, ResourceVersion: &o.holder.ResourceVersion},
		client.PropagationPolicy(metav1.DeletePropagationBackground)))
}

// createCanary makes the canary's ReplicaSet from the template as the API server
// serves it, so that no field is lost that this client does not know.
func (a *actor) createCanary(ctx context.Context, o *observed, action delivery.Action) error {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(deploymentKind)
	if err := a.live.Get(ctx, types.NamespacedName{Namespace: o.Rollout.Namespace, Name: o.Deployment.Name}, u); err != nil {
		return fmt.Errorf("get Deployment: %w", err)
	}
	template, _, err := unstructured.NestedMap(u.Object, "spec", "template")
	if err != nil {
		return fmt.Errorf("read template: %w", err)
	}
	if hash, err := podtemplate.Hash(template); err != nil || hash != o.Deployment.Template {
		return apierrors.NewConflict(appsv1.Resource("deployments"), o.Deployment.Name, fmt.Errorf("the template has changed since it was judged"))
	}
	selector, _, _ := unstructured.NestedMap(u.Object, "spec", "selector")
	rs := canaryReplicaSet(u.GetName(), u.GetNamespace(), action.Revision, template, selector)
	_ = unstructured.SetNestedField(rs.Object, int64(o.Deployment.MinReadySeconds), "spec", "minReadySeconds")
	rs.SetOwnerReferences([]metav1.OwnerReference{controllerRef(o.holder, controllerRevisionKind.Kind)})
	err = a.client.Create(ctx, rs, client.FieldOwner(fieldManager))
	if apierrors.IsAlreadyExists(err) {
		return nil // Its name is its template's hash: it is the one that is wanted.
	}
	return err
}

// canaryReplicaSet is a ReplicaSet with 0 replicas for a template, selected by
// the Deployment's selector and its own hash.
func canaryReplicaSet(deployment, namespace, revision string, template, selector map[string]any) *unstructured.Unstructured {
	template = podtemplate.Bare(template)
	meta, _ := template["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		template["metadata"] = meta
	}
	set := map[string]any{}
	if own, _ := meta["labels"].(map[string]any); own != nil {
		maps.Copy(set, own)
	}
	set[appsv1.DefaultDeploymentUniqueLabelKey] = revision
	meta["labels"] = set
	match := map[string]any{}
	if own, _ := selector["matchLabels"].(map[string]any); own != nil {
		maps.Copy(match, own)
	}
	match[appsv1.DefaultDeploymentUniqueLabelKey] = revision
	selector = maps.Clone(selector)
	selector["matchLabels"] = match
	rs := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"replicas": int64(0), "selector": selector, "template": template},
	}}
	rs.SetGroupVersionKind(replicaSetKind)
	rs.SetNamespace(namespace)
	rs.SetName(deployment + "-" + revision)
	labels := map[string]string{}
	for key, value := range set {
		labels[key], _ = value.(string)
	}
	rs.SetLabels(labels)
	return rs
}

// swap hands the Deployment from stable to the canary. Between the two writes it
// owns nothing, and nothing must be read: they are prepared before the first.
func (a *actor) swap(ctx context.Context, o *observed, action delivery.Action) error {
	leaves := ownedBy(o.holder, controllerRevisionKind.Kind, nil)
	joins := ownedBy(o.deployment, deploymentKind.Kind, revisionNumbered(action))
	if err := a.replicaSet(ctx, o, action.Object, leaves); err != nil {
		return err
	}
	return a.replicaSet(ctx, o, action.Joins, joins)
}

func (a *actor) replicaSet(ctx context.Context, o *observed, name string, p patch) error {
	rs, u := judgedReplicaSet(o, name)
	if rs == nil {
		return fmt.Errorf("ReplicaSet %s was not observed", name)
	}
	return a.merge(ctx, u, rs.ResourceVersion, p)
}

func (a *actor) deleteReplicaSet(ctx context.Context, o *observed, name string) error {
	rs, u := judgedReplicaSet(o, name)
	if rs == nil {
		return nil
	}
	uid := types.UID(rs.UID)
	return client.IgnoreNotFound(a.client.Delete(ctx, u, client.Preconditions{UID: &uid, ResourceVersion: &rs.ResourceVersion},
		client.PropagationPolicy(metav1.DeletePropagationBackground)))
}

// judgedReplicaSet is a ReplicaSet as it was observed, and the object by which it
// is written; nil when there was none of the name.
func judgedReplicaSet(o *observed, name string) (*delivery.ReplicaSet, *unstructured.Unstructured) {
	for i := range o.ReplicaSets {
		if o.ReplicaSets[i].Name == name {
			u := workloadObject(replicaSetKind)
			u.SetNamespace(o.Rollout.Namespace)
			u.SetName(name)
			return &o.ReplicaSets[i], u
		}
	}
	return nil, nil
}

// merge sends a merge patch under the resourceVersion that was judged.
func (a *actor) merge(ctx context.Context, obj client.Object, rv string, p patch) error {
	meta, _ := p["metadata"].(patch)
	if meta == nil {
		meta = patch{}
	}
	meta["resourceVersion"] = rv
	p["metadata"] = meta
	raw, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	return a.client.Patch(ctx, obj, client.RawPatch(types.MergePatchType, raw), client.FieldOwner(fieldManager))
}

// ownedBy replaces the whole list of owners: a ReplicaSet has one controller,
// and a list that is merged by hand could end with two.
func ownedBy(owner client.Object, kind string, annotations patch) patch {
	meta := patch{"ownerReferences": []metav1.OwnerReference{controllerRef(owner, kind)}}
	if annotations != nil {
		meta["annotations"] = annotations
	}
	return patch{"metadata": meta}
}

func controllerRef(owner client.Object, kind string) metav1.OwnerReference {
	yes, blocks := true, kind == deploymentKind.Kind
	return metav1.OwnerReference{
		APIVersion: appsv1.SchemeGroupVersion.String(), Kind: kind, Name: owner.GetName(), UID: owner.GetUID(),
		Controller: &yes, BlockOwnerDeletion: &blocks,
	}
}

func revisionNumbered(action delivery.Action) patch {
	return patch{annotationRevision: fmt.Sprint(action.RevisionNumber)}
}
