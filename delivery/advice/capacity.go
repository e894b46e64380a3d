package advice

import (
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// capacityRules judge whether there are pods enough, and who else counts them.
var capacityRules = []Rule{
	{
		Code: "XF0601", Name: "IntegerMinAvailable", Severity: Warning,
		What: "A PodDisruptionBudget counts pods by an integer minAvailable. During a rollout the canary's pods count, too: a drained node may take more of stable's pods than its author meant.",
		Mend: "Use maxUnavailable, or a percentage.",
		find: integerBudget,
	},
	{
		Code: "XF0602", Name: "NoDisruption", Severity: Warning,
		What: "A PodDisruptionBudget lets no pod go: drains of nodes hang, also those in the midst of a rollout.",
		Mend: "Let one pod be unavailable at least, and run more than one.",
		find: noDisruption,
	},
	{
		Code: "XF0603", Name: "FixedAutoscaler", Severity: Info,
		What: "A HorizontalPodAutoscaler with equal minReplicas and maxReplicas scales nothing, and overwrites whoever scales by hand.",
		Mend: "Raise maxReplicas, or delete it.",
		find: fixedAutoscaler,
	},
	{
		Code: "XF0604", Name: "AutoscaledToZero", Severity: Warning,
		What: "A HorizontalPodAutoscaler may scale the Deployment to 0: a canary on its way is taken away with it, and begins anew at the first step when requests come back.",
		Mend: "Set minReplicas to 1 or more, or expect deliveries to wait for load.",
		find: autoscaledToZero,
	},
	{
		Code: "XF0605", Name: "ReplicasWritten", Severity: Warning,
		What: "A manifest says spec.replicas of a Deployment that a HorizontalPodAutoscaler scales: each apply sets it back to that, in the midst of a rollout, too.",
		Mend: "Leave spec.replicas out of the manifest.",
		find: replicasWritten,
	},
	{
		Code: "XF0606", Name: "QuotaTooSmall", Severity: Warning,
		What: "The namespace's quota has no room for twice the Deployment's pods, which a rollout needs at its end: the canary's pods do not come, and it is rolled back.",
		Mend: "Raise the quota by the number of the Deployment's pods.",
		find: quotaTooSmall,
	},
	{
		Code: "XF0607", Name: "AutoscalerWithoutRequests", Severity: Warning,
		What: "A HorizontalPodAutoscaler goes by the utilisation of a resource that a container does not request: it cannot compute anything, for no revision.",
		Mend: "Set resources.requests of that resource in all containers.",
		find: withoutRequests,
	},
	{
		Code: "XF0608", Name: "AutoscalerTooSmall", Severity: Info,
		What: "A HorizontalPodAutoscaler's maxReplicas is the present number of pods. While stable and canary share the load it cannot grow either of them.",
		Mend: "Leave it some room above the load of every day.",
		find: autoscalerTooSmall,
	},
}

// budgets calls back for each PodDisruptionBudget over a delivered Deployment.
func (s *scene) budgets(f func(d *delivered, pdb *policyv1.PodDisruptionBudget, at Ref)) {
	s.deployments(func(d *delivered, at Ref) {
		for _, pdb := range s.Budgets {
			selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
			if err == nil && pdb.Namespace == at.Namespace && selector.Matches(labels.Set(d.deployment.Spec.Template.Labels)) {
				f(d, pdb, RefTo("PodDisruptionBudget", pdb))
			}
		}
	})
}

func integerBudget(s *scene) {
	s.budgets(func(d *delivered, pdb *policyv1.PodDisruptionBudget, at Ref) {
		if n := pdb.Spec.MinAvailable; n != nil && n.Type == intstr.Int && n.IntVal > 0 {
			s.found(at, "spec.minAvailable", "%d pods of Deployment %s must stay, whatever revision they are of", n.IntVal, d.deployment.Name)
		}
	})
}

func noDisruption(s *scene) {
	s.budgets(func(d *delivered, pdb *policyv1.PodDisruptionBudget, at Ref) {
		n := replicas(d.deployment)
		least, most := pdb.Spec.MinAvailable, pdb.Spec.MaxUnavailable
		switch {
		case n == 0:
		case most != nil && (most.String() == "0" || most.String() == "0%"):
			s.found(at, "spec.maxUnavailable", "no pod of Deployment %s may go", d.deployment.Name)
		case least != nil && (least.String() == "100%" || least.Type == intstr.Int && least.IntVal >= n):
			s.found(at, "spec.minAvailable", "%s of the %d pods of Deployment %s must stay", least, n, d.deployment.Name)
		}
	})
}

// autoscalers calls back for each HorizontalPodAutoscaler of a delivered Deployment.
func (s *scene) autoscalers(f func(d *delivered, hpa *autoscalingv2.HorizontalPodAutoscaler, at Ref)) {
	for i := range s.deliveries {
		d := &s.deliveries[i]
		for _, hpa := range s.Autoscalers {
			ref := hpa.Spec.ScaleTargetRef
			if hpa.Namespace == d.rollout.Namespace && ref.Kind == "Deployment" && ref.Name == d.rollout.Spec.WorkloadRef.Name {
				f(d, hpa, RefTo("HorizontalPodAutoscaler", hpa))
			}
		}
	}
}

// least is minReplicas, 1 by default.
func least(hpa *autoscalingv2.HorizontalPodAutoscaler) int32 {
	if hpa.Spec.MinReplicas == nil {
		return 1
	}
	return *hpa.Spec.MinReplicas
}

func fixedAutoscaler(s *scene) {
	s.autoscalers(func(_ *delivered, hpa *autoscalingv2.HorizontalPodAutoscaler, at Ref) {
		if least(hpa) == hpa.Spec.MaxReplicas {
			s.found(at, "spec.maxReplicas", "it always asks for %d pods", hpa.Spec.MaxReplicas)
		}
	})
}

func autoscaledToZero(s *scene) {
	s.autoscalers(func(d *delivered, hpa *autoscalingv2.HorizontalPodAutoscaler, at Ref) {
		if least(hpa) == 0 {
			s.found(at, "spec.minReplicas", "it may scale Deployment %s to 0", d.rollout.Spec.WorkloadRef.Name)
		}
	})
}

func replicasWritten(s *scene) {
	s.autoscalers(func(d *delivered, hpa *autoscalingv2.HorizontalPodAutoscaler, _ Ref) {
		if d.deployment == nil {
			return
		}
		if at := RefTo("Deployment", d.deployment); s.Sources[at] != "" && d.deployment.Spec.Replicas != nil {
			s.found(at, "spec.replicas", "the file says %d, and HorizontalPodAutoscaler %s scales it", *d.deployment.Spec.Replicas, hpa.Name)
		}
	})
}

func quotaTooSmall(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		for _, q := range s.Quotas {
			if q.Namespace != at.Namespace || len(q.Spec.Scopes) > 0 || q.Spec.ScopeSelector != nil {
				continue
			}
			for _, name := range []corev1.ResourceName{corev1.ResourcePods, "count/pods"} {
				hard, bounded := q.Spec.Hard[name]
				used, live := q.Status.Used[name]
				n := int64(replicas(d.deployment))
				switch free := hard.Value() - used.Value(); {
				case !bounded:
				case live && free < n && !s.delivering(d):
					s.found(RefTo("ResourceQuota", q), "spec.hard", "%d more pods may be, and a rollout of Deployment %s adds up to %d", free, d.deployment.Name, n)
				case !live && hard.Value() < 2*n:
					s.found(RefTo("ResourceQuota", q), "spec.hard", "%s pods may be, and a rollout of Deployment %s has up to %d", hard.String(), d.deployment.Name, 2*n)
				}
			}
		}
	})
}

