package delivery

import (
	"fmt"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Names says whether the API server vouches for who created a RolloutAction.
type Names struct {
	// Known is false until the probe has been answered.
	Known bool
	// Kept: the API server writes the name down, keeps it, and asks for the verb.
	Kept bool
	// Since is when the policies came: for what is not newer nobody vouches.
	Since time.Time
	// Message says what is missing.
	Message string
}

// told takes the oldest action that has no answer yet. One that fits is applied: its
// effect and its UID are in the same write of the record, and the answer follows
// from the observation that has them in it, so that a crash in between neither
// repeats nor loses it. One that does not fit is refused, which changes nothing and
// may be said twice. There is one at a time: the next is judged by what the last one
// has left.
func (p *pass) told() bool {
	a := p.asked()
	if a == nil || p.answerTaken(a) || !p.Names.Known || p.aboutToTurn() {
		return false
	}
	// Answers of the checks come once: they count before the action does.
	if p.canReturn() && p.measured() {
		return true
	}
	if why := p.unfit(a); why != "" {
		p.turnDown(a, why)
		return false
	}
	return p.apply(a)
}

// asked is the oldest action without an answer, nil when there is none.
func (p *pass) asked() *v1alpha1.RolloutAction {
	for i := range p.Asked {
		if a := &p.Asked[i]; a.Status.Phase == "" && a.DeletionTimestamp.IsZero() {
			return a
		}
	}
	return nil
}

// aboutToTurn says that the next rule changes what is on its way: an action is
// judged after that.
func (p *pass) aboutToTurn() bool {
	return p.rec.Stage == v1alpha1.StagePreparing && p.rec.CanaryTemplate != p.Deployment.Template
}

// answerTaken answers the action that had its effect on the record already.
func (p *pass) answerTaken(a *v1alpha1.RolloutAction) bool {
	t := p.recordTaken()
	if t == nil || t.UID != a.UID {
		return false
	}
	p.reply(a, &v1alpha1.RolloutActionStatus{Phase: v1alpha1.ActionApplied, Message: t.Message, By: by(a), AppliedAt: &t.At}, nil)
	return true
}

// unanswered says that an action had its effect and has no answer yet. Only the record
// knows, so it must not go before: the action would be refused after it was applied.
func (p *pass) unanswered() bool {
	a, t := p.asked(), p.recordTaken()
	return a != nil && t != nil && t.UID == a.UID
}

func (p *pass) recordTaken() *v1alpha1.TakenAction {
	if p.rec == nil {
		return nil
	}
	return p.rec.Taken
}

// turnAway refuses the oldest action while nothing is delivered at all.
func (p *pass) turnAway(why string) {
	if a := p.asked(); a != nil && !p.answerTaken(a) {
		p.turnDown(a, why)
	}
}

// turnDown refuses an action.
func (p *pass) turnDown(a *v1alpha1.RolloutAction, why string) {
	s := &v1alpha1.RolloutActionStatus{Phase: v1alpha1.ActionRefused, Message: why, AppliedAt: p.microNow()}
	if p.vouched(a) {
		s.By = by(a)
	}
	p.reply(a, s, warning(EventActionRefused, fmt.Sprintf("%s of %s is refused: %s", a.Spec.Action, a.Name, why)))
}

// reply plans an answer. It is written after everything else: an answer that cannot
// be written must not hold up a delivery.
func (p *pass) reply(a *v1alpha1.RolloutAction, s *v1alpha1.RolloutActionStatus, tells *Event) {
	p.last = append(p.last, Action{Kind: AnswerAction, Object: a.Name, Answer: s, Why: fmt.Sprintf("%s of revision %s", a.Spec.Action, a.Spec.Revision), Tells: tells})
}

// apply writes an action's effect into the record, and that it was applied.
func (p *pass) apply(a *v1alpha1.RolloutAction) bool {
	w := v1alpha1.Word{By: by(a), Reason: a.Spec.Reason, At: *p.microNow()}
	var did string
	switch a.Spec.Action {
	case v1alpha1.ActionPromote:
		did = p.approve(w)
	case v1alpha1.ActionPromoteFull:
		did = fmt.Sprintf("revision %s skips the steps that are left", a.Spec.Revision)
		p.rec.Full, p.rec.Promoted, p.rec.Paused = true, &w, nil
	case v1alpha1.ActionAbort:
		did = fmt.Sprintf("revision %s goes back to %s", a.Spec.Revision, p.rec.Stable)
		p.abort(a.Spec.Revision, w)
	case v1alpha1.ActionRetry:
		did = fmt.Sprintf("revision %s is tried once more", a.Spec.Revision)
		p.event(EventRetry, "another attempt was asked for: "+said(w))
		p.startOver(p.rec.Attempt + 1)
	case v1alpha1.ActionPause:
		did = fmt.Sprintf("revision %s stays where it is", a.Spec.Revision)
		p.rec.Paused = &w
	case v1alpha1.ActionResume:
		did = fmt.Sprintf("revision %s goes on", a.Spec.Revision)
		p.rec.Paused = nil
	case v1alpha1.ActionOverride:
		did = fmt.Sprintf("no schedule and no freeze holds revision %s any more", a.Spec.Revision)
		p.rec.Override = &v1alpha1.Override{Revision: a.Spec.Revision, By: w.By, Reason: w.Reason, At: w.At}
	}
	p.event(EventActionApplied, fmt.Sprintf("%s by %s: %s", a.Spec.Action, said(w), did))
	return p.write(func(r *v1alpha1.Record) { r.Taken = &v1alpha1.TakenAction{UID: a.UID, Message: did, At: w.At} })
}

// approve counts a person's word for the present step.
func (p *pass) approve(w v1alpha1.Word) string {
	p.rec.Approvals = append(p.rec.Approvals, w)
	last := w
	last.By = join(approvers(p.rec.Approvals))
	p.rec.Promoted = &last
	if p.approvalsWanted() > 1 {
		return fmt.Sprintf("%s is approved (%s)", p.where(), p.approvedSoFar())
	}
	return fmt.Sprintf("the hold of %s is over", p.where())
}

// abort goes back to stable because a person says so. What has no canary yet fails
// as one that has.
func (p *pass) abort(revision string, w v1alpha1.Word) {
	if p.rec.Canary == "" {
		p.rec.Canary = revision
		p.canary = p.find(revision)
	}
	p.retreat(v1alpha1.ThenRolledBack, EventAborted, "aborted by "+said(w))
	p.history = ended(p.Rollout.Status.History, v1alpha1.HistoryEntry{
		Revision: revision, Outcome: v1alpha1.OutcomeAborted, By: w.By, Message: w.Reason, At: w.At,
	})
}

// skipSteps goes to the whole weight at once when a person said so. The gates before
// the promotion hold that as well: past a window takes a word of its own.
func (p *pass) skipSteps() bool {
	if !p.rec.Full || p.step() == nil || p.paused() {
		return false
	}
	p.startStep(p.wholeStep())
	return p.changed
}
