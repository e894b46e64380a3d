package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// lagTable is what the xDS server knows of proxies that lag behind what is published.
type lagTable interface {
	Behind(concerns func(node, view string) bool) (behind, settled []string)
}

// policyStatuses tells the owners of MeshPolicies what became of them: what the mesh
// loop found out when it built the world, and since when the proxies have it.
type policyStatuses struct {
	client client.Client
	lag    lagTable
	world  *world
	now    func() time.Time
	// traces says that there is a collector for spans.
	traces bool
	// wake asks for a policy to be looked at.
	wake func(types.NamespacedName)

	mu sync.Mutex
	// told are the conditions of each policy that the published world was built from.
	told map[types.NamespacedName][]metav1.Condition
	// pending are the policies that some proxy does not have yet.
	pending map[types.NamespacedName]*awaited
}

// awaited is a policy that some proxy does not have yet.
type awaited struct {
	// told is what the policy was published with.
	told []metav1.Condition
	// confirmed are the proxies that have had all that was published at some time since
	// then. In a mesh where one change follows the other there may be no moment at which
	// all of them have everything.
	confirmed map[string]bool
}

// published takes over what was just handed to the xDS server.
func (s *policyStatuses) published(told map[types.NamespacedName][]metav1.Condition) {
	s.mu.Lock()
	var changed []types.NamespacedName
	for key, conditions := range told {
		if !equality.Semantic.DeepEqual(s.told[key], conditions) {
			changed = append(changed, key)
		}
	}
	s.told = told
	s.mu.Unlock()
	for _, key := range changed {
		s.wake(key)
	}
}

// acked wakes the policies that wait for proxies.
func (s *policyStatuses) acked() {
	s.mu.Lock()
	waiting := slices.Collect(maps.Keys(s.pending))
	s.mu.Unlock()
	for _, key := range waiting {
		s.wake(key)
	}
}

// Reconcile brings the status of one policy up to date.
func (s *policyStatuses) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	policy := &v1alpha1.MeshPolicy{}
	if err := s.client.Get(ctx, req.NamespacedName, policy); err != nil {
		s.settle(req.NamespacedName)
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("get MeshPolicy: %w", err)
	}
	s.mu.Lock()
	told := s.told[req.NamespacedName]
	s.mu.Unlock()
	if len(told) == 0 || told[0].ObservedGeneration != policy.Generation {
		return ctrl.Result{}, nil // The mesh loop has not seen it yet, and wakes it then.
	}
	proxies, err := s.proxies(ctx, policy)
	if err != nil {
		return ctrl.Result{}, err
	}
	proxies = s.await(req.NamespacedName, told, proxies)
	next := policy.DeepCopy()
	next.Status.ObservedGeneration = policy.Generation
	next.Status.Conditions = mergeConditions(policy.Status.Conditions, append(slices.Clone(told), s.programmed(policy, told, proxies)), s.now())
	if meta.IsStatusConditionTrue(next.Status.Conditions, v1alpha1.ConditionProgrammed) {
		s.settle(req.NamespacedName)
	}
	if equality.Semantic.DeepEqual(policy.Status, next.Status) {
		return ctrl.Result{}, nil
	}
	err = s.client.Status().Patch(ctx, next, client.MergeFromWithOptions(policy, client.MergeFromWithOptimisticLock{}), client.FieldOwner(fieldManager))
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return ctrl.Result{}, nil // Its change comes here by itself.
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("patch status of MeshPolicy: %w", err)
	}
	return ctrl.Result{}, nil
}

// await remembers that a policy waits for proxies, and which of them have confirmed since it was published.
func (s *policyStatuses) await(key types.NamespacedName, told []metav1.Condition, now confirmations) confirmations {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.pending[key]
	if a == nil || !equality.Semantic.DeepEqual(a.told, told) {
		a = &awaited{told: told, confirmed: map[string]bool{}}
		s.pending[key] = a
	}
	for _, node := range now.settled {
		a.confirmed[node] = true
	}
	all := confirmations{settled: slices.Clone(now.settled)}
	for _, node := range now.missing {
		if a.confirmed[node] {
			all.settled = append(all.settled, node)
		} else {
			all.missing = append(all.missing, node)
		}
	}
	return all
}

// settle forgets a policy that waits for nobody.
func (s *policyStatuses) settle(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, key)
}

