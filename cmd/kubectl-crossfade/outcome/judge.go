// Package outcome waits for what becomes of a revision, and says it in a sentence,
// an exit code and a report. What decides is a pure function of what was seen; the
// loop around it only looks, again and again, until the time is over.
package outcome

import (
	"fmt"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
)

// Verdict is how a wait ends.
type Verdict string

// The verdicts; Waiting is none yet.
const (
	Waiting       Verdict = ""
	Promoted      Verdict = "Promoted"
	RolledBack    Verdict = "RolledBack"
	TimedOut      Verdict = "TimedOut"
	PersonNeeded  Verdict = "PersonNeeded"
	Superseded    Verdict = "Superseded"
	Misconfigured Verdict = "Misconfigured"
	// Broken is anything else: no such Rollout, no right to see it.
	Broken Verdict = "Error"
)

// codes are the exit codes of the verdicts: a promise to pipelines.
var codes = map[Verdict]int{
	Promoted: 0, Broken: 1, RolledBack: 2, TimedOut: 3, PersonNeeded: 4, Superseded: 5, Misconfigured: 6,
}

// settle is how long something must stay that may be over in a moment: a mistake in
// objects that are being applied, or a word of an API server that is just starting.
const settle = 10 * time.Second

// Trouble is why a look showed nothing.
type Trouble string

// The troubles. Away is over by itself some day, Refused is not, as a rule, and Gone
// is an answer.
const (
	Away    Trouble = "Away"
	Refused Trouble = "Refused"
	Gone    Trouble = "Gone"
)

// Sight is what was seen at one time: a family, or a trouble with its words.
type Sight struct {
	At      time.Time
	Family  *rollouts.Family
	Trouble Trouble
	Words   string
}

// Judge waits for the outcome of one revision. It is a value: Look returns the next
// one.
type Judge struct {
	// Target says whose outcome, WaitForApproval that a person's decision is waited
	// for, too.
	Target          Target
	WaitForApproval bool

	// template and hash are the revision, as soon as they are known. A template that
	// has just been written has no hash until the controller has seen it.
	template map[string]any
	hash     string
	// before is the end of the last delivery that was over when the revision was bound
	// as the one that the Deployment asks for: what ended until then was another
	// attempt, of the same revision perhaps.
	before time.Time
	// doubt and doubtSince are something final that may be over in a moment.
	doubt      string
	doubtSince time.Time
	// last is what the last look said, for the end of the time.
	last string
}

// Finding is what a look says: an end, or what is waited for.
type Finding struct {
	Verdict Verdict
	// Revision is the hash, empty while it has none.
	Revision string
	// Message is a sentence.
	Message string
	// Check is the one that failed, nil when none did.
	Check *FailedCheck
}

// Look judges what was seen.
func (j Judge) Look(s Sight) (Judge, Finding) {
	var f Finding
	switch {
	case s.Trouble != "":
		f = j.trouble(s)
	default:
		j = j.bind(s.Family)
		f = j.judge(s.Family)
		f.Revision = j.hash
	}
	if f.Verdict == Misconfigured || (f.Verdict == Broken && s.Trouble == Refused) {
		if j.doubt != f.Message {
			j.doubt, j.doubtSince = f.Message, s.At
		}
		if s.At.Sub(j.doubtSince) < settle {
			f.Verdict = Waiting
		}
	} else {
		j.doubt = ""
	}
	j.last = f.Message
	return j, f
}

// Timeout is what the end of the time says.
func (j Judge) Timeout(after time.Duration) Finding {
	message := fmt.Sprintf("no outcome within %s", after)
	if j.last != "" {
		message += "; last seen: " + j.last
	}
	return Finding{Verdict: TimedOut, Revision: j.hash, Message: message}
}

func (j Judge) trouble(s Sight) Finding {
	if s.Trouble == Away {
		return Finding{Message: s.Words}
	}
	return Finding{Verdict: Broken, Revision: j.hash, Message: s.Words}
}

// bind finds out which revision is meant. Once that is known, it stays.
func (j Judge) bind(f *rollouts.Family) Judge {
	if j.template == nil {
		j.template = j.Target.bind(f)
		if j.template != nil && j.current(f) && len(f.Rollout.Status.History) > 0 {
			j.before = f.Rollout.Status.History[0].At.Time
		}
	}
	switch {
	case j.hash != "":
	case j.Target.Revision != "":
		j.hash = j.Target.Revision
	default:
		j.hash = f.HashOf(j.template)
	}
	return j
}

// judge asks one question after the other; the first that has an answer is it. What
// has become of the revision stands before what may yet become of it.
func (j Judge) judge(f *rollouts.Family) Finding {
	for _, ask := range []func(Judge, *rollouts.Family) (Finding, bool){
		Judge.leaving, Judge.promoted, Judge.rolledBack, Judge.superseded, Judge.mistake, Judge.unknown, Judge.person,
	} {
		if finding, ok := ask(j, f); ok {
			return finding
		}
	}
	return Finding{Message: j.progress(f)}
}

// progress is the controller's own sentence, unless it is about another revision.
func (j Judge) progress(f *rollouts.Family) string {
	r := f.Rollout
	switch record := r.Status.Record; {
	case r.Status.Phase == "":
		return "no controller has looked at this Rollout yet"
	case record == nil:
		return r.Status.Message
	case j.hash == "" || (record.Canary != j.hash && record.Stable != j.hash && record.Failed != j.hash):
		return "the controller has not begun with the changed template yet: " + r.Status.Message
	}
	return r.Status.Message
}

