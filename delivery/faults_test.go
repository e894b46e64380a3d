package delivery

import (
	"fmt"
	"slices"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// disturb is a user, or a fault.
func (s *sim) disturb() {
	switch s.r.IntN(13) {
	case 0, 1:
		s.disturbTemplate()
	case 2:
		s.disturbReplicas()
	case 3:
		s.disturbRollout()
	case 4, 5:
		s.disturbPods()
	case 6, 7:
		s.disturbProxies()
	case 8:
		s.disturbSource()
	case 9:
		s.foreignWrite()
	case 10:
		s.say()
	case 11:
		s.rare()
	case 12:
		s.disturbSchedule()
	}
}

func (s *sim) disturbTemplate() {
	if s.d == nil {
		return
	}
	s.apply(string(rune('A' + s.r.IntN(4))))
}

func (s *sim) disturbReplicas() {
	if s.d == nil || s.one(2) {
		return
	}
	s.scale(int32(s.r.IntN(10)))
}

func (s *sim) disturbRollout() {
	if s.ro == nil {
		return
	}
	switch s.r.IntN(6) {
	case 5:
		s.editSteps()
	case 4:
		s.edit("edits the hooks", func(*v1alpha1.Rollout) { s.setHooks() })
	case 0:
		s.edit("toggles paused", func(ro *v1alpha1.Rollout) { ro.Spec.Paused = !ro.Spec.Paused })
	case 1:
		s.editStrategy()
	case 2:
		s.editTotal()
	case 3:
		s.edit("edits the deadlines", func(ro *v1alpha1.Rollout) { ro.Spec.ProgressDeadlineSeconds = int32(20 + s.r.IntN(300)) })
	}
}

func (s *sim) disturbPods() {
	if len(s.rss) == 0 {
		return
	}
	r := s.rss[s.r.IntN(len(s.rss))]
	switch s.r.IntN(4) {
	case 0:
		s.trace("fault", "pods of "+r.Name+" never get ready")
		s.broken[r.Template] = true
	case 1:
		s.trace("fault", "pods of "+r.Name+" get ready again")
		delete(s.broken, r.Template)
	case 2:
		if len(r.pods) > 0 {
			s.trace("fault", "a pod of "+r.Name+" is lost")
			i := s.r.IntN(len(r.pods))
			r.pods = append(r.pods[:i:i], r.pods[i+1:]...)
		}
	case 3:
		if s.one(3) {
			s.killPods(r.Revision)
		}
	}
}

func (s *sim) disturbProxies() {
	if len(s.proxies) == 0 {
		return
	}
	p := s.proxies[s.r.IntN(len(s.proxies))]
	switch s.r.IntN(7) {
	case 0:
		s.trace("fault", p.name+" is frozen")
		p.silent = true
	case 1:
		s.trace("fault", p.name+" goes on")
		p.silent = false
	case 2:
		s.trace("fault", p.name+" loses its stream")
		p.connected, p.sent = false, nil
		p.pendingSince = s.now
	case 3, 4:
		s.reconnect(p)
	case 5:
		s.trace("fault", p.name+" is deleted")
		*p = proxy{name: p.name, delay: p.delay, pendingSince: s.now}
	case 6:
		if s.one(3) {
			s.trace("fault", p.name+" rejects xC")
			p.rejects = "xC"
		}
	}
}

func (s *sim) reconnect(p *proxy) {
	p.present = true
	if !p.connected {
		s.trace("fault", p.name+" connects")
		p.connected, p.rejected, p.sent = true, nil, nil
		if p.pendingSince.IsZero() {
			p.pendingSince = s.now
		}
	}
}

func (s *sim) disturbSource() {
	if s.one(4) {
		s.disturbTemplateOfChecks()
		return
	}
	switch s.r.IntN(6) {
	case 4, 5:
		s.no = s.one(3)
	case 0:
		s.trace("fault", "the metrics source is away")
		s.outage = true
	case 1, 2:
		s.outage, s.bad = false, false
	case 3:
		if s.one(2) {
			s.trace("fault", "the canary errs")
			s.bad = true
		}
	}
}

// foreignWrite changes an object in a way that means nothing to a delivery.
func (s *sim) foreignWrite() {
	if s.d != nil {
		s.d.rv = s.next()
	}
	if len(s.rss) > 0 {
		s.rss[s.r.IntN(len(s.rss))].rv = s.next()
	}
}

// say is a person who reads the status and answers it.
func (s *sim) say() {
	rec := s.record()
	if s.one(2) {
		s.askAny()
		return
	}
	if rec == nil {
		return
	}
	if rec.Stage == v1alpha1.StageRolledBack {
		s.annotate(v1alpha1.AnnotationRetry, fmt.Sprintf("%s/%d", rec.Failed, rec.Attempt+1))
	}
	if rec.Stage == v1alpha1.StageStepping {
		s.annotate(v1alpha1.AnnotationPromote, fmt.Sprintf("%s/%d", rec.Canary, rec.Step))
	}
}

// rare is what happens in few schedules.
func (s *sim) rare() {
	switch s.r.IntN(9) {
	case 0:
		if s.ro != nil && s.one(2) {
			s.deleteRollout()
		}
	case 1:
		if len(s.svcs) > 0 && s.one(2) {
			s.trace("user", "deletes Service "+s.svcs[0].Name)
			s.svcs = s.svcs[1:]
		}
	case 2:
		s.services()
	case 3:
		if s.refused == nil && s.one(2) {
			s.trace("fault", "the Rollout is refused")
			s.refused = &Refusal{Reason: v1alpha1.ReasonInvalidQuery, Message: "check errors: no such field"}
		} else {
			s.refused = nil
		}
	case 4:
		if s.d != nil && s.one(3) {
			s.facts.odd = false
			s.deleteDeployment()
		}
	case 5:
		if s.d == nil {
			s.createDeployment(string(rune('A'+s.r.IntN(4))), int32(s.r.IntN(6)))
		}
	case 6:
		if s.d != nil && s.one(3) {
			s.facts.odd = true
			s.trace("fault", "somebody ends the hold past the policies")
			s.d.Paused, s.d.Hold, s.d.rv = false, "", s.next()
			s.userPaused = false
			s.d.Generation++
		}
	case 7:
		s.now = s.now.Add(time.Duration(s.r.IntN(900)) * time.Second)
	case 8:
		s.names.Kept = !s.names.Kept
	}
}

func (s *sim) services() {
	for _, x := range s.svcs {
		if x.Name == testName {
			return
		}
	}
	s.trace("user", "makes the Service again")
	s.svcs = append(s.svcs, &service{Service: Service{Name: testName, UID: s.uid(), Selects: true}, rv: s.next(), made: s.now})
}

// peace ends all faults; what users asked for stands.
func (s *sim) peace() {
	s.trace("peace", "no more faults")
	clear(s.broken)
	s.outage, s.bad, s.no, s.refused, s.templates.gone, s.freezes = false, false, false, nil, false, nil
	s.inFlight, s.hook = nil, func(q Question) HookAnswer { return s.hookSays(q) }
	s.services()
	s.names = Names{Known: true, Kept: true}
	if s.d == nil {
		s.createDeployment("A", 3)
	}
	if s.userPaused && s.record() == nil && s.d.Hold == "" {
		s.userPaused = false // or it never settles
		s.changeDeployment(func(d *deployment) { d.Paused = false })
	}
	for _, p := range s.proxies {
		p.silent, p.rejects = false, ""
		s.reconnect(p)
	}
	if s.ro != nil && s.ro.Spec.Paused {
		s.edit("clears paused", func(ro *v1alpha1.Rollout) { ro.Spec.Paused = false })
	}
	if s.d.Replicas == 0 && s.one(2) {
		s.scale(3)
	}
}

// come lets the world go on, in fair order, until the delivery has come to an end.
func (s *sim) come() string {
	for len(s.todo) > 0 { // the pass in progress comes to its end, too
		s.seeAll()
		a := s.todo[0]
		if err := s.do(&s.obs, &a); err != nil {
			break
		}
		s.todo = s.todo[1:]
	}
	s.todo = nil
	s.run(72*time.Hour, func() bool {
		if s.ro != nil {
			s.steer()
			s.editOnTheWay()
		}
		return false
	})
	if s.ro != nil && !s.terminal() {
		return fmt.Sprintf("it does not end: %s; record %+v", s.ro.Status.Message, s.record())
	}
	if missed := s.post.missed(); missed != "" && s.ro != nil {
		return missed
	}
	return s.judgeEnd()
}

func (s *sim) terminal() bool {
	rec := s.record()
	if rec == nil || len(s.ro.Status.Conditions) == 0 {
		return false
	}
	switch s.ro.Status.Phase {
	case v1alpha1.PhaseHealthy:
		return s.ro.Status.Conditions[0].Status == "True"
	case v1alpha1.PhaseRolledBack:
		return true
	case v1alpha1.PhasePaused:
		return rec.Stage == v1alpha1.StagePreparing && s.d.Replicas == 0
	}
	return false
}

// judgeEnd checks the state that nothing moves any more.
func (s *sim) judgeEnd() string {
	if s.ro == nil {
		s.end = "without the Rollout"
		for _, x := range s.svcs {
			if x.Pin != "" || x.Key != "" || x.Rollout != "" {
				return fmt.Sprintf("the Rollout is gone, Service %s is left: %+v", x.Name, x.Service)
			}
		}
		if s.d.Hold != "" || s.d.Rollout != "" || s.d.Paused != s.userPaused {
			return fmt.Sprintf("the Rollout is gone, the Deployment is left: %+v", s.d.Deployment)
		}
		return ""
	}
	if i := slices.IndexFunc(s.asked, pendingAction); i >= 0 {
		return fmt.Sprintf("%s of %s has no answer", s.asked[i].Spec.Action, s.asked[i].Name)
	}
	rec := s.record()
	stable := s.rs(rec.Stable)
	s.end = string(s.ro.Status.Phase)
	if rec.Stage == v1alpha1.StageHealthy {
		s.checkHealthy()
		if stable == nil || stable.Template != s.d.Template {
			return "Healthy, but the template is not the stable one"
		}
	}
	if rec.Stage == v1alpha1.StageRolledBack && rec.FailedTemplate != s.d.Template {
		return "RolledBack, but the template is another one"
	}
	if s.ready(s.record().Stable) != s.d.Replicas {
		return fmt.Sprintf("%d pods of stable %s are ready, want %d", s.ready(rec.Stable), rec.Stable, s.d.Replicas)
	}
	return ""
}
