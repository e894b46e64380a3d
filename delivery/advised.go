package delivery

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// advised is the condition Advice, there while the rules of package advice that need
// the Rollout alone find something. It decides nothing, and changes with the spec
// only.
func (p *pass) advised() []metav1.Condition {
	if len(p.Advice) == 0 {
		return nil
	}
	return []metav1.Condition{p.condition(v1alpha1.ConditionAdvice, true, v1alpha1.ReasonFindings,
		join(p.Advice)+": kubectl crossfade analyze says what is meant and how to mend it")}
}
