package controllers

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/controllers/outbound"
	"github.com/crossfade-dev/crossfade/delivery"
)

// fakePoster answers as told, once it is let; a nil let answers at once.
type fakePoster struct {
	let    chan struct{}
	posts  chan posted
	answer outbound.Answer
}

type posted struct {
	target  outbound.Target
	body    string
	headers http.Header
	timeout time.Duration
}

func (f *fakePoster) Post(ctx context.Context, t outbound.Target, body []byte, headers http.Header, timeout time.Duration) outbound.Answer {
	f.posts <- posted{t, string(body), headers, timeout}
	if f.let != nil {
		select {
		case <-f.let:
		case <-ctx.Done():
			return outbound.Answer{Message: "the connection failed"}
		}
	}
	return f.answer
}

func (f *fakePoster) CheckURL(u *url.URL) error {
	if u.Host == "good" {
		return nil
	}
	return &outbound.Refusal{Why: "host " + u.Host + " is not allowed"}
}

var askedStep = delivery.Question{Hook: "gate", At: v1alpha1.BeforeStep, Step: 2, Revision: "c1", Attempt: 1}

func hooked(h v1alpha1.HTTPHook) *v1alpha1.Rollout {
	return &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments", UID: "u1"},
		Spec:       v1alpha1.RolloutSpec{Hooks: []v1alpha1.Hook{{Name: "gate", At: v1alpha1.BeforeStep, HTTP: &h}}},
		Status: v1alpha1.RolloutStatus{Phase: v1alpha1.PhaseProgressing, Record: &v1alpha1.Record{
			Stage: v1alpha1.StageStepping, Workload: "payments", Service: "payments", Stable: "s1", Canary: "c1", Attempt: 1, Step: 1, Weight: 5, Total: 100,
			Hooks: []v1alpha1.HookRecord{{Name: "gate", At: v1alpha1.BeforeStep, Step: 2, Revision: "c1", Attempt: 1, State: v1alpha1.HookAsking, Answers: 2}},
		}},
	}
}

func shopServices(t *testing.T) *fake.ClientBuilder {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	port, name, no := int32(8080), "http", false
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "gate"},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}}},
		},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "out"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "169.254.169.254", Ports: []corev1.ServicePort{{Port: 80}}}},
		&discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "gate-1", Labels: map[string]string{discoveryv1.LabelServiceName: "gate"}},
			Ports:      []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
			Endpoints: []discoveryv1.Endpoint{
				{Addresses: []string{"10.1.1.1"}}, {Addresses: []string{"10.1.1.2"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}},
			},
		},
	)
}

func newTestAsker(t *testing.T, p poster) (*asker, chan types.NamespacedName) {
	woken := make(chan types.NamespacedName, 99)
	return newAsker(p, nil, shopServices(t).Build(), func() time.Time { return time.Unix(1000, 0) }, func(k types.NamespacedName) { woken <- k }), woken
}

