package delivery

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// scenarios are those of the issue, one golden each.
var scenarios = map[string]func(*story){
	"adoption": func(s *story) {
		s.healthy()
	},
	"promote": func(s *story) {
		good := 0.001
		s.withCheck(&good)
		s.adopted()
		s.canaryStarts("B")
		s.healthy()
		s.serves("xB")
	},
	"recreate-allowed": func(s *story) {
		s.d.Recreate = true
		s.ro.Spec.Strategy.Canary.Steps = []v1alpha1.Step{{Weight: new(int32(50))}}
		s.run(time.Minute, func() bool { return false })
		s.edit("sets allowRecreateStrategy", func(ro *v1alpha1.Rollout) { ro.Spec.AllowRecreateStrategy = true })
		s.adopted()
		s.canaryStarts("B")
		s.healthy()
		s.serves("xB")
	},
	"rollback-check-failed": func(s *story) {
		bad := 0.2
		s.withCheck(&bad)
		s.adopted()
		s.canaryStarts("B")
		s.rolledBack()
		s.serves("rA")
		s.apply("A")
		s.healthy()
	},
	"rollback-canary-not-available": func(s *story) {
		s.broken["B"] = true
		s.adopted()
		s.canaryStarts("B")
		s.rolledBack()
		s.serves("rA")
	},
	"rollback-proxy-rejected": func(s *story) {
		s.proxies[1].rejects = "xB"
		s.adopted()
		s.canaryStarts("B")
		s.rolledBack()
		s.serves("rA")
	},
	"rollback-proxy-silent": func(s *story) {
		s.at(5)
		s.trace("fault", "gw-2 is frozen")
		s.proxies[2].silent = true
		s.rolledBack()
		s.serves("rA")
	},
	"proxy-silent-continue": func(s *story) {
		s.ro.Spec.Acks.OnTimeout = v1alpha1.AckTimeoutContinue
		s.proxies[2].silent = true
		s.adopted()
		s.canaryStarts("B")
		s.healthy()
		s.serves("xB")
	},
	"rollback-no-proxies": func(s *story) {
		s.proxies = nil
		s.adopted()
		s.canaryStarts("B")
		s.rolledBack()
		s.serves("rA")
	},
	"no-verdict-pauses-and-goes-on": func(s *story) {
		good := 0.001
		s.withCheck(&good)
		answers := s.measure
		s.measure = func(string, string) Sample { return Sample{Outcome: NoAnswer, Message: "connection refused"} }
		s.ro.Spec.Analysis.Interval = metav1.Duration{Duration: 5 * time.Minute}
		s.adopted()
		s.canaryStarts("B")
		s.until("paused", s.settledIn(v1alpha1.PhasePaused))
		s.trace("fault", "Prometheus is back")
		s.measure = answers
		s.until("step 2", func() bool { return s.record().Step == 2 })
		s.endsHealthy("xB")
	},
	"no-verdict-rollback": func(s *story) {
		good := 0.001
		s.withCheck(&good)
		s.measure = func(string, string) Sample { return Sample{Outcome: NoData} }
		s.ro.Spec.Analysis.Interval = metav1.Duration{Duration: 5 * time.Minute}
		s.ro.Spec.Analysis.OnDeadline = v1alpha1.DeadlineRollback
		s.adopted()
		s.canaryStarts("B")
		s.rolledBack()
	},
	"no-data-fails": func(s *story) {
		good := 0.001
		s.withCheck(&good)
		s.ro.Spec.Analysis.Checks[0].OnNoData = v1alpha1.NoDataFail
		s.facts.failing = map[string]int{"xB": 1}
		s.measure = func(string, string) Sample { return Sample{Outcome: NoData} }
		s.adopted()
		s.canaryStarts("B")
		s.rolledBack()
	},
	"third-revision": func(s *story) {
		s.at(5)
		s.apply("C")
		s.until("5 % of C", func() bool { return s.record().Canary == "xC" && s.atWeight(5)() })
		s.endsHealthy("xC")
	},
	"back-to-stable": func(s *story) {
		s.at(50)
		s.apply("A")
		s.healthy()
		s.serves("rA")
	},
	"scaled-4-to-8": func(s *story) {
		s.autoscaled = true
		s.at(50)
		s.scale(8)
		s.healthy()
		s.serves("xB")
	},
	"scaled-to-zero": func(s *story) {
		s.shiftAll = true
		s.at(50)
		s.scale(0)
		s.until("paused", s.settledIn(v1alpha1.PhasePaused))
		s.run(0, func() bool { return false })
		s.scale(4)
		s.until("5 %", s.atWeight(5))
		s.endsHealthy("xB")
	},
	"steps-edited": func(s *story) {
		s.at(25)
		s.until("step 3", func() bool { return s.record().Step == 3 && s.record().AckedAt != nil })
		s.edit("lowers the third step to 30 %", func(ro *v1alpha1.Rollout) { ro.Spec.Strategy.Canary.Steps[2].Weight = new(int32(30)) })
		s.until("30 %", s.atWeight(30))
		s.edit("removes the third step", func(ro *v1alpha1.Rollout) {
			ro.Spec.Strategy.Canary.Steps = ro.Spec.Strategy.Canary.Steps[:2]
		})
		s.healthy()
		s.serves("xB")
	},
	"paused": func(s *story) {
		s.at(5)
		s.edit("sets paused", func(ro *v1alpha1.Rollout) { ro.Spec.Paused = true })
		s.run(10*time.Minute, func() bool { return false })
		s.edit("clears paused", func(ro *v1alpha1.Rollout) { ro.Spec.Paused = false })
		s.until("25 %", s.atWeight(25))
		s.endsHealthy("xB")
	},
	"endless-pause": func(s *story) {
		s.ro.Spec.Strategy.Canary.Steps = []v1alpha1.Step{{Weight: new(int32(20)), Pause: &v1alpha1.Pause{}}}
		s.adopted()
		s.canaryStarts("B")
		s.until("paused", s.settledIn(v1alpha1.PhasePaused))
		s.annotate(v1alpha1.AnnotationPromote, "xC/1")
		s.run(time.Hour, func() bool { return false })
		s.annotate(v1alpha1.AnnotationPromote, "xB/1")
		s.endsHealthy("xB")
	},
	"deleted-when-healthy": func(s *story) {
		s.adopted()
		s.deleteRollout()
		s.until("gone", func() bool { return s.ro == nil })
	},
	"deleted-mid-way": func(s *story) {
		s.at(50)
		s.deleteRollout()
		s.until("gone", func() bool { return s.ro == nil })
		s.run(time.Minute, func() bool { return false })
	},
	"deleted-while-handing-over": func(s *story) {
		s.adopted()
		s.canaryStarts("B")
		s.until("handing over", s.inStage(v1alpha1.StageHandingOver))
		s.deleteRollout()
		s.until("gone", func() bool { return s.ro == nil })
	},
	"canary-pods-lost": func(s *story) {
		s.at(50)
		s.killPods("xB")
		s.rolledBack()
		s.serves("rA")
	},
	"canary-pods-lost-and-back": func(s *story) {
		s.at(50)
		s.killPods("xB")
		s.run(time.Minute, func() bool { return false })
		s.heal("xB")
		s.until("50 %", s.atWeight(50))
		s.endsHealthy("xB")
	},
	"stable-pods-lost": func(s *story) {
		good := 0.001
		s.withCheck(&good)
		s.shiftAll = true
		s.at(50)
		s.killPods("rA")
		good = 0.5
		s.run(5*time.Minute, func() bool { return false })
		s.heal("rA")
		s.rolledBack()
		s.serves("rA")
	},
	"service-deleted-and-back": func(s *story) {
		s.at(25)
		s.trace("user", "deletes the Service")
		s.svcs = nil
		s.run(time.Minute, func() bool { return false })
		s.trace("user", "makes the Service again")
		s.svcs = []*service{{Service: Service{Name: testName, UID: s.uid(), Selects: true}, rv: s.next()}}
		s.until("25 % again", s.atWeight(25))
		s.endsHealthy("xB")
	},
	"deployment-deleted-and-back": func(s *story) {
		s.at(25)
		s.deleteDeployment()
		s.run(time.Minute, func() bool { return false })
		s.trace("user", "makes the Deployment again")
		s.createDeployment("B", 4)
		s.adopted()
		s.run(time.Minute, func() bool { return false })
		s.healthy()
		s.serves("rB")
	},
	"fallback-without-policies": func(s *story) {
		s.policies = Policies{Known: true, Message: "MutatingAdmissionPolicy hold.crossfade.dev is not there"}
		s.adopted()
		s.canaryStarts("B")
		s.healthy()
		s.serves("xB")
	},
	"policy-missed-a-change": func(s *story) {
		s.adopted()
		s.policies.Hold = false
		s.facts.odd = true
		s.apply("B")
		s.clusterActs()
		s.clusterActs()
		s.clusterActs()
		s.trace("fault", "the policy is back")
		s.policies.Hold = true
		s.until("5 %", s.atWeight(5))
		s.endsHealthy("rB")
	},
	"retry": func(s *story) {
		s.broken["B"] = true
		s.adopted()
		s.canaryStarts("B")
		s.rolledBack()
		delete(s.broken, "B")
		s.annotate(v1alpha1.AnnotationRetry, "xB/2")
		s.healthy()
		s.serves("xB")
	},
	"undo-to-history": func(s *story) {
		s.adopted()
		s.canaryStarts("B")
		s.healthy()
		s.canaryStarts("A")
		s.healthy()
		s.serves("rA")
	},
	"undo-while-warm": func(s *story) {
		s.adopted()
		s.canaryStarts("B")
		s.until("warm", s.inStage(v1alpha1.StageWarm))
		s.apply("A")
		s.healthy()
		s.serves("rA")
	},
	"break-glass": func(s *story) {
		s.at(50)
		s.trace("user", "breaks the glass: annotates Deployment and Service, removes the key, resumes with template D")
		s.facts.odd = true
		s.changeDeployment(func(d *deployment) { d.BreakGlass, d.Template, d.Paused = true, "D", false })
		s.svcs[0].BreakGlass, s.svcs[0].Key, s.svcs[0].Pin, s.svcs[0].rv = true, "", "", s.next()
		s.run(time.Minute, func() bool { return false })
		s.trace("user", "removes the annotations")
		s.changeDeployment(func(d *deployment) { d.BreakGlass = false })
		s.svcs[0].BreakGlass, s.svcs[0].rv = false, s.next()
		s.healthy()
		s.serves("rD")
	},
}
