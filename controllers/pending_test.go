package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// say is an answer of the tests'.
type say struct{ question, text string }

func ofUID(uid string) *v1alpha1.Rollout {
	ro := &v1alpha1.Rollout{}
	ro.Namespace, ro.Name, ro.UID = "shop", "web", types.UID(uid)
	return ro
}

// TestPending goes through what can become of questions.
func TestPending(t *testing.T) {
	woken := 0
	p := newPending(func(s say) string { return s.question }, func(types.NamespacedName) { woken++ })
	ro := ofUID("one")
	claim := func(q string) *calls[string, say] { return p.claim(t.Context(), ro, q) }
	holds := func(what string, want ...say) {
		t.Helper()
		if diff := cmp.Diff(want, p.answered(ro), cmp.AllowUnexported(say{})); diff != "" {
			t.Errorf("%s (-want +got)\n%s", what, diff)
		}
	}
	a := claim("a")
	if a == nil || claim("a") != nil {
		t.Error("a question that is under way is asked again")
	}
	p.release(a, "a")
	if claim("a") != a {
		t.Error("a question without an answer has to be asked again, beside what else is under way")
	}
	claim("b")
	p.keep(a, say{"a", "yes"})
	holds("an answer is kept", say{"a", "yes"})
	holds("until it is seen", say{"a", "yes"})
	if woken != 1 || claim("a") != nil {
		t.Errorf("woken %d times; or asked again before the answer was seen", woken)
	}
	seen := p.answered(ro)
	p.keep(a, say{"b", "no"})
	p.seen(ro, seen)
	holds("what came meanwhile stays", say{"b", "no"})
	p.seen(ro, p.answered(ro))
	holds("all is seen")
	if len(p.rollouts) > 0 || a.context.Err() == nil {
		t.Errorf("a Rollout with nothing under way is kept: %v", p.rollouts)
	}
}

// TestPendingForgets: what a Rollout has asked ends with it, and is not taken for what
// another of the same name asks.
func TestPendingForgets(t *testing.T) {
	woken := 0
	p := newPending(func(s say) string { return s.question }, func(types.NamespacedName) { woken++ })
	first := p.claim(t.Context(), ofUID("one"), "a")
	second := p.claim(t.Context(), ofUID("two"), "a")
	if second == nil || first.context.Err() == nil {
		t.Error("another Rollout has questions of its own, and those of the first one end")
	}
	p.keep(first, say{"a", "too late"})
	p.seen(ofUID("one"), []say{{"a", "too late"}})
	if got := p.answered(ofUID("two")); len(got) > 0 || woken > 0 || p.claim(t.Context(), ofUID("two"), "a") != nil {
		t.Errorf("it got the first one's answers: %v", got)
	}
	p.forget(types.NamespacedName{Namespace: "shop", Name: "web"})
	if second.context.Err() == nil || len(p.rollouts) > 0 {
		t.Error("what is under way goes on for a Rollout that is gone")
	}
}
