package delivery

import (
	"fmt"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery/schedule"
)

// closed is the gate of spec.schedule and of the Freezes. It is asked before
// something begins, never in its midst: a step that began in an open window moves its
// weight and is measured to its end after the window has closed, for a weight between
// two states would be worse than either. What goes towards stable does not come here.
func (p *pass) closed(m moment) bool {
	if m == beforeStep && p.rec.Stage == v1alpha1.StagePreparing {
		return false // The first step begins with the start, and is held with it.
	}
	if p.overridden() {
		return false
	}
	s := p.Schedule
	if s != nil && !holdsAt(s.Holds, m) {
		s = nil
	}
	var freezes []schedule.Freeze
	for _, f := range p.Freezes {
		if holdsAt(f.Holds, m) {
			freezes = append(freezes, f)
		}
	}
	answer := schedule.Ask(s, freezes, p.now)
	if answer.Open {
		return false
	}
	if !answer.Next.IsZero() {
		p.past(answer.Next)
	}
	p.close(answer)
	return true
}

func holdsAt(h schedule.Holds, m moment) bool {
	switch m {
	case beforeStart:
		return h.Start
	case beforeStep:
		return h.Step
	case beforePromotion:
		return h.Promote
	}
	return true
}

// close says what the closed gate waits for.
func (p *pass) close(a schedule.Answer) {
	message := fmt.Sprintf("revision %s %s", p.revisionOnItsWay(), a.Message)
	if p.rec.Stage == v1alpha1.StageStepping {
		message = fmt.Sprintf("%s: %d/%d on canary %s; %s", p.where(), p.rec.Weight, p.rec.Total, p.rec.Canary, a.Message)
	}
	p.pause(message)
	p.words.reason, p.words.waits = v1alpha1.ReasonClosed, a.Short
}

// tellClosed tells that a delivery begins to wait, when that is what the pass says in
// the end: a gate may be asked for what something else holds up, too.
func (p *pass) tellClosed() {
	if p.words.reason == v1alpha1.ReasonClosed && p.wasReason(v1alpha1.ConditionReady) != v1alpha1.ReasonClosed {
		p.event(EventClosed, p.words.message)
	}
}

// overridden says that somebody let this very revision pass.
func (p *pass) overridden() bool {
	o := p.rec.Override
	return o != nil && o.Revision != "" && o.Revision == p.revisionOnItsWay()
}

// revisionOnItsWay is the canary, or what will be it.
func (p *pass) revisionOnItsWay() string {
	if p.rec.Canary != "" {
		return p.rec.Canary
	}
	return p.revisionOfTemplate()
}
