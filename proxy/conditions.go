package proxy

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// conditions is a list of conditions, as the statuses want it.
func conditions(list ...metav1.Condition) []metav1.Condition { return list }

// isTrue says whether the condition of a type is there and True.
func isTrue[T ~string](list []metav1.Condition, conditionType T) bool {
	return meta.IsStatusConditionTrue(list, string(conditionType))
}

// condition makes a condition of any of the Gateway API's kinds, whose names for
// types and reasons are types of their own.
func condition[T, R ~string](conditionType T, ok bool, reason R, message string, generation int64) metav1.Condition {
	status := metav1.ConditionFalse
	if ok {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{
		Type:               string(conditionType),
		Status:             status,
		Reason:             string(reason),
		Message:            message,
		ObservedGeneration: generation,
	}
}

// verdict is what a condition says of something of a user's: a reason for programs
// and a sentence for people. The empty one means that nothing is wrong.
type verdict struct {
	reason, message string
}

func (v verdict) none() bool { return v.reason == "" }

func because[R ~string](reason R, message string) verdict {
	return verdict{reason: string(reason), message: message}
}