// delivering says that a canary is on its way, whose pods are counted already.
func (s *scene) delivering(d *delivered) bool {
	return d.rollout.Status.Record != nil && d.rollout.Status.Record.Canary != ""
}

func withoutRequests(s *scene) {
	s.autoscalers(func(d *delivered, hpa *autoscalingv2.HorizontalPodAutoscaler, at Ref) {
		if d.deployment == nil {
			return
		}
		for _, m := range hpa.Spec.Metrics {
			if m.Resource == nil || m.Resource.Target.Type != autoscalingv2.UtilizationMetricType {
				continue
			}
			var without []string
			for _, c := range d.deployment.Spec.Template.Spec.Containers {
				_, requests := c.Resources.Requests[m.Resource.Name]
				if _, limits := c.Resources.Limits[m.Resource.Name]; !requests && !limits {
					without = append(without, c.Name)
				}
			}
			if slices.Sort(without); len(without) > 0 {
				s.found(at, "spec.metrics", "it goes by the utilisation of %s, which container %s does not request", m.Resource.Name, strings.Join(without, ", "))
			}
		}
	})
}

func autoscalerTooSmall(s *scene) {
	s.autoscalers(func(d *delivered, hpa *autoscalingv2.HorizontalPodAutoscaler, at Ref) {
		n := hpa.Status.CurrentReplicas
		if n > 0 && n >= hpa.Spec.MaxReplicas && least(hpa) < hpa.Spec.MaxReplicas {
			s.found(at, "spec.maxReplicas", "Deployment %s has %d of %d pods", d.rollout.Spec.WorkloadRef.Name, n, hpa.Spec.MaxReplicas)
		}
	})
}
