package controllers

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// TestAnswers lets people act in a cluster whose policies are missing, on a Rollout
// that there is and on one that there is not: each gets an answer, and what has had
// it long enough goes.
func TestAnswers(t *testing.T) {
	idle := startIdle(t, 1)
	key := idle.request.NamespacedName
	t.Run("nobody vouches", func(t *testing.T) {
		a := idle.act(t, key)
		a = idle.answered(t, a, key)
		if a.Status.Phase != v1alpha1.ActionRefused || !strings.Contains(a.Status.Message, "nobody knows who asked: the admission policies names.crossfade.dev and acts.crossfade.dev are missing") {
			t.Errorf("got %+v", a.Status)
		}
		if a.Status.By != "" || a.Status.AppliedAt == nil {
			t.Errorf("a name that nobody vouches for is shown, or no time: %+v", a.Status)
		}
		if len(a.OwnerReferences) != 1 || a.OwnerReferences[0].Name != key.Name {
			t.Errorf("it has to go with its Rollout: %+v", a.OwnerReferences)
		}
	})
	t.Run("no such Rollout", func(t *testing.T) {
		none := types.NamespacedName{Namespace: key.Namespace, Name: "none"}
		a := idle.answered(t, idle.act(t, none), none)
		if a.Status.Phase != v1alpha1.ActionRefused || a.Status.Message != "there is no Rollout none in namespace "+key.Namespace {
			t.Errorf("got %+v", a.Status)
		}
		week := 7 * 24 * time.Hour
		result, err := idle.Reconcile(t.Context(), ctrl.Request{NamespacedName: none})
		if err != nil || result.RequeueAfter < week-time.Minute || result.RequeueAfter > week {
			t.Errorf("it is looked at again when it goes, got %+v, %v", result, err)
		}
		idle.age(t, a)
		idle.until(t, "it is gone", func() bool {
			if _, err := idle.Reconcile(t.Context(), ctrl.Request{NamespacedName: none}); err != nil {
				t.Fatal(err)
			}
			return apierrors.IsNotFound(idle.observer.live.Get(t.Context(), client.ObjectKeyFromObject(a), &v1alpha1.RolloutAction{}))
		})
	})
	t.Run("a stale judgement answers nothing", func(t *testing.T) {
		a := idle.act(t, key)
		ro := &v1alpha1.Rollout{}
		if err := idle.observer.live.Get(t.Context(), key, ro); err != nil {
			t.Fatal(err)
		}
		ro.ResourceVersion = "1"
		seen := &observed{}
		seen.Rollout, seen.Asked = ro, []v1alpha1.RolloutAction{*a}
		err := idle.actor.answer(t.Context(), seen, delivery.Action{Kind: delivery.AnswerAction, Object: a.Name, Answer: &v1alpha1.RolloutActionStatus{Phase: v1alpha1.ActionRefused}})
		if err == nil || !strings.Contains(err.Error(), "it has changed since it was judged") {
			t.Errorf("got %v", err)
		}
	})
}

// TestVouched lets a person with the operators' role pause and take back a delivery:
// from his request to the record, with the policies of a real API server.
func TestVouched(t *testing.T) {
	idle := startIdle(t, 1)
	key := idle.request.NamespacedName
	c := &crew{t: t, config: idle.config, root: newClient(t, idle.config)}
	c.create("rbac", "people.yaml")
	c.bind("otto", "crossfade-operator")
	c.create("policies", "names.yaml", "acts.yaml")
	c.settle(t)
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	if err := c.root.Patch(t.Context(), d, client.RawPatch(types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`))); err != nil {
		t.Fatal(err)
	}
	ro := &v1alpha1.Rollout{}
	idle.until(t, "a canary is on its way", func() bool { return idle.passed(t, ro).Record.Canary != "" })
	canary := ro.Status.Record.Canary

	says := func(kind v1alpha1.ActionKind) *v1alpha1.RolloutAction {
		a := action(kind)
		a.Namespace, a.GenerateName, a.Spec.Rollout, a.Spec.Revision = key.Namespace, key.Name+"-", key.Name, canary
		a.Annotations = map[string]string{v1alpha1.AnnotationBy: "somebody else"}
		if err := c.as("otto").Create(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		return idle.answered(t, a, key)
	}
	var paused *v1alpha1.RolloutAction
	idle.until(t, "actions are newer than the policies", func() bool {
		paused = says(v1alpha1.ActionPause)
		return !strings.Contains(paused.Status.Message, "older than the admission policies")
	})
	if s := paused.Status; s.Phase != v1alpha1.ActionApplied || s.By != "otto" || s.Message != "revision "+canary+" stays where it is" {
		t.Errorf("got %+v", s)
	}
	if w := idle.passed(t, ro).Record.Paused; w == nil || w.By != "otto" || w.Reason != "INC-7" {
		t.Errorf("the record has to say who paused: %+v", w)
	}
	if s := says(v1alpha1.ActionAbort).Status; s.Phase != v1alpha1.ActionApplied || s.By != "otto" {
		t.Errorf("got %+v", s)
	}
	status := idle.passed(t, ro)
	if len(status.History) != 1 || status.History[0].Outcome != v1alpha1.OutcomeAborted || status.History[0].By != "otto" || status.Record.Reason != "Aborted" {
		t.Errorf("the status has to say who aborted: %+v, %+v", status.History, status.Record)
	}
}

// passed makes a pass and reads what it has left.
func (l *idleLoop) passed(t *testing.T, ro *v1alpha1.Rollout) *v1alpha1.RolloutStatus {
	t.Helper()
	if _, err := l.Reconcile(t.Context(), l.request); err != nil {
		t.Fatal(err)
	}
	if err := l.observer.live.Get(t.Context(), l.request.NamespacedName, ro); err != nil {
		t.Fatal(err)
	}
	return &ro.Status
}

// act creates an action.
func (l *idleLoop) act(t *testing.T, on types.NamespacedName) *v1alpha1.RolloutAction {
	t.Helper()
	a := &v1alpha1.RolloutAction{
		ObjectMeta: metav1.ObjectMeta{GenerateName: on.Name + "-", Namespace: on.Namespace},
		Spec:       v1alpha1.RolloutActionSpec{Rollout: on.Name, Action: v1alpha1.ActionPause, Revision: "78bd5d695"},
	}
	a.Annotations = map[string]string{v1alpha1.AnnotationBy: "forged"}
	if err := l.client.Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return a
}

// answered makes passes until an action has its answer.
func (l *idleLoop) answered(t *testing.T, a *v1alpha1.RolloutAction, on types.NamespacedName) *v1alpha1.RolloutAction {
	t.Helper()
	now := &v1alpha1.RolloutAction{}
	l.until(t, "it is answered", func() bool {
		if _, err := l.Reconcile(t.Context(), ctrl.Request{NamespacedName: on}); err != nil {
			t.Fatal(err)
		}
		if err := l.client.Get(t.Context(), client.ObjectKeyFromObject(a), now); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return now.Status.Phase != ""
	})
	return now
}

// age makes an answer a week old.
func (l *idleLoop) age(t *testing.T, a *v1alpha1.RolloutAction) {
	t.Helper()
	old := a.DeepCopy()
	at := metav1.NewMicroTime(time.Now().Add(-7 * 24 * time.Hour))
	old.Status.AppliedAt = &at
	if err := l.client.Status().Patch(t.Context(), old, client.MergeFrom(a)); err != nil {
		t.Fatal(err)
	}
}

func (l *idleLoop) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
