package delivery

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// maxNotices bounds the outbox. Those that everybody was told of stay in it while
// there is room: a wait that comes back within its step is the same wait.
const maxNotices = 10

// Told is a notice that a target has taken, or that is given up.
type Told struct {
	// ID is the notice's, Target who was told.
	ID, Target string
	// Failed is why it is given up; empty when the target took it.
	Failed string
}

// notices is the next outbox. It is written with the status that it tells of, in one
// write: a crash, a conflict or another leader can neither lose a notice nor make it
// twice. Sending it is the shell's, and holds up nothing.
func (p *pass) notices(next *v1alpha1.RolloutStatus) []v1alpha1.Notice {
	box := p.sent()
	for _, n := range p.happened() {
		for known(box, n.ID) {
			n.ID += "+" // The same twice within a microsecond is two things still.
		}
		box = p.put(box, n)
	}
	for _, n := range p.stands(next) {
		if !known(box, n.ID) {
			box = p.put(box, n)
		}
	}
	return box[max(0, len(box)-maxNotices):]
}

func known(box []v1alpha1.Notice, id string) bool {
	return slices.ContainsFunc(box, func(n v1alpha1.Notice) bool { return n.ID == id })
}

// put adds a notice that somebody wants.
func (p *pass) put(box []v1alpha1.Notice, n v1alpha1.Notice) []v1alpha1.Notice {
	if n.Pending = p.wants(n.On); len(n.Pending) == 0 {
		return box
	}
	return append(box, n)
}

// sent is the present outbox without the targets that have been told since.
func (p *pass) sent() []v1alpha1.Notice {
	var box []v1alpha1.Notice
	for i := range p.Rollout.Status.Notices {
		n := p.Rollout.Status.Notices[i].DeepCopy()
		for _, t := range p.Told {
			if t.ID == n.ID && slices.Contains(n.Pending, t.Target) {
				n.Pending = without(n.Pending, t.Target)
				if t.Failed != "" {
					p.warn(EventNotificationFailed, fmt.Sprintf("target %s was not told of %s: %s", t.Target, n.On, t.Failed))
				}
			}
		}
		box = append(box, *n)
	}
	return box
}

// without is nil rather than empty: that is what comes back from the API server.
func without(list []string, gone string) []string {
	var rest []string
	for _, s := range list {
		if s != gone {
			rest = append(rest, s)
		}
	}
	return rest
}

// wants are the targets that want to be told of a happening, sorted as in the spec.
func (p *pass) wants(h v1alpha1.Happening) []string {
	var targets []string
	for _, n := range p.Rollout.Spec.Notify {
		if len(n.On) == 0 || slices.Contains(n.On, h) {
			targets = append(targets, n.Target)
		}
	}
	return targets
}

// happened are the notices of this pass's events. These go with a change of the
// record and happen once, so their time tells them apart.
func (p *pass) happened() []v1alpha1.Notice {
	var list []v1alpha1.Notice
	for _, e := range p.plan.Events {
		if h := happeningOf(e.Reason); h != "" {
			list = append(list, p.notice(h, e.Message, "", p.now))
		}
	}
	return list
}

// stands are the notices of what the status says now: a wait and a stall are states,
// which may come and go, and are told of once per step.
func (p *pass) stands(next *v1alpha1.RolloutStatus) []v1alpha1.Notice {
	var list []v1alpha1.Notice
	began := time.Time{}
	if p.rec != nil {
		began = latest(p.rec.Since.Time, p.rec.StepSince.Time)
	}
	// A window opens by itself: nobody is waited for.
	if next.Phase == v1alpha1.PhasePaused && p.words.paused && p.words.reason != v1alpha1.ReasonClosed {
		list = append(list, p.notice(v1alpha1.HappeningWaiting, next.Message, "", began))
	}
	if c := conditionOf(next, v1alpha1.ConditionStalled); c != nil && c.Status == metav1.ConditionTrue && next.Phase != v1alpha1.PhaseRolledBack {
		list = append(list, p.notice(v1alpha1.HappeningStalled, c.Message, fmt.Sprintf("/%s/%d", c.Reason, p.Rollout.Generation), began))
	}
	return list
}

func happeningOf(reason string) v1alpha1.Happening {
	switch reason {
	case EventRevisionDetected:
		return v1alpha1.HappeningStarted
	case EventStepStarted:
		return v1alpha1.HappeningStepStarted
	case EventPromoted:
		return v1alpha1.HappeningPromoted
	case EventRolledBack, EventABTestEnded:
		return v1alpha1.HappeningRolledBack
	}
	return ""
}

// notice makes one; since and detail tell it from another one of its kind.
func (p *pass) notice(h v1alpha1.Happening, message, detail string, since time.Time) v1alpha1.Notice {
	n := v1alpha1.Notice{On: h, At: metav1.NewMicroTime(p.now), Message: message}
	stamp := int64(0)
	if !since.IsZero() {
		stamp = since.UnixMicro()
	}
	if p.rec != nil {
		n.Revision, n.Stable, n.Step = p.rec.Canary, p.rec.Stable, p.rec.Step
		if h == v1alpha1.HappeningStarted {
			n.Revision = p.revisionOfTemplate()
		}
		if h == v1alpha1.HappeningPromoted { // The record names it stable by now.
			n.Revision, n.Stable = p.rec.Stable, p.rec.Old
		}
	}
	n.ID = fmt.Sprintf("%s/%d/%s/%d%s", n.Revision, n.Step, h, stamp, detail)
	return n
}