// TestHookRequest is what is documented: a field that changes here breaks somebody's
// script.
func TestHookRequest(t *testing.T) {
	p := &fakePoster{posts: make(chan posted, 9), answer: outbound.Answer{Code: 200, Message: "answered 200"}}
	a, woken := newTestAsker(t, p)
	ro := hooked(v1alpha1.HTTPHook{ServiceRef: &v1alpha1.ServicePortRef{Name: "gate", Port: 80}, Path: "/ask?a=b", Timeout: metav1.Duration{Duration: time.Second}})
	a.ask(t.Context(), ro, []delivery.Question{askedStep})
	<-woken
	got := <-p.posts
	want := `{"apiVersion":"hooks.crossfade.dev/v1","kind":"HookRequest","hook":"gate","at":"BeforeStep","key":"u1/c1/1/gate/2","namespace":"shop","rollout":"payments","uid":"u1","deployment":"payments","service":"payments","stable":"s1","canary":"c1","attempt":1,"try":3,"step":2,"weight":5,"totalWeight":100,"phase":"Progressing"}`
	if diff := cmp.Diff(want, got.body); diff != "" {
		t.Errorf("body: -want +got\n%s", diff)
	}
	if key := got.headers.Get("Crossfade-Delivery"); key != "u1/c1/1/gate/2" || got.timeout != time.Second {
		t.Errorf("key %q, timeout %s", key, got.timeout)
	}
	if diff := cmp.Diff([]netip.AddrPort{netip.MustParseAddrPort("10.1.1.1:8080")}, got.target.Own, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" || got.target.URL.String() != "http://gate.shop:80/ask?a=b" {
		t.Errorf("asked %s at %v", got.target.URL, got.target.Own)
	}
	answers := a.answered(ro)
	if len(answers) != 1 || answers[0].Question != askedStep || answers[0].Outcome != delivery.HookYes || !answers[0].Came.Equal(time.Unix(1000, 0)) {
		t.Errorf("answers %+v", answers)
	}
	a.seen(ro, answers)
	if len(a.answered(ro)) > 0 || len(a.rollouts) > 0 {
		t.Errorf("what was seen is kept: %+v", a.rollouts)
	}
}