// proxies counts those that a policy concerns: the sidecars of its namespace, and if it
// speaks of requests to Services, all that may send some. Those that run without a
// stream have not confirmed anything.
func (s *policyStatuses) proxies(ctx context.Context, policy *v1alpha1.MeshPolicy) (confirmations, error) {
	sidecars := "sidecar/" + policy.Namespace + "/"
	concerns := func(view string) bool {
		if asksCallers(&policy.Spec) {
			return strings.HasPrefix(view, "sidecar/") || strings.HasPrefix(view, "gateway/")
		}
		return strings.HasPrefix(view, sidecars)
	}
	missing := map[string]bool{}
	pods := &corev1.PodList{}
	if err := s.client.List(ctx, pods, client.HasLabels{v1alpha1.LabelProxy}, client.UnsafeDisableDeepCopy); err != nil {
		return confirmations{}, fmt.Errorf("list proxies: %w", err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		gateway := pod.Labels[v1alpha1.LabelProxy] == v1alpha1.ProxyGateway
		runs := gateway && proxyRuns(pod) || !gateway && pod.DeletionTimestamp == nil && sidecarRuns(pod)
		if runs && (asksCallers(&policy.Spec) || !gateway && pod.Namespace == policy.Namespace) {
			missing[nodeID(pod.Namespace, pod.Name)] = true
		}
	}
	behind, settled := s.lag.Behind(func(node, view string) bool {
		// One that has another view than it should is about to come back.
		return concerns(view) && s.world.views.is(node, view)
	})
	for _, node := range settled {
		delete(missing, node)
	}
	for _, node := range behind {
		missing[node] = true
	}
	return confirmations{settled: settled, missing: slices.Sorted(maps.Keys(missing))}, nil
}

// is says whether a node should have a view.
func (v *Views) is(node, view string) bool {
	if view == v.gateway {
		return true
	}
	namespace, pod, _ := strings.Cut(node, "/")
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.pods[types.NamespacedName{Namespace: namespace, Name: pod}] == view
}

// asksCallers says whether a policy binds those who call a Service. The others bind the
// Service's own pods only.
func asksCallers(spec *v1alpha1.MeshPolicySpec) bool {
	return spec.Timeouts != nil || spec.Retries != nil || spec.CircuitBreaker != nil || spec.OutlierDetection != nil
}

// confirmations are what proxies say to a policy.
type confirmations struct {
	// settled have acked all that is published for them, missing have not; these are
	// sorted.
	settled, missing []string
}

// programmed says whether the proxies have what a policy asks for. Once they have, a
// later change of anything else does not take that back: only another generation, or
// another verdict on this one, begins anew. So its time is when the last of them
// confirmed.
func (s *policyStatuses) programmed(policy *v1alpha1.MeshPolicy, told []metav1.Condition, proxies confirmations) metav1.Condition {
	out := metav1.Condition{Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionTrue, ObservedGeneration: policy.Generation}
	before := meta.FindStatusCondition(policy.Status.Conditions, v1alpha1.ConditionProgrammed)
	untraced := !s.traces && asksForSpans(&policy.Spec)
	if before != nil && before.Status == metav1.ConditionTrue && before.ObservedGeneration == policy.Generation &&
		strings.HasSuffix(before.Message, noCollector) == untraced && knows(policy.Status.Conditions, told) {
		return *before
	}
	if n := len(proxies.missing); n > 0 {
		out.Status, out.Reason = metav1.ConditionFalse, v1alpha1.ReasonPending
		names := strings.Join(proxies.missing[:min(n, maxSilentNames)], ", ")
		if n > maxSilentNames {
			names += fmt.Sprintf(" and %d more", n-maxSilentNames)
		}
		out.Message = fmt.Sprintf("published; not acked by %d of %d proxies: %s", n, n+len(proxies.settled), names)
		return out
	}
	out.Reason = v1alpha1.ReasonAcked
	out.Message = fmt.Sprintf("in force: acked by all %d proxies that it concerns", len(proxies.settled))
	if len(proxies.settled) == 0 {
		out.Message = "in force for every proxy that comes: none that it concerns runs now"
	}
	if untraced {
		out.Message += noCollector
	}
	return out
}

// noCollector is what is said of a policy that asks for spans when nobody takes them.
const noCollector = "; but telemetry.tracing: the controller has no collector to send spans to (--otlp-collector)"

func asksForSpans(spec *v1alpha1.MeshPolicySpec) bool {
	return spec.Telemetry != nil && spec.Telemetry.Tracing != nil && spec.Telemetry.Tracing.SamplingPercent > 0
}

// knows says whether a policy has been told all of it before.
func knows(before, told []metav1.Condition) bool {
	for _, c := range told {
		was := meta.FindStatusCondition(before, c.Type)
		if was == nil || was.Status != c.Status || was.Message != c.Message {
			return false
		}
	}
	return true
}

// mergeConditions dates conditions: from before where the status did not change, from
// now where it did.
func mergeConditions(before, wanted []metav1.Condition, now time.Time) []metav1.Condition {
	g := gatewayStatuses{now: func() time.Time { return now }}
	return g.merge(before, wanted)
}
