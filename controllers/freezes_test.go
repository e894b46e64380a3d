package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

var (
	noon     = time.Date(2026, 12, 21, 12, 0, 0, 0, time.UTC)
	midnight = metav1.NewTime(noon.Add(12 * time.Hour))
	morning  = metav1.NewTime(noon.Add(-4 * time.Hour))
	badly    = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: "Like"}}}
)

func freezeNamed(name string, spec v1alpha1.FreezeSpec) *v1alpha1.Freeze {
	spec.Reason = "holidays"
	return &v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 3}, Spec: spec}
}

func production() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "production"}}
}

// TestFreezeStatus is what `kubectl get freezes` shows.
func TestFreezeStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		spec   v1alpha1.FreezeSpec
		want   string
		again  time.Duration
	}{
		"holds":       {"until its end", v1alpha1.FreezeSpec{From: &morning, To: &midnight, NamespaceSelector: production()}, "tier=production; until 00:00; Ready True Accepted; Active True Frozen", 12 * time.Hour},
		"will hold":   {"from its beginning", v1alpha1.FreezeSpec{From: &midnight}, "all; until 00:00; Ready True Accepted; Active False Pending", 12 * time.Hour},
		"is over":     {"for good", v1alpha1.FreezeSpec{To: &morning}, "all; Ready True Accepted; Active False Over", 0},
		"without end": {"until it is deleted", v1alpha1.FreezeSpec{From: &morning}, "all; Ready True Accepted; Active True Frozen", 0},
		"by cron":     {"again and again", v1alpha1.FreezeSpec{Cron: "0 11 * * *", Duration: &metav1.Duration{Duration: 3 * time.Hour}, NamespaceSelector: &metav1.LabelSelector{}}, "all; until 14:00; Ready True Accepted; Active True Frozen", 2 * time.Hour},
		"unknown zone": {
			"what nobody understands holds",
			v1alpha1.FreezeSpec{Cron: "0 0 * * *", Duration: &metav1.Duration{Duration: time.Hour}, TimeZone: "Mars/Olympus", NamespaceSelector: production()},
			"all; Ready False InvalidSchedule; Active True Frozen", 0,
		},
		"unreadable selector": {"it could be meant for anybody", v1alpha1.FreezeSpec{To: &morning, NamespaceSelector: badly}, "all; Ready False InvalidSchedule; Active True Frozen", 0},
	} {
		t.Run(name, func(t *testing.T) {
			scheme, err := NewScheme()
			if err != nil {
				t.Fatal(err)
			}
			f := freezeNamed("f", tc.spec)
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(f).WithStatusSubresource(f).Build()
			s := &freezeStatuses{client: c, now: func() time.Time { return noon }}
			request := ctrl.Request{NamespacedName: types.NamespacedName{Name: "f"}}
			result, err := s.Reconcile(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			got := &v1alpha1.Freeze{}
			if err := c.Get(t.Context(), request.NamespacedName, got); err != nil {
				t.Fatal(err)
			}
			told := []string{got.Status.Namespaces}
			if got.Status.Until != nil {
				told = append(told, "until "+got.Status.Until.UTC().Format("15:04"))
			}
			for _, condition := range got.Status.Conditions {
				told = append(told, condition.Type+" "+string(condition.Status)+" "+condition.Reason)
			}
			if diff := cmp.Diff(tc.want, strings.Join(told, "; ")); diff != "" || result.RequeueAfter != tc.again || got.Status.ObservedGeneration != 3 {
				t.Errorf("%s: again in %s, want %s; -want +got\n%s", tc.reason, result.RequeueAfter, tc.again, diff)
			}
			s.now = func() time.Time { return noon.Add(time.Minute) }
			if _, err := s.Reconcile(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			again := &v1alpha1.Freeze{}
			if err := c.Get(t.Context(), request.NamespacedName, again); err != nil || again.ResourceVersion != got.ResourceVersion {
				t.Errorf("a status that says the same was written again (%v)", err)
			}
		})
	}
}

// TestSchedules is which Freezes a Rollout sees, and whether its schedule is read.
func TestSchedules(t *testing.T) {
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"tier": "production"}}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		ns,
		freezeNamed("c-mine", v1alpha1.FreezeSpec{From: &morning, NamespaceSelector: production()}),
		freezeNamed("b-all", v1alpha1.FreezeSpec{From: &morning}),
		freezeNamed("a-others", v1alpha1.FreezeSpec{From: &morning, NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "test"}}}),
		freezeNamed("d-bad", v1alpha1.FreezeSpec{To: &morning, NamespaceSelector: badly}),
	).Build()
	o := &observer{cache: c}
	for name, tc := range map[string]struct {
		reason string
		spec   *v1alpha1.Schedule
		before *delivery.Refusal
		want   string
	}{
		"none":    {"it may go on at any time", nil, nil, ""},
		"good":    {"", &v1alpha1.Schedule{Allow: []v1alpha1.Window{{Cron: "0 9 * * *", Duration: metav1.Duration{Duration: time.Hour}}}}, nil, ""},
		"bad":     {"its author reads it", &v1alpha1.Schedule{Deny: []v1alpha1.Window{{Cron: "0 9 30 2 *", Duration: metav1.Duration{Duration: time.Hour}}}}, nil, `InvalidSchedule: schedule.deny[0]: cron "0 9 30 2 *" never fires: there is no such day`},
		"refused": {"the first reason stays", &v1alpha1.Schedule{Deny: []v1alpha1.Window{{Cron: "x"}}}, &delivery.Refusal{Reason: "Conflict", Message: "m"}, "Conflict: m"},
	} {
		t.Run(name, func(t *testing.T) {
			out := &observed{Observation: delivery.Observation{Rollout: &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}, Refused: tc.before}}
			out.Rollout.Spec.Schedule = tc.spec
			if err := o.schedules(t.Context(), out); err != nil {
				t.Fatal(err)
			}
			got := ""
			if out.Refused != nil {
				got = out.Refused.Reason + ": " + out.Refused.Message
			}
			if got != tc.want || (out.Schedule == nil) != (tc.spec == nil || got != "") {
				t.Errorf("%s: refused %q, want %q; schedule %v", tc.reason, got, tc.want, out.Schedule)
			}
			var names []string
			for _, f := range out.Freezes {
				names = append(names, f.Name)
			}
			if diff := cmp.Diff([]string{"b-all", "c-mine", "d-bad"}, names); diff != "" {
				t.Errorf("Freezes: -want +got\n%s", diff)
			}
		})
	}
}