// TestHookTargets: who cannot be asked, and why.
func TestHookTargets(t *testing.T) {
	cases := map[string]struct {
		reason string
		hook   v1alpha1.HTTPHook
		want   string
	}{
		"no Service":     {"it may come", v1alpha1.HTTPHook{ServiceRef: &v1alpha1.ServicePortRef{Name: "none", Port: 80}}, "there is no Service none"},
		"no such port":   {"", v1alpha1.HTTPHook{ServiceRef: &v1alpha1.ServicePortRef{Name: "gate", Port: 81}}, "Service gate has no TCP port 81"},
		"UDP":            {"", v1alpha1.HTTPHook{ServiceRef: &v1alpha1.ServicePortRef{Name: "gate", Port: 53}}, "Service gate has no TCP port 53"},
		"out of it":      {"a Service that is a name elsewhere", v1alpha1.HTTPHook{ServiceRef: &v1alpha1.ServicePortRef{Name: "out", Port: 80}}, "Service out is of type ExternalName, which leads out of the namespace: name the host by url"},
		"broken address": {"", v1alpha1.HTTPHook{URL: "http://%zz"}, "the API server did not say where its Service is"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a, woken := newTestAsker(t, &fakePoster{posts: make(chan posted, 1)})
			ro := hooked(tc.hook)
			a.ask(t.Context(), ro, []delivery.Question{askedStep})
			<-woken
			if got := a.answered(ro); len(got) != 1 || got[0].Outcome != delivery.HookLater || got[0].Message != tc.want {
				t.Errorf("%s: got %+v, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestMeaning(t *testing.T) {
	cases := map[string]struct {
		answer outbound.Answer
		want   delivery.HookOutcome
	}{
		"200": {outbound.Answer{Code: 200}, delivery.HookYes}, "204": {outbound.Answer{Code: 204}, delivery.HookYes}, "299": {outbound.Answer{Code: 299}, delivery.HookYes},
		"409": {outbound.Answer{Code: 409}, delivery.HookLater}, "425": {outbound.Answer{Code: 425}, delivery.HookLater},
		"302": {outbound.Answer{Code: 302}, delivery.HookNo}, "404": {outbound.Answer{Code: 404}, delivery.HookNo}, "429": {outbound.Answer{Code: 429}, delivery.HookNo},
		"500": {outbound.Answer{Code: 500}, delivery.HookNo}, "503": {outbound.Answer{Code: 503}, delivery.HookNo},
		"none": {outbound.Answer{}, delivery.HookSilent}, "refused": {outbound.Answer{Refused: true}, delivery.HookLater},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := meaning(tc.answer).Outcome; got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// TestAskerAsksOnce: a question that is under way is not asked again, and what is
// under way for a Rollout that is gone ends.
func TestAskerAsksOnce(t *testing.T) {
	p := &fakePoster{let: make(chan struct{}, 9), posts: make(chan posted, 9), answer: outbound.Answer{Code: 200}}
	a, woken := newTestAsker(t, p)
	ro := hooked(v1alpha1.HTTPHook{URL: "http://good"})
	for range 3 {
		a.ask(t.Context(), ro, []delivery.Question{askedStep})
	}
	<-p.posts
	p.let <- struct{}{}
	<-woken
	if n := len(p.posts); n > 0 {
		t.Errorf("asked %d times more", n)
	}
	a.ask(t.Context(), ro, []delivery.Question{askedStep})
	if n := len(p.posts); n > 0 {
		t.Error("asked again before the answer was seen")
	}
	again := ro.DeepCopy()
	again.UID = "u2"
	if got := a.answered(again); len(got) > 0 {
		t.Errorf("the answers of a Rollout that is gone are taken for its successor's: %+v", got)
	}
	a.seen(ro, a.answered(ro))
	a.ask(t.Context(), ro, []delivery.Question{askedStep})
	<-p.posts
	ended := a.rollouts[keyOf(ro)].context
	a.forget(keyOf(ro))
	<-ended.Done()
	if len(a.rollouts) > 0 {
		t.Error("the Rollout is gone, and something is kept")
	}
}

// TestAskerLanes: slow hosts of one namespace hold up nobody of another one.
func TestAskerLanes(t *testing.T) {
	p := &fakePoster{let: make(chan struct{}), posts: make(chan posted, 99), answer: outbound.Answer{Code: 200}}
	a, woken := newTestAsker(t, p)
	slow := hooked(v1alpha1.HTTPHook{URL: "http://good"})
	for i := range int32(3 * askedAtOnceNamespace) {
		q := askedStep
		q.Step = i
		a.ask(t.Context(), slow, []delivery.Question{q})
	}
	for range askedAtOnceNamespace {
		<-p.posts
	}
	other := hooked(v1alpha1.HTTPHook{URL: "http://good"})
	other.Namespace, other.UID = "bank", "u2"
	a.ask(t.Context(), other, []delivery.Question{askedStep})
	if got := <-p.posts; !strings.Contains(got.body, `"namespace":"bank"`) {
		t.Errorf("a namespace has more than its places: %s", got.body)
	}
	close(p.let)
	for range 3*askedAtOnceNamespace + 1 {
		<-woken
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.namespaces) > 0 {
		t.Errorf("lanes are left: %v", a.namespaces)
	}
}

func TestHookRefusal(t *testing.T) {
	for name, tc := range map[string]struct {
		hook v1alpha1.HTTPHook
		want string
	}{
		"allowed": {v1alpha1.HTTPHook{URL: "http://good/x"}, ""},
		"Service": {v1alpha1.HTTPHook{ServiceRef: &v1alpha1.ServicePortRef{Name: "x", Port: 1}}, ""},
		"another": {v1alpha1.HTTPHook{URL: "http://bad"}, "hook gate: host bad is not allowed"},
	} {
		got := forbiddenHook(hooked(tc.hook), &fakePoster{})
		if (got == nil) != (tc.want == "") || got != nil && (got.Message != tc.want || got.Reason != v1alpha1.ReasonHookForbidden) {
			t.Errorf("%s: %+v, want %q", name, got, tc.want)
		}
	}
}

func TestHookURL(t *testing.T) {
	for _, tc := range [][3]string{
		{"http://x", "", "http://x"}, {"http://x/y?z=1", "", "http://x/y?z=1"}, {"http://x", "/a%20b?c=d", "http://x/a%20b?c=d"}, {"https://x/", "/a%2Fb", "https://x/a%2Fb"},
	} {
		u, err := hookURL(&v1alpha1.HTTPHook{URL: tc[0], Path: tc[1]})
		if err != nil || u.String() != tc[2] {
			t.Errorf("hookURL(%q, %q) = %v, %v; want %s", tc[0], tc[1], u, err, tc[2])
		}
	}
}
