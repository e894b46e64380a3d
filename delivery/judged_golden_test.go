package delivery

import (
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// TestGoldensOfChecks are deliveries that are judged by more than one number.
func TestGoldensOfChecks(t *testing.T) {
	runScenarios(t, map[string]func(*story){
		"slower-than-stable": func(s *story) {
			good := 0.0
			s.withCheck(&good)
			s.ro.Spec.Analysis.Checks[0] = compared(latency(0), "1.5")
			s.ro.Spec.Analysis.Checks[0].ConsecutiveFailures = new(int32(2))
			s.facts.failing = map[string]int{"xB": 1}
			slow := []float64{160, 100, 160, 160}
			s.measure = func(string, string) Sample {
				now := slow[0]
				slow = append(slow[1:], now)
				return of(now, -1, 100)
			}
			s.adopted()
			s.canaryStarts("B")
			s.rolledBack()
		},
		"too-few-requests": func(s *story) {
			good := 100.0
			s.withCheck(&good)
			s.ro.Spec.Analysis.Checks[0] = atLeast(success("99.5"), enough)
			requests := 3.0
			s.facts.failing = map[string]int{}
			s.measure = func(string, string) Sample { return of(0, requests) }
			s.adopted()
			s.canaryStarts("B")
			s.until("no verdict", func() bool { return s.ro.Status.Checks[0].Verdict == v1alpha1.VerdictNoVerdict })
			s.trace("user", "requests come")
			s.measure = func(string, string) Sample { return of(0.001, 2*enough) }
			s.ro.Spec.Analysis.Checks[0] = atLeast(success("0"), enough) // what I6 is checked by takes numbers up to 0.01
			s.until("step 2", func() bool { return s.record().Step == 2 })
			s.endsHealthy("xB")
		},
		"template-missing-mid-way": func(s *story) {
			good := 0.0
			s.withCheck(&good)
			s.templates.resolved = s.ro.Spec.Analysis.Checks[0].DeepCopy()
			s.ro.Spec.Analysis.Checks[0] = v1alpha1.Check{Name: "errors", TemplateRef: &v1alpha1.TemplateRef{Name: "errors"}}
			s.adopted()
			s.canaryStarts("B")
			s.until("step 2", func() bool { return s.record().Step == 2 })
			s.trace("user", "deletes the template")
			s.templates.gone = true
			s.run(2*time.Minute, func() bool { return false })
			s.trace("user", "creates it again")
			s.templates.gone = false
			s.endsHealthy("xB")
		},
	})
}
