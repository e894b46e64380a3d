package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func TestMergeConditions(t *testing.T) {
	early, now := metav1.NewTime(time.Unix(1000, 0)), time.Unix(2000, 0)
	g := &gatewayStatuses{now: func() time.Time { return now }}
	before := []metav1.Condition{
		{Type: "Accepted", Status: "True", Reason: "Accepted", LastTransitionTime: early},
		{Type: "Programmed", Status: "True", LastTransitionTime: early},
		{Type: "Foreign", Status: "True", LastTransitionTime: early},
	}
	wanted := []metav1.Condition{
		{Type: "Accepted", Status: "True", Reason: "Accepted", Message: "another sentence"},
		{Type: "Programmed", Status: "False"},
	}
	want := []metav1.Condition{
		{Type: "Accepted", Status: "True", Reason: "Accepted", Message: "another sentence", LastTransitionTime: early},
		{Type: "Programmed", Status: "False", LastTransitionTime: metav1.NewTime(now)},
		{Type: "Foreign", Status: "True", LastTransitionTime: early},
	}
	if diff := cmp.Diff(want, g.merge(before, wanted)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestParentsKeepsOtherControllers(t *testing.T) {
	g := &gatewayStatuses{now: func() time.Time { return time.Unix(2000, 0) }}
	const ours = gatewayv1.GatewayController("crossfade.dev/gateway-controller")
	parent := func(controller gatewayv1.GatewayController, name string) gatewayv1.RouteParentStatus {
		return gatewayv1.RouteParentStatus{ControllerName: controller, ParentRef: gatewayv1.ParentReference{Name: gatewayv1.ObjectName(name)}}
	}
	cases := map[string]struct {
		reason                string
		before, wanted, after []gatewayv1.RouteParentStatus
	}{
		"first":    {wanted: []gatewayv1.RouteParentStatus{parent(ours, "a")}, after: []gatewayv1.RouteParentStatus{parent(ours, "a")}},
		"replaced": {before: []gatewayv1.RouteParentStatus{parent(ours, "a")}, wanted: []gatewayv1.RouteParentStatus{parent(ours, "b")}, after: []gatewayv1.RouteParentStatus{parent(ours, "b")}},
		"others stay": {
			before: []gatewayv1.RouteParentStatus{parent("other", "x"), parent(ours, "a")}, wanted: []gatewayv1.RouteParentStatus{parent(ours, "a")},
			after: []gatewayv1.RouteParentStatus{parent("other", "x"), parent(ours, "a")},
		},
		"ours go": {reason: "the route refers to us no more", before: []gatewayv1.RouteParentStatus{parent("other", "x"), parent(ours, "a")}, after: []gatewayv1.RouteParentStatus{parent("other", "x")}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := g.parents(tc.before, tc.wanted, ours)
			for i := range got {
				if len(got[i].Conditions) == 0 {
					got[i].Conditions = nil
				}
			}
			if diff := cmp.Diff(tc.after, got); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}
