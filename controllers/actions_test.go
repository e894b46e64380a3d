package controllers

import (
	"strings"
	"testing"
	"time"

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
