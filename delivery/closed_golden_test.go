package delivery

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// TestScheduleGoldens are deliveries that windows and Freezes hold. The clock begins
// at 12:00 UTC.
func TestScheduleGoldens(t *testing.T) {
	runScenarios(t, map[string]func(*story){
		"window-before-start": func(s *story) {
			s.allow(window("0 14 * * *", 2*time.Hour))
			s.quietly("revision rA adopted", s.adopted)
			s.apply("B")
			s.waits(3*time.Hour, func() bool { return s.inStage(v1alpha1.StageStepping)() })
			s.endsHealthy("xB")
		},
		"window-before-step": func(s *story) {
			good := 0.001
			s.withCheck(&good)
			s.allow(window("0 12 * * *", time.Minute), window("0 20 * * *", time.Hour))
			s.at(5)
			s.waits(9*time.Hour, func() bool { return s.record().Step == 2 })
			s.endsHealthy("xB")
		},
		"window-before-promotion": func(s *story) {
			no := false
			s.allow(window("30 14 * * *", time.Hour))
			s.ro.Spec.Schedule.Holds = &v1alpha1.Holds{Start: &no, Step: &no}
			s.at(50)
			s.waits(3*time.Hour, func() bool { return s.record().Weight == 100 })
			s.endsHealthy("xB")
		},
		"window-closes-mid-step": func(s *story) {
			s.allow(window("0 12 * * *", 2*time.Minute), window("0 13 * * *", time.Hour))
			s.startup = 3 * time.Minute
			s.quietly("revision rA adopted, template B applied", func() {
				s.adopted()
				s.canaryStarts("B")
			})
			s.until("5 %", s.atWeight(5))
			s.waits(2*time.Hour, func() bool { return s.record().Step == 2 })
			s.endsHealthy("xB")
		},
		"freeze-rollback": func(s *story) {
			rate := 0.001
			s.withCheck(&rate)
			s.at(5)
			s.freeze()
			s.run(5*time.Minute, func() bool { return false })
			rate = 0.5
			s.trace("fault", "the canary errs")
			s.rolledBack()
			s.serves("rA")
		},
		"freeze-back-to-stable": func(s *story) {
			s.at(5)
			s.freeze()
			s.run(5*time.Minute, func() bool { return false })
			s.apply("A")
			s.healthy()
			s.serves("rA")
		},
		"freeze-overridden": func(s *story) {
			s.at(25)
			s.freeze()
			s.run(time.Hour, func() bool { return false })
			s.trace("user", "overrides for xB")
			s.record().Override = &v1alpha1.Override{Revision: "xB", By: "jane", Reason: "it mends the incident", At: metav1.NewMicroTime(s.now)}
			s.roRV = s.next()
			s.recRV = s.roRV
			s.until("50 %", s.atWeight(50))
			s.endsHealthy("xB")
		},
		"freeze-undo-while-warm": func(s *story) {
			s.quietly("revision rA adopted, template B applied, promoted, rA still warm", func() {
				s.adopted()
				s.canaryStarts("B")
				s.until("warm", s.inStage(v1alpha1.StageWarm))
			})
			s.freeze()
			s.apply("A")
			s.until("stepping", s.inStage(v1alpha1.StageStepping))
			s.endsHealthy("rA")
		},
		"freeze-deleted": func(s *story) {
			s.quietly("revision rA adopted", s.adopted)
			s.freeze()
			s.apply("B")
			s.run(time.Hour, func() bool { return false })
			s.trace("admin", "deletes Freeze incident-7")
			s.freezes = nil
			s.until("stepping", s.inStage(v1alpha1.StageStepping))
			s.endsHealthy("xB")
		},
	})
}

func (s *story) allow(windows ...v1alpha1.Window) {
	s.ro.Spec.Schedule = &v1alpha1.Schedule{Allow: windows}
}

func (s *story) freeze() {
	from := metav1.NewTime(s.now)
	s.trace("admin", "creates Freeze incident-7")
	s.freezes = []*v1alpha1.Freeze{{ObjectMeta: metav1.ObjectMeta{Name: "incident-7"}, Spec: v1alpha1.FreezeSpec{From: &from, Reason: "checkout is down"}}}
}

// waits lets hours pass until a window opens.
func (s *story) waits(within time.Duration, until func() bool) {
	s.t.Helper()
	if !s.run(within, until) {
		s.t.Fatalf("it does not go on: %s", s.ro.Status.Message)
	}
}
