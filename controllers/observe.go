package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// observer gathers an Observation. It reads from the caches, but the workload
// and its ReplicaSets from the API server itself while ownership changes hands:
// there a decision from a stale cache could start or kill pods.
type observer struct {
	cache   client.Reader
	live    client.Reader
	now     func() time.Time
	proxies *proxyWatch
	prober  *prober
	config  *configWatch
	besides
	parser  *parser
	advice  *perGeneration[[]string]
	matches *perGeneration[*delivery.Refusal]
}

// observed is an Observation with the objects that acting on it needs.
type observed struct {
	delivery.Observation
	deployment *workload
	holder     *appsv1.ControllerRevision
	// config are the ConfigMaps and Secrets that stable's and the canary's templates
	// name, while there are steps: nobody asks for them at another time.
	config    []configRef
	questions questions
}

// observe gathers everything about one Rollout.
func (o *observer) observe(ctx context.Context, ro *v1alpha1.Rollout) (*observed, error) {
	out := &observed{Observation: delivery.Observation{Now: o.now(), Rollout: ro}}
	reader := o.cache
	if delivery.NeedsLive(ro.Status.Record) {
		reader = o.live
	}
	if err := o.workload(ctx, reader, out); err != nil {
		return nil, err
	}
	if err := o.services(ctx, reader, out); err != nil {
		return nil, err
	}
	if err := o.budgets(ctx, out); err != nil {
		return nil, err
	}
	var err error
	if out.questions, out.Refused, err = o.parser.parse(ctx, ro); err != nil {
		return nil, err
	}
	if out.Checks = out.questions.checks; out.Refused == nil {
		if out.Refused, err = o.refusal(ctx, ro); err != nil {
			return nil, err
		}
	}
	if out.Refused == nil {
		out.Refused = o.hooks.refused.of(ro)
	}
	if out.Refused == nil {
		out.Refused = o.jobs.refusal(ctx, ro)
	}
	if err := o.schedules(ctx, out); err != nil {
		return nil, err
	}
	if out.Autoscaled, err = o.autoscaled(ctx, ro.Namespace, workloadName(ro)); err != nil {
		return nil, err
	}
	if out.NamespaceTerminating, err = o.terminating(ctx, ro.Namespace); err != nil {
		return nil, err
	}
	if out.Proxies, err = o.proxies.observe(ctx, ro, out.Now); err != nil {
		return nil, err
	}
	o.portsLacking(out)
	out.Advice = o.advice.of(ro)
	out.Samples, out.Told, out.HookAnswers = o.samples.answered(ro), o.notices.answered(ro), o.hooks.answered(ro)
	out.Config, out.ConfigKnown = o.config.versions(out.Rollout.Namespace, out.config)
	out.Policies = o.prober.policies(ctx, out)
	return out, o.asked(ctx, out)
}

// workloadName is the Deployment that a Rollout is about: the adopted one for as
// long as there is a record.
func workloadName(ro *v1alpha1.Rollout) string {
	if ro.Status.Record != nil {
		return ro.Status.Record.Workload
	}
	return ro.Spec.WorkloadRef.Name
}

func serviceName(ro *v1alpha1.Rollout) string {
	if ro.Status.Record != nil {
		return ro.Status.Record.Service
	}
	return ro.Spec.ServiceRef.Name
}

// workload reads the Deployment, the holder and the ReplicaSets with their pods.
func (o *observer) workload(ctx context.Context, reader client.Reader, out *observed) error {
	key := types.NamespacedName{Namespace: out.Rollout.Namespace, Name: workloadName(out.Rollout)}
	w := newWorkload(deploymentKind)
	if err := reader.Get(ctx, key, w); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("get Deployment: %w", err)
	}
	out.deployment, out.Deployment = w, deploymentFrom(w)

	holder := &appsv1.ControllerRevision{}
	err := reader.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: holderName(key.Name)}, holder)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get holder: %w", err)
	}
	if err == nil && holder.DeletionTimestamp == nil {
		out.holder = holder
		out.Holder = &delivery.Holder{Name: holder.Name, UID: string(holder.UID), ResourceVersion: holder.ResourceVersion}
		for _, ref := range holder.OwnerReferences {
			if ref.Kind == deploymentKind.Kind {
				out.Holder.Deployment = string(ref.UID)
			}
		}
	}
	return o.replicaSets(ctx, reader, out)
}

