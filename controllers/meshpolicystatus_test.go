package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// lag is a server with proxies that have all of it or not, by node and view.
type lag map[[2]string]bool

func (l lag) Behind(concerns func(node, view string) bool) (behind, settled []string) {
	for key, done := range l {
		switch {
		case !concerns(key[0], key[1]):
		case done:
			settled = append(settled, key[0])
		default:
			behind = append(behind, key[0])
		}
	}
	return behind, settled
}

func timeoutPolicy() *v1alpha1.MeshPolicy {
	p := &v1alpha1.MeshPolicy{Spec: v1alpha1.MeshPolicySpec{Timeouts: &v1alpha1.TimeoutPolicy{}}}
	p.Name, p.Namespace, p.Generation = "p", "shop", 2
	return p
}

func sidecarPod(namespace, name string) *corev1.Pod {
	yes := true
	p := &corev1.Pod{}
	p.Name, p.Namespace, p.Labels = name, namespace, map[string]string{v1alpha1.LabelProxy: v1alpha1.ProxySidecar}
	p.Status.Phase = corev1.PodRunning
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "crossfade-proxy", Started: &yes}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", Started: &yes}}
	return p
}

func TestProgrammed(t *testing.T) {
	told := []metav1.Condition{{Type: "Accepted", Status: "True", Message: "fine", ObservedGeneration: 2}}
	strict := timeoutPolicy()
	strict.Spec = v1alpha1.MeshPolicySpec{MTLS: &v1alpha1.MTLSPolicy{Mode: v1alpha1.MTLSStrict}}
	traced := timeoutPolicy()
	traced.Spec.Telemetry = &v1alpha1.TelemetryPolicy{Tracing: &v1alpha1.TracingPolicy{SamplingPercent: 1}}
	since := func(p *v1alpha1.MeshPolicy, generation int64, accepted string) *v1alpha1.MeshPolicy {
		p = p.DeepCopy()
		p.Status.Conditions = []metav1.Condition{
			{Type: "Accepted", Status: "True", Message: accepted, ObservedGeneration: generation},
			{Type: "Programmed", Status: "True", Reason: "Acked", Message: "before", ObservedGeneration: generation},
		}
		return p
	}
	near, far := sidecarPod("shop", "a"), sidecarPod("web", "b")
	cases := map[string]struct {
		reason string
		policy *v1alpha1.MeshPolicy
		pods   []client.Object
		lag    lag
		traces bool
		want   string
	}{
		"nobody": {policy: timeoutPolicy(), want: "True Acked: in force for every proxy that comes: none that it concerns runs now"},
		"all acked": {
			policy: timeoutPolicy(), pods: []client.Object{near, far},
			lag:  lag{{"shop/a", "sidecar/shop/"}: true, {"web/b", "sidecar/web/"}: true, {"x", "mesh"}: false},
			want: "True Acked: in force: acked by all 2 proxies that it concerns",
		},
		"one lags": {
			policy: timeoutPolicy(), lag: lag{{"shop/a", "sidecar/shop/"}: true, {"web/b", "sidecar/web/"}: false},
			want: "False Pending: published; not acked by 1 of 2 proxies: web/b",
		},
		"one has no stream": {
			reason: "as all have just after a restart of the controller",
			policy: timeoutPolicy(), pods: []client.Object{near}, lag: lag{{"web/b", "sidecar/web/"}: true},
			want: "False Pending: published; not acked by 1 of 2 proxies: shop/a",
		},
		"one has another view": {
			reason: "it is about to come back for the one that the policy made",
			policy: timeoutPolicy(), pods: []client.Object{near}, lag: lag{{"shop/a", "sidecar/shop/p"}: true},
			want: "False Pending: published; not acked by 1 of 1 proxies: shop/a",
		},
		"other namespaces": {
			reason: "who is let in is the business of the pods alone",
			policy: strict, pods: []client.Object{near, far}, lag: lag{{"shop/a", "sidecar/shop/"}: true, {"web/b", "sidecar/web/"}: false},
			want: "True Acked: in force: acked by all 1 proxies that it concerns",
		},
		"the gateway asks, too": {
			policy: timeoutPolicy(), lag: lag{{"g/g", "gateway/crossfade-system/crossfade"}: false},
			want: "False Pending: published; not acked by 1 of 1 proxies: g/g",
		},
		"acked before": {
			reason: "what others change meanwhile does not take it back",
			policy: since(timeoutPolicy(), 2, "fine"), lag: lag{{"web/b", "sidecar/web/"}: false}, want: "True Acked: before",
		},
		"another generation": {
			policy: since(timeoutPolicy(), 1, "fine"), lag: lag{{"web/b", "sidecar/web/"}: false},
			want: "False Pending: published; not acked by 1 of 1 proxies: web/b",
		},
		"another verdict": {
			reason: "an older policy has gone, and what it decided is this one's now",
			policy: since(timeoutPolicy(), 2, "was conflicted"), lag: lag{{"web/b", "sidecar/web/"}: false},
			want: "False Pending: published; not acked by 1 of 1 proxies: web/b",
		},
		"many": {
			policy: timeoutPolicy(),
			pods: []client.Object{
				sidecarPod("shop", "1"), sidecarPod("shop", "2"), sidecarPod("shop", "3"), sidecarPod("shop", "4"), sidecarPod("shop", "5"),
			},
			want: "False Pending: published; not acked by 5 of 5 proxies: shop/1, shop/2, shop/3 and 2 more",
		},
		"tracing without a collector": {
			policy: traced,
			want:   "True Acked: in force for every proxy that comes: none that it concerns runs now; but telemetry.tracing: the controller has no collector to send spans to (--otlp-collector)",
		},
		"tracing": {
			policy: traced, traces: true, want: "True Acked: in force for every proxy that comes: none that it concerns runs now",
		},
		"the controller has no collector any more": {
			reason: "what was said under another flag is not true any more",
			policy: since(traced, 2, "fine"),
			want:   "True Acked: in force for every proxy that comes: none that it concerns runs now; but telemetry.tracing: the controller has no collector to send spans to (--otlp-collector)",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, c := newPolicyStatuses(t, tc.lag, append(tc.pods, tc.policy)...)
			s.traces = tc.traces
			s.published(map[types.NamespacedName][]metav1.Condition{{Namespace: "shop", Name: "p"}: told})
			got := reconcilePolicy(t, s, c)
			if diff := cmp.Diff(tc.want, string(got.Status)+" "+got.Reason+": "+got.Message); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tc.reason, diff)
			}
			if pending := s.pending[types.NamespacedName{Namespace: "shop", Name: "p"}]; (pending != nil) != (got.Status == metav1.ConditionFalse) {
				t.Errorf("waits for acks: %v", pending)
			}
		})
	}
}

