package rollouts

import (
	"strings"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Check is the spec of a check, nil when the Rollout has none of that name.
func Check(r *v1alpha1.Rollout, name string) *v1alpha1.Check {
	if r.Spec.Analysis == nil {
		return nil
	}
	for i := range r.Spec.Analysis.Checks {
		if c := &r.Spec.Analysis.Checks[i]; c.Name == name {
			return c
		}
	}
	return nil
}

// Limits is the range of a check in words.
func Limits(r *v1alpha1.Rollout, name string) string {
	c := Check(r, name)
	if c == nil {
		return ""
	}
	var words []string
	if c.Min != nil {
		words = append(words, "min "+*c.Min)
	}
	if c.Max != nil {
		words = append(words, "max "+*c.Max)
	}
	return strings.Join(words, ", ")
}