func (j Judge) leaving(f *rollouts.Family) (Finding, bool) {
	if f.Rollout.DeletionTimestamp == nil {
		return Finding{}, false
	}
	return Finding{Verdict: Broken, Message: fmt.Sprintf("Rollout %s is being deleted: nothing is delivered by it any more", f.Rollout.Name)}, true
}

// promoted: the revision is stable, and either the controller says so of the
// Deployment's template, or that template is another one already and the revision's
// own delivery was over before.
func (j Judge) promoted(f *rollouts.Family) (Finding, bool) {
	record := f.Rollout.Status.Record
	if j.hash == "" || record == nil || record.Stable != j.hash {
		return Finding{}, false
	}
	if j.current(f) && condition(f.Rollout, v1alpha1.ConditionPromoted).Status != "True" {
		return Finding{}, false
	}
	return Finding{Verdict: Promoted, Message: fmt.Sprintf("revision %s is promoted: it serves everybody", j.hash)}, true
}

// rolledBack: the revision failed, and everything is back on stable.
func (j Judge) rolledBack(f *rollouts.Family) (Finding, bool) {
	record := f.Rollout.Status.Record
	if j.hash == "" || record == nil {
		return Finding{}, false
	}
	if record.Failed == j.hash && record.Stage == v1alpha1.StageRolledBack {
		return Finding{
			Verdict: RolledBack, Check: failedCheck(f.Rollout),
			Message: fmt.Sprintf("revision %s was rolled back to %s: %s", j.hash, record.Stable, record.Message),
		}, true
	}
	if record.Canary == j.hash || (j.template != nil && j.current(f)) {
		return Finding{}, false
	}
	return j.remembered(f)
}

// remembered is what the Rollout's history knows of a revision that is not on its way
// any more.
func (j Judge) remembered(f *rollouts.Family) (Finding, bool) {
	for _, entry := range f.Rollout.Status.History {
		switch {
		case entry.Revision != j.hash || !entry.At.After(j.before):
		case entry.Outcome == v1alpha1.OutcomePromoted:
			return Finding{Verdict: Promoted, Message: fmt.Sprintf("revision %s was promoted; another one came after it", j.hash)}, true
		default:
			return Finding{Verdict: RolledBack, Message: fmt.Sprintf("revision %s was rolled back: %s; another one came after it", j.hash, entry.Message)}, true
		}
	}
	return Finding{}, false
}

// superseded: the Deployment asks for another template than the one that is waited
// for, which was not promoted.
func (j Judge) superseded(f *rollouts.Family) (Finding, bool) {
	if j.template == nil || f.Deployment == nil || j.current(f) {
		return Finding{}, false
	}
	what := "the revision"
	if j.hash != "" {
		what = "revision " + j.hash
	}
	return Finding{Verdict: Superseded, Message: fmt.Sprintf("%s is superseded: Deployment %s asks for %s now", what, f.Deployment.GetName(), now(f))}, true
}

// now is what the Deployment asks for, in words.
func now(f *rollouts.Family) string {
	if r := f.Current(); r != nil {
		return fmt.Sprintf("revision %s (%s)", r.Hash, images(f.Deployment))
	}
	return "another template (" + images(f.Deployment) + ")"
}

// current says whether the Deployment's template is the revision's.
func (j Judge) current(f *rollouts.Family) bool {
	return j.template == nil || rollouts.SameTemplate(rollouts.Template(f.Deployment), j.template)
}

// mistake: nothing moves until somebody corrects something. Said of an older spec it
// may be corrected already.
func (j Judge) mistake(f *rollouts.Family) (Finding, bool) {
	r := f.Rollout
	stalled := condition(r, v1alpha1.ConditionStalled)
	if stalled.Status != "True" || r.Status.ObservedGeneration < r.Generation {
		return Finding{}, false
	}
	switch stalled.Reason {
	case v1alpha1.ReasonRolledBack, v1alpha1.ReasonNoVerdict:
		// Another revision's end, or something that is over by itself when numbers come.
		return Finding{}, false
	case v1alpha1.ReasonBreakGlass:
		return j.needed(stalled.Message), !j.WaitForApproval
	}
	return Finding{Verdict: Misconfigured, Message: fmt.Sprintf("stalled, %s: %s", stalled.Reason, stalled.Message)}, true
}

// unknown: the target means no revision yet.
func (j Judge) unknown(f *rollouts.Family) (Finding, bool) {
	if j.template != nil {
		return Finding{}, false
	}
	if record := f.Rollout.Status.Record; record != nil && j.hash != "" && record.Canary == j.hash {
		return Finding{}, false
	}
	return Finding{Message: j.Target.unbound(f)}, true
}

// person: the revision itself waits for somebody.
func (j Judge) person(f *rollouts.Family) (Finding, bool) {
	r := f.Rollout
	ready := condition(r, v1alpha1.ConditionReady)
	switch record := r.Status.Record; {
	case j.WaitForApproval, r.Status.Phase != v1alpha1.PhasePaused, ready.Reason != v1alpha1.ReasonPaused:
		return Finding{}, false
	case record == nil || (record.Canary != j.hash && record.Canary != ""):
		return Finding{}, false
	case rollouts.Replicas(f.Deployment) == 0:
		// An autoscaler may bring it back by itself.
		return Finding{}, false
	}
	return j.needed(r.Status.Message), true
}

func (j Judge) needed(message string) Finding {
	return Finding{Verdict: PersonNeeded, Message: "a person is needed: " + message}
}

// word is what is read of a condition.
type word struct{ Status, Reason, Message string }

func condition(r *v1alpha1.Rollout, kind string) word {
	for _, c := range r.Status.Conditions {
		if c.Type == kind {
			return word{Status: string(c.Status), Reason: c.Reason, Message: c.Message}
		}
	}
	return word{}
}
