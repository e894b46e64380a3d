package delivery

import (
	"fmt"
	"slices"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// longestName is the length of a user's name up to which it is written down.
const longestName = 256

// by is the user who created an action, as the API server has written it down.
func by(a *v1alpha1.RolloutAction) string { return a.Annotations[v1alpha1.AnnotationBy] }

// unfit says why an action cannot be applied now, empty when it can.
func (p *pass) unfit(a *v1alpha1.RolloutAction) string {
	if why := p.nameless(a); why != "" {
		return why
	}
	if p.leaving() {
		return "the Rollout lets go of the Deployment"
	}
	if a.Spec.Action == v1alpha1.ActionRetry {
		return p.unfitRetry(a)
	}
	on, instead := p.onItsWay()
	switch {
	case on == "":
		return instead
	case on != a.Spec.Revision:
		return fmt.Sprintf("revision %s is on its way by now, not %s", on, a.Spec.Revision)
	}
	switch a.Spec.Action {
	case v1alpha1.ActionPromote:
		return p.unfitPromote(a)
	case v1alpha1.ActionPromoteFull:
		return p.unfitFull()
	case v1alpha1.ActionAbort:
		if p.rec.Stage == v1alpha1.StageHandingOver && !p.canReturn() {
			return fmt.Sprintf("revision %s is being handed over to the Deployment: to go back, apply the template of before", on)
		}
	case v1alpha1.ActionPause:
		if w := p.rec.Paused; w != nil {
			return fmt.Sprintf("%s has paused revision %s already", w.By, on)
		}
	case v1alpha1.ActionResume:
		return p.unfitResume(on)
	case v1alpha1.ActionOverride:
		if w := p.rec.Override; w != nil {
			return fmt.Sprintf("%s has overridden what holds revision %s already", w.By, on)
		}
	case v1alpha1.ActionRetry:
	}
	return ""
}

// nameless says why nobody knows who asked.
func (p *pass) nameless(a *v1alpha1.RolloutAction) string {
	name := by(a)
	switch {
	case !p.Names.Kept:
		return "nobody knows who asked: " + p.Names.Message
	case !p.vouched(a):
		return "nobody knows who asked: the action is older than the admission policies; create it again"
	case name == "":
		return "nobody knows who asked: the API server has written no name; create it again"
	case len(name) > longestName:
		return fmt.Sprintf("the user's name is longer than %d bytes", longestName)
	}
	return ""
}

// vouched says that the API server wrote down who created an action.
func (p *pass) vouched(a *v1alpha1.RolloutAction) bool {
	return p.Names.Kept && a.CreationTimestamp.After(p.Names.Since)
}

// onItsWay is the revision that is delivered, or why there is none.
func (p *pass) onItsWay() (revision, instead string) {
	switch p.rec.Stage {
	case v1alpha1.StagePreparing:
		return p.revisionOfTemplate(), ""
	case v1alpha1.StageStepping, v1alpha1.StagePinning, v1alpha1.StageHandingOver:
		return p.rec.Canary, ""
	case v1alpha1.StageWarm:
		return "", fmt.Sprintf("revision %s is promoted already: to go back, apply the template of before", p.rec.Stable)
	case v1alpha1.StageRetreating:
		return "", fmt.Sprintf("revision %s goes back to %s already", p.rec.Canary, p.rec.Stable)
	case v1alpha1.StageRolledBack:
		return "", fmt.Sprintf("revision %s was rolled back: ask for Retry to try it once more", p.rec.Failed)
	case v1alpha1.StageHealthy, v1alpha1.StageRestoring:
	}
	return "", fmt.Sprintf("nothing is on its way: revision %s serves everybody", p.rec.Stable)
}

func (p *pass) unfitRetry(a *v1alpha1.RolloutAction) string {
	switch {
	case p.rec.Stage != v1alpha1.StageRolledBack:
		if on, instead := p.onItsWay(); on == "" {
			return instead
		}
		return fmt.Sprintf("revision %s is on its way: only one that was rolled back can be tried again", a.Spec.Revision)
	case p.rec.Failed != a.Spec.Revision:
		return fmt.Sprintf("revision %s was rolled back last, not %s", p.rec.Failed, a.Spec.Revision)
	case p.Deployment.Template != p.rec.FailedTemplate:
		return "the Deployment has another template by now"
	}
	return ""
}

// unfitPromote refuses a word for a step that nobody can have looked at yet, and for
// one that is over: it would end the hold of the next.
func (p *pass) unfitPromote(a *v1alpha1.RolloutAction) string {
	s := p.step()
	switch {
	case p.rec.Stage != v1alpha1.StageStepping || s == nil:
		return p.notHeld()
	case a.Spec.Step != 0 && a.Spec.Step != p.rec.Step:
		return fmt.Sprintf("%s is on its way by now, not step %d", p.where(), a.Spec.Step)
	case s.Pause == nil && !s.ByPerson:
		return fmt.Sprintf("%s is not held: it goes on by itself when its checks have passed", p.where())
	case p.rec.AckedAt == nil:
		return fmt.Sprintf("%s is not reached yet: promote it when it is held", p.where())
	case slices.ContainsFunc(p.rec.Approvals, func(w v1alpha1.Word) bool { return w.By == by(a) }):
		return fmt.Sprintf("%s has promoted %s already (%s)", by(a), p.where(), p.approvedSoFar())
	case int32(len(p.rec.Approvals)) >= p.approvalsWanted():
		return fmt.Sprintf("the hold of %s is over already: it goes on when its checks have passed", p.where())
	case !s.ByPerson && !p.now.Before(p.heldUntil()):
		return fmt.Sprintf("the hold of %s is over already: it goes on when its checks have passed", p.where())
	}
	return ""
}

func (p *pass) notHeld() string {
	if p.rec.Stage == v1alpha1.StagePreparing {
		return "the first step has not begun yet: promote it when it is held"
	}
	return fmt.Sprintf("no hold is left: all requests move to revision %s", p.rec.Canary)
}

func (p *pass) unfitFull() string {
	switch {
	case p.Rollout.Spec.Paused:
		return "spec.paused is set: unset it first"
	case p.rec.Full || p.rec.Stage == v1alpha1.StagePinning || p.rec.Stage == v1alpha1.StageHandingOver ||
		(p.rec.Stage == v1alpha1.StageStepping && p.step() == nil):
		return "no step is left to skip"
	}
	return ""
}

func (p *pass) unfitResume(on string) string {
	switch {
	case p.rec.Paused != nil:
		return ""
	case p.Rollout.Spec.Paused:
		return "spec.paused is set, which only an edit of the Rollout ends"
	}
	return fmt.Sprintf("revision %s is not paused", on)
}
