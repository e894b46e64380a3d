package advice

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// stateRules read what the controller has written into statuses: they find nothing
// in files.
var stateRules = []Rule{
	{
		Code: "XF0701", Name: "Stalled", Severity: Error,
		What: "A Rollout cannot go on by itself: its condition Stalled is True.",
		Mend: "Do what the message says; kubectl describe shows it in full.",
		find: stalled,
	},
	{
		Code: "XF0702", Name: "ProxySilent", Severity: Warning,
		What: "Proxies that carry the Service's requests have not confirmed what they were told: a step would wait for them, and roll back after acks.timeout.",
		Mend: "See who it is: kubectl crossfade proxies; delete the pod if it stays silent.",
		find: proxySilent,
	},
	{
		Code: "XF0703", Name: "ProxyRejected", Severity: Error,
		What: "A proxy has refused its configuration: the rollout goes back. It is a mistake of Crossfade's.",
		Mend: "Keep the debug endpoint's answer and the controller's log, and report it.",
		find: proxyRejected,
	},
	{
		Code: "XF0704", Name: "OtherVersion", Severity: Info,
		What: "Proxies run another version of Crossfade than the controller.",
		Mend: "Restart the workloads that have them, at your pace.",
		find: otherVersion,
	},
	{
		Code: "XF0705", Name: "CanaryWithoutPods", Severity: Error,
		What: "The canary should get requests, and has no ready pod: its share goes to stable meanwhile.",
		Mend: "See why its pods are not ready: kubectl describe the Rollout and its pods.",
		find: canaryWithoutPods,
	},
	{
		Code: "XF0706", Name: "NotHeld", Severity: Warning,
		What: "The admission policies do not hold changed templates, so the controller does it in their place, a moment after the fact.",
		Mend: "Install the policies (kubectl apply -k config/policies; Kubernetes 1.36).",
		find: notHeld,
	},
	{
		Code: "XF0707", Name: "RouteRefused", Severity: Error,
		What: "A route is refused, or leads to what cannot be resolved: its requests are answered with an error.",
		Mend: "Do what the message says.",
		find: routeRefused,
	},
	{
		Code: "XF0708", Name: "PolicyNotInForce", Severity: Warning,
		What: "A MeshPolicy is not in force: a proxy has not confirmed it, or a target is missing.",
		Mend: "Do what the message says.",
		find: policyNotInForce,
	},
}

func stalled(s *scene) {
	for _, ro := range s.Rollouts {
		c := meta.FindStatusCondition(ro.Status.Conditions, v1alpha1.ConditionStalled)
		if c != nil && c.Status == metav1.ConditionTrue {
			s.found(RefTo("Rollout", ro), "status.conditions", "%s: %s", c.Reason, c.Message)
		}
	}
}

func proxySilent(s *scene) {
	for _, ro := range s.Rollouts {
		if p := ro.Status.Proxies; p != nil && p.Acked+p.Rejected < p.Expected {
			s.found(RefTo("Rollout", ro), "status.proxies", "%d of %d proxies have confirmed", p.Acked, p.Expected)
		}
	}
}

func proxyRejected(s *scene) {
	for _, ro := range s.Rollouts {
		if p := ro.Status.Proxies; p != nil && p.Rejected > 0 {
			s.found(RefTo("Rollout", ro), "status.proxies", "%d of %d proxies have refused", p.Rejected, p.Expected)
		}
	}
}

func otherVersion(s *scene) {
	for _, ro := range s.Rollouts {
		if p := ro.Status.Proxies; p != nil && p.OtherVersion > 0 {
			s.found(RefTo("Rollout", ro), "status.proxies", "%d of %d proxies run another version", p.OtherVersion, p.Connected)
		}
	}
}

func canaryWithoutPods(s *scene) {
	for _, ro := range s.Rollouts {
		w, c := ro.Status.Weight, ro.Status.Canary
		if w != nil && c != nil && w.Desired > 0 && c.Ready == 0 {
			s.found(RefTo("Rollout", ro), "status.canary", "canary %s should have weight %d", c.Revision, w.Desired)
		}
	}
}

func notHeld(s *scene) {
	for _, ro := range s.Rollouts {
		if c := meta.FindStatusCondition(ro.Status.Conditions, v1alpha1.ConditionHeld); c != nil && c.Status == metav1.ConditionFalse {
			s.found(RefTo("Rollout", ro), "status.conditions", "%s", c.Message)
		}
	}
}

func routeRefused(s *scene) {
	for _, route := range s.Routes {
		for i, parent := range route.Status.Parents {
			for _, kind := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
				if c := meta.FindStatusCondition(parent.Conditions, string(kind)); c != nil && c.Status == metav1.ConditionFalse {
					s.found(RefTo("HTTPRoute", route), fmt.Sprintf("status.parents[%d]", i), "%s: %s", c.Reason, c.Message)
				}
			}
		}
	}
}

func policyNotInForce(s *scene) {
	for _, p := range s.Policies {
		for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed} {
			if c := meta.FindStatusCondition(p.Status.Conditions, kind); c != nil && c.Status == metav1.ConditionFalse {
				s.found(RefTo("MeshPolicy", p), "status.conditions", "%s: %s", c.Reason, c.Message)
			}
		}
	}
}