// In a mesh where something is always on its way there is no moment at which all proxies have everything.
func TestPolicyCountsWhoConfirmedSince(t *testing.T) {
	a, b := [2]string{"shop/a", "sidecar/shop/"}, [2]string{"web/b", "sidecar/web/"}
	l := lag{a: true, b: false}
	s, c := newPolicyStatuses(t, l, timeoutPolicy())
	published := func(message string) {
		s.published(map[types.NamespacedName][]metav1.Condition{{Namespace: "shop", Name: "p"}: {{Type: "Accepted", Status: "True", Message: message, ObservedGeneration: 2}}})
	}
	says := func(want string) {
		t.Helper()
		got := reconcilePolicy(t, s, c)
		if diff := cmp.Diff(want, string(got.Status)+" "+got.Reason+": "+got.Message); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	published("fine")
	says("False Pending: published; not acked by 1 of 2 proxies: web/b")
	// What a had confirmed is published anew in another shape: it begins again.
	published("finer")
	l[a], l[b] = false, false
	says("False Pending: published; not acked by 2 of 2 proxies: shop/a, web/b")
	// Each has everything at another time, between changes of others.
	l[a] = true
	says("False Pending: published; not acked by 1 of 2 proxies: web/b")
	l[a], l[b] = false, true
	says("True Acked: in force: acked by all 2 proxies that it concerns")
}

func TestPolicyWaitsForTheMeshLoop(t *testing.T) {
	s, c := newPolicyStatuses(t, nil, timeoutPolicy())
	for what, told := range map[string]map[types.NamespacedName][]metav1.Condition{
		"nothing is published":        nil,
		"an earlier one is published": {{Namespace: "shop", Name: "p"}: {{Type: "Accepted", Status: "True", ObservedGeneration: 1}}},
	} {
		s.published(told)
		if got := reconcilePolicy(t, s, c); got != (metav1.Condition{}) {
			t.Errorf("%s, but the status says %+v", what, got)
		}
	}
}

func TestPolicyIsWokenByWhatConcernsIt(t *testing.T) {
	s, c := newPolicyStatuses(t, lag{{"web/b", "sidecar/web/"}: false}, timeoutPolicy())
	var woken []string
	s.wake = func(key types.NamespacedName) { woken = append(woken, key.Name) }
	key := types.NamespacedName{Namespace: "shop", Name: "p"}
	told := func(message string) map[types.NamespacedName][]metav1.Condition {
		return map[types.NamespacedName][]metav1.Condition{key: {{Type: "Accepted", Status: "True", Message: message, ObservedGeneration: 2}}}
	}
	s.acked()
	s.published(told("a"))
	s.published(told("a"))
	if diff := cmp.Diff([]string{"p"}, woken); diff != "" {
		t.Errorf("published twice (-want +got)\n%s", diff)
	}
	reconcilePolicy(t, s, c)
	s.acked()
	if diff := cmp.Diff([]string{"p", "p"}, woken); diff != "" {
		t.Errorf("it waits for an ack (-want +got)\n%s", diff)
	}
	if err := c.Delete(t.Context(), timeoutPolicy()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
		t.Fatal(err)
	}
	s.acked()
	if len(woken) != 2 {
		t.Errorf("a deleted policy still waits: %v", woken)
	}
}

func newPolicyStatuses(t *testing.T, l lag, objects ...client.Object) (*policyStatuses, client.Client) {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.MeshPolicy{}).Build()
	gateway := types.NamespacedName{Namespace: "crossfade-system", Name: "crossfade"}
	views := NewViews(gateway)
	views.set(map[types.NamespacedName]string{{Namespace: "shop", Name: "a"}: "", {Namespace: "web", Name: "b"}: ""}, []ir.Sidecar{{Namespace: "shop"}, {Namespace: "web"}})
	return &policyStatuses{
		client: c, lag: l, world: newWorld(gateway, views), now: func() time.Time { return time.Unix(1000, 0) },
		wake: func(types.NamespacedName) {},
		told: map[types.NamespacedName][]metav1.Condition{}, pending: map[types.NamespacedName]*awaited{},
	}, c
}

// reconcilePolicy returns what policy p says of its proxies then.
func reconcilePolicy(t *testing.T, s *policyStatuses, c client.Client) metav1.Condition {
	t.Helper()
	key := types.NamespacedName{Namespace: "shop", Name: "p"}
	if _, err := s.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
		t.Fatal(err)
	}
	policy := &v1alpha1.MeshPolicy{}
	if err := c.Get(t.Context(), key, policy); err != nil {
		t.Fatal(err)
	}
	if condition := meta.FindStatusCondition(policy.Status.Conditions, v1alpha1.ConditionProgrammed); condition != nil {
		got := *condition
		got.LastTransitionTime = metav1.Time{}
		return got
	}
	return metav1.Condition{}
}