// replicaSets reads those that the Deployment or the holder controls.
func (o *observer) replicaSets(ctx context.Context, reader client.Reader, out *observed) error {
	list := newReplicaSetList()
	opts := []client.ListOption{client.InNamespace(out.Rollout.Namespace), client.MatchingLabelsSelector{Selector: out.deployment.pods}}
	if reader == o.cache {
		opts = []client.ListOption{client.InNamespace(out.Rollout.Namespace), client.MatchingFields{indexWorkload: out.Deployment.Name}}
	}
	if err := reader.List(ctx, list, opts...); err != nil {
		return fmt.Errorf("list ReplicaSets: %w", err)
	}
	for i := range list.Items {
		w := &list.Items[i]
		if w.GetDeletionTimestamp() != nil {
			continue
		}
		owner := delivery.OwnerNone
		switch {
		case controlledBy(w, out.deployment.GetUID()):
			owner = delivery.OwnerDeployment
		case out.holder != nil && controlledBy(w, out.holder.UID):
			owner = delivery.OwnerHolder
		case metav1.GetControllerOf(w) != nil:
			continue
		}
		rs := replicaSetFrom(w, owner)
		if record := out.Rollout.Status.Record; record != nil && record.Stage == v1alpha1.StageStepping && (w.revision == record.Stable || w.revision == record.Canary) {
			out.config = append(out.config, w.config...)
		}
		if err := o.countPods(ctx, out.Rollout.Namespace, &rs); err != nil {
			return err
		}
		out.ReplicaSets = append(out.ReplicaSets, rs)
	}
	slices.SortFunc(out.ReplicaSets, func(a, b delivery.ReplicaSet) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return nil
}

// portsLacking says why a canary with ready pods gets no requests: it does not
// serve a port of the Service that stable serves.
func (o *observer) portsLacking(out *observed) {
	rec := out.Rollout.Status.Record
	lacking := o.proxies.world.rendering(keyOf(out.Rollout)).Lacking
	if rec == nil || len(lacking) == 0 {
		return
	}
	for i := range out.ReplicaSets {
		if rs := &out.ReplicaSets[i]; rs.Revision == rec.Canary && rs.Trouble == "" {
			rs.Trouble = fmt.Sprintf("its pods do not serve port %s of Service %s, which stable serves", strings.Join(lacking, ", "), rec.Service)
		}
	}
}

// countPods counts a ReplicaSet's pods: all that exist, and those that are
// endpoints.
func (o *observer) countPods(ctx context.Context, namespace string, rs *delivery.ReplicaSet) error {
	pods := &corev1.PodList{}
	if err := o.cache.List(ctx, pods, client.InNamespace(namespace), client.MatchingFields{indexRevision: rs.Revision}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list pods of revision %s: %w", rs.Revision, err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if !controlledBy(pod, types.UID(rs.UID)) {
			continue
		}
		rs.Pods++
		switch {
		case pod.DeletionTimestamp != nil:
		case podReady(pod):
			rs.Ready++
		case rs.Trouble == "":
			rs.Trouble = podTrouble(pod)
		}
	}
	return nil
}

