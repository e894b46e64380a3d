package policy

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// maxNamed bounds the list of settings in a message.
const maxNamed = 5

// Conditions returns, for each policy, what it is told: whether its targets are there,
// and which of its settings an older policy decides. Whether the proxies have it is not
// known here. There are no times in it.
//
// exists says whether there is such a Service, with pods behind it. overlaps are those
// of all pods.
func (p Policies) Conditions(exists func(ir.ServiceKey) bool, overlaps []Conflict) map[types.NamespacedName][]metav1.Condition {
	lost := map[types.NamespacedName][]Conflict{}
	for _, c := range overlaps {
		key := types.NamespacedName{Namespace: c.Namespace, Name: c.Policy}
		lost[key] = append(lost[key], c)
	}
	out := map[types.NamespacedName][]metav1.Condition{}
	for _, policies := range p.byNamespace {
		for _, policy := range policies {
			key := types.NamespacedName{Namespace: policy.Namespace, Name: policy.Name}
			out[key] = []metav1.Condition{
				accepted(policy, exists),
				conflicted(policy, append(p.conflictsOf(policy), lost[key]...)),
			}
		}
	}
	return out
}

func accepted(policy *v1alpha1.MeshPolicy, exists func(ir.ServiceKey) bool) metav1.Condition {
	var missing []string
	for _, ref := range policy.Spec.TargetRefs {
		if !exists(ir.ServiceKey{Namespace: policy.Namespace, Name: ref.Name}) {
			missing = append(missing, ref.Name)
		}
	}
	if len(missing) == 0 {
		return made(policy, v1alpha1.ConditionAccepted, true, v1alpha1.ReasonAccepted, "every target is there")
	}
	slices.Sort(missing)
	message := fmt.Sprintf("namespace %s has no Service with a selector named %s: create it, or correct targetRefs",
		policy.Namespace, join(missing, ", "))
	if len(missing) < len(policy.Spec.TargetRefs) {
		message += "; for the other targets the policy holds"
	}
	return made(policy, v1alpha1.ConditionAccepted, false, v1alpha1.ReasonTargetNotFound, message)
}

// conflicted names each setting that does not hold, with the policy that decides it.
func conflicted(policy *v1alpha1.MeshPolicy, conflicts []Conflict) metav1.Condition {
	if len(conflicts) == 0 {
		return made(policy, v1alpha1.ConditionConflicted, false, v1alpha1.ReasonNoConflict, "no older policy sets the same for the same target")
	}
	var parts []string
	for _, c := range conflicts {
		parts = append(parts, fmt.Sprintf("%s of %s is that of %s", c.Field, c.Target, c.Winner))
	}
	slices.Sort(parts)
	parts = slices.Compact(parts)
	if more := len(parts) - maxNamed; more > 0 {
		parts = append(parts[:maxNamed], fmt.Sprintf("%d more", more))
	}
	message := "older policies win: " + join(parts, "; ") + ". Remove it from one of the two"
	return made(policy, v1alpha1.ConditionConflicted, true, v1alpha1.ReasonOlderWins, message)
}

func made(policy *v1alpha1.MeshPolicy, kind string, ok bool, reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if ok {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: policy.Generation}
}
