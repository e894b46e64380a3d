package controllers

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// TestCarryOutTellsOnce: a write that meets a conflict is planned again by the next
// pass; what it tells is told when it is done.
func TestCarryOutTellsOnce(t *testing.T) {
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments"}}
	ro := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments"}}
	conflicts := 2
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(service, ro).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, w client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if conflicts--; conflicts >= 0 {
				return apierrors.NewConflict(appsv1.Resource("services"), o.GetName(), nil)
			}
			return w.Patch(ctx, o, p, opts...)
		},
	}).Build()
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(service), service); err != nil {
		t.Fatal(err)
	}
	recorder := events.NewFakeRecorder(9)
	beside := besides{jobs: &jobs{cache: c, api: c}, samples: newSampler(nil, nil, nil, nil), notices: newNotifier(nil, nil, nil), hooks: newAsker(nil, nil, nil, nil, nil)}
	meters, err := newMeters(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	l := &rolloutLoop{client: c, actor: &actor{client: c}, besides: beside, events: recorder, meters: meters}
	seen := &observed{Observation: delivery.Observation{
		Rollout: ro, Service: &delivery.Service{Name: "payments", ResourceVersion: service.ResourceVersion},
	}}
	plan := delivery.Plan{Actions: []delivery.Action{{
		Kind: delivery.Pin, Object: "payments", Revision: "c1",
		Tells: &delivery.Event{Warning: true, Reason: delivery.EventPinMoved, Message: "it moves"},
	}}}
	for range 2 {
		if err := l.carryOut(t.Context(), seen, plan); !apierrors.IsConflict(err) {
			t.Fatalf("got %v, want a conflict", err)
		}
		if len(recorder.Events) > 0 {
			t.Fatal("told before it is done")
		}
	}
	if err := l.carryOut(t.Context(), seen, plan); err != nil {
		t.Fatal(err)
	}
	if got, want := len(recorder.Events), 1; got != want {
		t.Fatalf("%d events, want %d", got, want)
	}
	if got, want := <-recorder.Events, "Warning PinMoved it moves"; got != want {
		t.Errorf("event %q, want %q", got, want)
	}
}

// TestCarryOutCounts: an answer counts when what it led to is written, and only then.
func TestCarryOutCounts(t *testing.T) {
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	ro := withJob()
	away := true
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(ro).WithStatusSubresource(ro).WithInterceptorFuncs(interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, w client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if away {
				return apierrors.NewConflict(appsv1.Resource("rollouts"), o.GetName(), nil)
			}
			return w.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	}).Build()
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(ro), ro); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	meters, err := newMeters(registry)
	if err != nil {
		t.Fatal(err)
	}
	beside := besides{jobs: &jobs{cache: c, api: c}, samples: newSampler(nil, nil, nil, nil), notices: newNotifier(nil, nil, nil), hooks: newAsker(nil, nil, nil, nil, nil)}
	l := &rolloutLoop{client: c, actor: &actor{client: c}, besides: beside, events: events.NewFakeRecorder(9), meters: meters}
	seen := &observed{Observation: delivery.Observation{
		Rollout: ro, HookAnswers: []delivery.HookAnswer{{Question: delivery.Question{Hook: ro.Spec.Hooks[0].Name}, Outcome: delivery.HookYes}},
	}}
	plan := delivery.Plan{Status: v1alpha1.RolloutStatus{Message: "the hook has said yes"}}
	for _, want := range []float64{0, 1} {
		if err := l.carryOut(t.Context(), seen, plan); away != apierrors.IsConflict(err) {
			t.Fatalf("got %v, want a conflict: %v", err, away)
		}
		if got := series(t, registry, "crossfade_job_runs_total")["of=hook,outcome=Complete"]; got != want {
			t.Errorf("%v counted, want %v", got, want)
		}
		away = false
	}
}
