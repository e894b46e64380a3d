package advice

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// asks gives the Rollout a hook to a port of a Service.
func asks(w *shop, name string, port int32) *v1alpha1.HTTPHook {
	h := &v1alpha1.HTTPHook{ServiceRef: &v1alpha1.ServicePortRef{Name: name, Port: port}}
	w.rollout.Spec.Hooks = []v1alpha1.Hook{{Name: "gate", At: v1alpha1.BeforeStep, HTTP: h}}
	return h
}

// runs gives the Rollout a hook that is a Job of this spec.
func runs(w *shop, spec string) {
	w.rollout.Spec.Hooks = []v1alpha1.Hook{{Name: "smoke", At: v1alpha1.BeforeStep, Job: jobOf(spec)}}
}

func jobOf(spec string) *v1alpha1.JobSource {
	return &v1alpha1.JobSource{Template: v1alpha1.JobTemplate{Spec: runtime.RawExtension{Raw: []byte(spec)}}}
}

var hookCases = map[string]ruleCase{
	"XF0191": {
		func(w *shop) { asks(w, "gates", 80) },
		func(w *shop) { asks(w, "payments", 80) },
	},
	"XF0192": {
		func(w *shop) { asks(w, "payments", 80).Retries = to(int32(60)) },
		func(w *shop) { asks(w, "payments", 80).Retries = to(int32(59)) },
	},
	"XF0193": {
		func(w *shop) { runs(w, `{"template":{}}`) },
		func(w *shop) { runs(w, `{"template":{},"backoffLimit":5}`) },
	},
}

// TestHookRules has the other ways to the same findings.
func TestHookRules(t *testing.T) {
	cases := map[string]struct {
		reason, code string
		change       func(*shop)
		found        bool
	}{
		"another port":     {"", "XF0191", func(w *shop) { asks(w, "payments", 81) }, true},
		"UDP":              {"hooks are HTTP", "XF0191", func(w *shop) { asks(w, "payments", 80); w.service.Spec.Ports[0].Protocol = corev1.ProtocolUDP }, true},
		"ExternalName":     {"it leads out of the namespace", "XF0191", func(w *shop) { asks(w, "payments", 80); w.service.Spec.Type = corev1.ServiceTypeExternalName }, true},
		"Services unknown": {"it may be in the cluster", "XF0191", func(w *shop) { asks(w, "gates", 80); w.Whole = nil }, false},
		"by URL":           {"whether it is allowed knows the controller", "XF0191", func(w *shop) { asks(w, "gates", 80).ServiceRef = nil }, false},
		"long timeout":     {"", "XF0192", func(w *shop) { asks(w, "payments", 80).Timeout = metav1.Duration{Duration: 151 * time.Second} }, true},
		"told afterwards": {"nothing waits for it", "XF0192", func(w *shop) {
			asks(w, "payments", 80).Retries = to(int32(99))
			w.rollout.Spec.Hooks[0].At = v1alpha1.AfterPromotion
		}, false},
		"Job with a deadline":   {"it fails by that", "XF0193", func(w *shop) { runs(w, `{"activeDeadlineSeconds":60}`) }, false},
		"patient Rollout":       {"", "XF0193", func(w *shop) { runs(w, `{}`); w.rollout.Spec.ProgressDeadlineSeconds = 900 }, false},
		"Job told afterwards":   {"nothing waits for it", "XF0193", func(w *shop) { runs(w, `{}`); w.rollout.Spec.Hooks[0].At = v1alpha1.AfterRollback }, false},
		"unreadable Job":        {"the API server says what is wrong with it", "XF0193", func(w *shop) { runs(w, `[]`) }, false},
		"check that is a Job":   {"", "XF0193", func(w *shop) { *w.check = v1alpha1.Check{Name: "load", Job: jobOf(`{}`)} }, true},
		"many, many more tries": {"it ends", "XF0193", func(w *shop) { runs(w, `{"backoffLimit":2147483647}`) }, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newShop()
			tc.change(w)
			if got := codes(Judge(w.World))[tc.code]; got != tc.found {
				t.Errorf("%s: found %s: %v, want %v", tc.reason, tc.code, got, tc.found)
			}
		})
	}
}