// services reads the Service whose requests are shifted, and every other one
// that selects the same pods.
func (o *observer) services(ctx context.Context, reader client.Reader, out *observed) error {
	list := &corev1.ServiceList{}
	// Most of them are somebody else's and looked at once: a copy of each would be
	// most of what an idle pass costs. Nothing here changes them.
	if err := reader.List(ctx, list, client.InNamespace(out.Rollout.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list Services: %w", err)
	}
	var template labels.Set
	if out.deployment != nil {
		template = out.deployment.podLabels
	}
	main := serviceName(out.Rollout)
	for i := range list.Items {
		s := &list.Items[i]
		seen := serviceFrom(s, template)
		if s.Name != main && !seen.Selects && s.Labels[v1alpha1.LabelRollout] != out.Rollout.Name {
			continue
		}
		var err error
		if seen.Unpinnable, err = o.unpinnable(ctx, s, out); err != nil {
			return err
		}
		if seen.Endpoints, err = o.endpoints(ctx, s); err != nil {
			return err
		}
		if s.Name == main {
			out.Service = &seen
		} else {
			out.OtherServices = append(out.OtherServices, seen)
		}
	}
	slices.SortFunc(out.OtherServices, func(a, b delivery.Service) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// unpinnable says why a Service that selects the Deployment's pods cannot be
// pinned to one revision of it.
func (o *observer) unpinnable(ctx context.Context, s *corev1.Service, out *observed) (string, error) {
	if other := s.Labels[v1alpha1.LabelRollout]; other != "" && other != out.Rollout.Name {
		return "it belongs to Rollout " + other, nil
	}
	if out.deployment == nil || out.Rollout.Status.Record != nil {
		return "", nil
	}
	pods := &corev1.PodList{}
	if err := o.cache.List(ctx, pods, client.InNamespace(s.Namespace), client.MatchingLabels(userSelector(s))); err != nil {
		return "", fmt.Errorf("list pods of Service %s: %w", s.Name, err)
	}
	own := out.deployment.pods
	for i := range pods.Items {
		if !own.Matches(labels.Set(pods.Items[i].Labels)) {
			return "it also selects pods of other workloads, such as " + pods.Items[i].Name, nil
		}
	}
	return "", nil
}

// endpoints are the revisions of the ready addresses that the EndpointSlices of
// a Service show, which is what clients outside the mesh are sent to.
func (o *observer) endpoints(ctx context.Context, s *corev1.Service) ([]string, error) {
	if s.Annotations[v1alpha1.AnnotationPin] == "" {
		return nil, nil
	}
	list := &discoveryv1.EndpointSliceList{}
	if err := o.cache.List(ctx, list, client.InNamespace(s.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: s.Name}); err != nil {
		return nil, fmt.Errorf("list EndpointSlices of Service %s: %w", s.Name, err)
	}
	var out []string
	for i := range list.Items {
		for _, e := range list.Items[i].Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			revision := ""
			if e.TargetRef != nil {
				pod := &corev1.Pod{}
				err := o.cache.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: e.TargetRef.Name}, pod)
				if client.IgnoreNotFound(err) != nil {
					return nil, fmt.Errorf("get pod of an endpoint: %w", err)
				}
				revision = pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
			}
			if !slices.Contains(out, revision) {
				out = append(out, revision)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// refusal looks for what the API server cannot see: an expression that no proxy takes,
// and other Rollouts that want the same.
func (o *observer) refusal(ctx context.Context, ro *v1alpha1.Rollout) (*delivery.Refusal, error) {
	if r := o.matches.of(ro); r != nil {
		return r, nil
	}
	for _, ref := range [][2]string{{indexWorkload, ro.Spec.WorkloadRef.Name}, {indexService, ro.Spec.ServiceRef.Name}} {
		field, name := ref[0], ref[1]
		list := &v1alpha1.RolloutList{}
		if err := o.cache.List(ctx, list, client.InNamespace(ro.Namespace), client.MatchingFields{field: name}); err != nil {
			return nil, fmt.Errorf("list Rollouts: %w", err)
		}
		for i := range list.Items {
			other := &list.Items[i]
			if other.UID != ro.UID && older(other, ro) {
				return &delivery.Refusal{Reason: v1alpha1.ReasonConflict, Message: fmt.Sprintf(
					"Rollout %s, which is older, already delivers %s: delete one of the two", other.Name, name)}, nil
			}
		}
	}
	return nil, nil
}

// older orders Rollouts that want the same object. One that has adopted it goes
// before one that has not; times of the API server have whole seconds only, so
// names break ties.
func older(a, b *v1alpha1.Rollout) bool {
	if has, had := a.Status.Record != nil, b.Status.Record != nil; has != had {
		return has
	}
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.Name < b.Name
}

func (o *observer) autoscaled(ctx context.Context, namespace, deployment string) (bool, error) {
	list := &autoscalingv2.HorizontalPodAutoscalerList{}
	if err := o.cache.List(ctx, list, client.InNamespace(namespace), client.MatchingFields{indexWorkload: deployment}); err != nil {
		return false, fmt.Errorf("list HorizontalPodAutoscalers: %w", err)
	}
	return len(list.Items) > 0, nil
}

func (o *observer) terminating(ctx context.Context, name string) (bool, error) {
	ns := &corev1.Namespace{}
	if err := o.cache.Get(ctx, types.NamespacedName{Name: name}, ns); err != nil {
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}
	return ns.DeletionTimestamp != nil, nil
}
