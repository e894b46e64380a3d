package delivery

import (
	"fmt"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// approvalsWanted is how many people have to promote the present step.
func (p *pass) approvalsWanted() int32 {
	if s := p.step(); s != nil && s.Pause != nil && s.Pause.Requires != nil {
		return s.Pause.Requires.Approvals
	}
	return 1
}

// approvedSoFar says how many have, and who.
func (p *pass) approvedSoFar() string {
	n := len(p.rec.Approvals)
	s := fmt.Sprintf("%d of %d approvals", n, p.approvalsWanted())
	if n > 0 {
		s += ": " + join(approvers(p.rec.Approvals))
	}
	return s
}

func approvers(words []v1alpha1.Word) []string {
	var names []string
	for _, w := range words {
		names = append(names, w.By)
	}
	return names
}

// longestReason is how much of a person's reason goes into messages and events,
// which have a limit of their own.
const longestReason = 256

// said is who said something, and why if he gave a reason.
func said(w v1alpha1.Word) string {
	if w.Reason == "" {
		return w.By
	}
	reason := []rune(w.Reason)
	if len(reason) > longestReason {
		reason = append(reason[:longestReason-1], '…')
	}
	return fmt.Sprintf("%s (%s)", w.By, string(reason))
}

// paused says that every move to the canary is stopped: by the spec, or by a
// person's word for this delivery, which is not in the spec, so that no tool that
// keeps the spec as it is in a repository ends it.
func (p *pass) paused() bool { return p.Rollout.Spec.Paused || p.rec.Paused != nil }

// stayPaused waits for whoever has paused.
func (p *pass) stayPaused(then string) {
	p.pause(p.pausedUntil(then))
	p.words.waits = "resume"
}

// pausedUntil says who has paused, and what follows when the pause ends.
func (p *pass) pausedUntil(then string) string {
	if p.Rollout.Spec.Paused {
		return fmt.Sprintf("spec.paused is set: %s when it is not", then)
	}
	return fmt.Sprintf("paused by %s: %s when somebody resumes it", said(*p.rec.Paused), then)
}

// approvals is how far the approvals of the present step are, nil where it requires
// none.
func (p *pass) approvals() *v1alpha1.ApprovalsStatus {
	s := p.step()
	if s == nil || s.Pause == nil || s.Pause.Requires == nil {
		return nil
	}
	return &v1alpha1.ApprovalsStatus{Required: s.Pause.Requires.Approvals, By: approvers(p.rec.Approvals)}
}
