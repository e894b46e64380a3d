package delivery

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

func TestAdvice(t *testing.T) {
	tests := map[string]struct {
		reason string
		advice []string
		want   string
	}{
		"findings": {"The codes are there, in order.", []string{"XF0101", "XF0105"}, "XF0101, XF0105: kubectl crossfade analyze says what is meant and how to mend it"},
		"none":     {"Without findings there is no such condition.", nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := adoptedHealthy()
			o.Advice = tt.advice
			got := ""
			if c := meta.FindStatusCondition(Decide(*o).Status.Conditions, v1alpha1.ConditionAdvice); c != nil {
				got = c.Message
			}
			if got != tt.want {
				t.Errorf("%s\ngot %q, want %q", tt.reason, got, tt.want)
			}
		})
	}
}
