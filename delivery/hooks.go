package delivery

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Question asks a hook at one moment of one delivery. Asked twice it is the same.
type Question struct {
	Hook     string
	At       v1alpha1.HookMoment
	Step     int32
	Revision string
	Attempt  int32
}

// HookAnswer is what came of a question.
type HookAnswer struct {
	Question
	// Came is when it came, or did not come in time.
	Came    time.Time
	Outcome HookOutcome
	// Message is a short sentence.
	Message string
}

// HookOutcome is what an answer means.
type HookOutcome int

// Outcomes of a question.
const (
	// HookYes: go on.
	HookYes HookOutcome = iota
	// HookLater: not yet; it is asked again.
	HookLater
	// HookNo: it failed.
	HookNo
	// HookSilent: no answer; it is asked again as often as the hook's retries say.
	HookSilent
)

// The time between an answer that says "later" and the next question: it doubles.
const (
	hookAgainFirst = time.Second
	hookAgainLast  = 30 * time.Second
)

// hooksHold is a gate: it holds until every hook of the moment has passed.
func (p *pass) hooksHold(m moment, step int32) bool {
	switch m {
	case beforeStep:
		return !p.hooksPassed(v1alpha1.BeforeStep, step)
	case beforePromotion:
		return !p.hooksPassed(v1alpha1.BeforePromotion, 0)
	case beforeStart:
	}
	return !p.hooksPassed(v1alpha1.BeforeStart, 0)
}

// duringPassed says that the hooks of the present step have passed. They are asked
// while the step is held, as checks are measured.
func (p *pass) duringPassed() bool { return p.hooksPassed(v1alpha1.DuringStep, p.rec.Step) }

// hooksPassed says that every hook of a moment has passed; the others are asked,
// each from when its entry is in the record: that is when its deadline begins, which
// a crash must not move.
func (p *pass) hooksPassed(at v1alpha1.HookMoment, step int32) bool {
	var waiting *v1alpha1.HookRecord
	others := 0
	for i := range p.Rollout.Spec.Hooks {
		h := &p.Rollout.Spec.Hooks[i]
		if h.At != at || (len(h.Steps) > 0 && !slices.Contains(h.Steps, step)) {
			continue
		}
		e := p.hookEntry(h.Name, at, step)
		switch {
		case e == nil:
			p.rec.Hooks = append(p.rec.Hooks, p.hookBegins(h, step, p.delivered()))
			p.noted = true
			e = &p.rec.Hooks[len(p.rec.Hooks)-1]
		case e.State == v1alpha1.HookPassed:
			continue
		case p.past(p.hookDeadline(e)):
			return !p.hookFails(e, fmt.Sprintf("no yes within %s; %s", p.deadline(), lastWord(e)))
		}
		p.askHook(e)
		if waiting != nil {
			others++
			continue
		}
		waiting = e
	}
	if waiting == nil {
		return true
	}
	p.waitForHook(waiting, others)
	return false
}

// delivered is the revision that is on its way; one that has no step yet is named
// by its ReplicaSet.
func (p *pass) delivered() string {
	if p.rec.Canary != "" {
		return p.rec.Canary
	}
	if canary := p.sameTemplate(); canary != nil {
		return canary.Revision
	}
	return ""
}

func (p *pass) attempt() int32 { return max(1, p.rec.Attempt) }

func (p *pass) hookBegins(h *v1alpha1.Hook, step int32, revision string) v1alpha1.HookRecord {
	return v1alpha1.HookRecord{
		Name: h.Name, At: h.At, Step: step, Revision: revision, Attempt: p.attempt(),
		State: v1alpha1.HookAsking, Since: metav1.NewMicroTime(p.now),
	}
}

// hookEntry is what the record knows of a hook at a moment of the present delivery.
func (p *pass) hookEntry(name string, at v1alpha1.HookMoment, step int32) *v1alpha1.HookRecord {
	return HookOf(p.rec, Question{Hook: name, At: at, Step: step, Revision: p.delivered(), Attempt: p.attempt()})
}

// HookOf is what a record knows of a question, nil when it asks it no more.
func HookOf(r *v1alpha1.Record, q Question) *v1alpha1.HookRecord {
	i := slices.IndexFunc(r.Hooks, func(e v1alpha1.HookRecord) bool { return QuestionOf(&e) == q })
	if i < 0 {
		return nil
	}
	return &r.Hooks[i]
}

// QuestionOf is what an entry of a record asks.
func QuestionOf(e *v1alpha1.HookRecord) Question {
	return Question{Hook: e.Name, At: e.At, Step: e.Step, Revision: e.Revision, Attempt: e.Attempt}
}

// hookSpec is the hook of an entry, nil when it is not asked for any more.
func (p *pass) hookSpec(e *v1alpha1.HookRecord) *v1alpha1.Hook {
	i := slices.IndexFunc(p.Rollout.Spec.Hooks, func(h v1alpha1.Hook) bool { return h.Name == e.Name && h.At == e.At })
	if i < 0 {
		return nil
	}
	return &p.Rollout.Spec.Hooks[i]
}

func (p *pass) hookDeadline(e *v1alpha1.HookRecord) time.Time { return e.Since.Add(p.deadline()) }

// askHook plans a question that is due: the first time at once, then after each
// answer later.
func (p *pass) askHook(e *v1alpha1.HookRecord) {
	if e.AnsweredAt != nil && !p.past(e.AnsweredAt.Add(again(e.Answers))) {
		return
	}
	if q := QuestionOf(e); !slices.Contains(p.plan.Hooks, q) { // a gate may be asked twice in a pass
		p.plan.Hooks = append(p.plan.Hooks, q)
	}
}

// again is the time from an answer, the n-th, to the next question.
func again(n int32) time.Duration {
	return min(hookAgainLast, hookAgainFirst<<min(max(n-1, 0), 10))
}

// hear takes the answers that came since the last pass into the record. One that
// belongs to another revision, attempt or step finds no entry and says nothing.
func (p *pass) hear() {
	for i := range p.HookAnswers {
		a := &p.HookAnswers[i]
		e := HookOf(p.rec, a.Question)
		if e == nil || e.State != v1alpha1.HookAsking || a.Came.Before(e.Since.Time) {
			continue
		}
		p.noted = true
		came := metav1.NewMicroTime(a.Came.UTC().Truncate(time.Microsecond))
		e.AnsweredAt, e.Message = &came, a.Message
		e.Answers++
		e.Silent = p.nowSilent(e, a)
		switch {
		case a.Outcome == HookYes:
			e.State = v1alpha1.HookPassed
		case a.Outcome == HookNo || e.Silent > p.hookRetries(e):
			e.State = v1alpha1.HookFailed
		}
	}
	p.rec.Hooks = slices.DeleteFunc(p.rec.Hooks, p.hookOver)
}

func (p *pass) nowSilent(e *v1alpha1.HookRecord, a *HookAnswer) int32 {
	if a.Outcome == HookSilent {
		return e.Silent + 1
	}
	return 0
}

const defaultHookRetries = 3

func (p *pass) hookRetries(e *v1alpha1.HookRecord) int32 {
	if h := p.hookSpec(e); h != nil && h.HTTP != nil && h.HTTP.Retries != nil {
		return *h.HTTP.Retries
	}
	return defaultHookRetries
}

// hookOver says that an entry has no use any more: its hook was taken out of the
// spec, or it was told what came of a delivery, which nothing waits for.
func (p *pass) hookOver(e v1alpha1.HookRecord) bool {
	if p.hookSpec(&e) == nil {
		p.noted = true
		return true
	}
	if !Afterwards(e.At) {
		return false
	}
	late := e.State == v1alpha1.HookAsking && p.past(p.hookDeadline(&e))
	if e.State == v1alpha1.HookAsking && !late {
		return false
	}
	p.noted = true
	switch {
	case e.State == v1alpha1.HookPassed:
		p.event(EventHookPassed, fmt.Sprintf("%s: %s", hookWhere(&e), lastWord(&e)))
	case late:
		p.warn(EventHookFailed, fmt.Sprintf("%s: no yes within %s; %s; nothing waits for it", hookWhere(&e), p.deadline(), lastWord(&e)))
	default:
		p.warn(EventHookFailed, fmt.Sprintf("%s: %s; nothing waits for it", hookWhere(&e), lastWord(&e)))
	}
	return true
}

// Afterwards says that a hook of this moment is only told, and holds nothing.
func Afterwards(at v1alpha1.HookMoment) bool {
	return at == v1alpha1.AfterPromotion || at == v1alpha1.AfterRollback
}

// hookFailed goes back when a hook of this delivery has said no.
func (p *pass) hookFailed() bool {
	for i := range p.rec.Hooks {
		e := &p.rec.Hooks[i]
		if !Afterwards(e.At) && e.State == v1alpha1.HookFailed {
			return p.hookFails(e, lastWord(e))
		}
	}
	return false
}

func (p *pass) hookFails(e *v1alpha1.HookRecord, why string) bool {
	e.State = v1alpha1.HookFailed
	p.rec.Canary = e.Revision // a delivery that has no step yet has not named it
	message := fmt.Sprintf("%s failed: %s", hookWhere(e), why)
	p.warn(EventHookFailed, message)
	return p.rollBack(EventHookFailed, message)
}

// unaskHooks forgets the questions of gates that nobody stands before any more,
// because of a pause, a verdict or a mistake. They are asked anew, with a new
// deadline, when the delivery is there again: an answer of before is about a
// situation of before.
func (p *pass) unaskHooks() {
	p.rec.Hooks = slices.DeleteFunc(p.rec.Hooks, func(e v1alpha1.HookRecord) bool {
		forget := e.State == v1alpha1.HookAsking && !Afterwards(e.At) && e.At != v1alpha1.DuringStep
		p.noted = p.noted || forget
		return forget
	})
}

// stepHooks are the entries that are left when a step begins: what is told of earlier
// deliveries, and the step's own when its weight was only raised by hand.
func stepHooks(list []v1alpha1.HookRecord, step int32) []v1alpha1.HookRecord {
	return slices.DeleteFunc(list, func(e v1alpha1.HookRecord) bool {
		return !Afterwards(e.At) && (e.At != v1alpha1.DuringStep || e.Step != step)
	})
}

// hooksAfter are the entries that outlive their delivery.
func hooksAfter(list []v1alpha1.HookRecord) []v1alpha1.HookRecord {
	var kept []v1alpha1.HookRecord
	for i := range list {
		if Afterwards(list[i].At) {
			kept = append(kept, list[i])
		}
	}
	return kept
}

// tellHooks adds to the record r what the hooks of a moment are told about a
// revision. A hook that has not answered about an earlier one yet is told the newer
// thing.
func (p *pass) tellHooks(r *v1alpha1.Record, at v1alpha1.HookMoment, revision string) {
	for i := range p.Rollout.Spec.Hooks {
		h := &p.Rollout.Spec.Hooks[i]
		if h.At != at {
			continue
		}
		r.Hooks = slices.DeleteFunc(r.Hooks, func(e v1alpha1.HookRecord) bool {
			if e.Name == h.Name && e.At == at {
				p.warn(EventHookFailed, fmt.Sprintf("%s: told nothing more of revision %s, for revision %s came after it", hookWhere(&e), e.Revision, revision))
				return true
			}
			return false
		})
		r.Hooks = append(r.Hooks, p.hookBegins(h, 0, revision))
	}
}

// tellRollback begins to tell that a failed revision is gone, before the record
// forgets which one it was.
func (p *pass) tellRollback() bool {
	told := !slices.ContainsFunc(p.Rollout.Spec.Hooks, func(h v1alpha1.Hook) bool { return h.At == v1alpha1.AfterRollback }) ||
		slices.ContainsFunc(p.rec.Hooks, func(e v1alpha1.HookRecord) bool {
			return e.At == v1alpha1.AfterRollback && e.Revision == p.rec.Canary && e.Attempt == p.attempt()
		})
	if told || p.rec.Then != v1alpha1.ThenRolledBack || p.leaving() {
		return false
	}
	return p.write(func(r *v1alpha1.Record) { p.tellHooks(r, v1alpha1.AfterRollback, r.Canary) })
}

// askAfter asks the hooks that are told what came of a delivery, whatever stage
// there is by now.
func (p *pass) askAfter() {
	if p.rec == nil || p.leaving() || p.rec.Stage == v1alpha1.StageRetreating {
		return
	}
	for i := range p.rec.Hooks {
		if e := &p.rec.Hooks[i]; Afterwards(e.At) && e.State == v1alpha1.HookAsking {
			p.askHook(e)
			p.past(p.hookDeadline(e))
		}
	}
}

// waitForHook says which hook is waited for.
func (p *pass) waitForHook(e *v1alpha1.HookRecord, others int) {
	m := fmt.Sprintf("waiting for %s: %s", hookWhere(e), lastWord(e))
	if others > 0 {
		m += fmt.Sprintf(", and for %d other hooks", others)
	}
	m += "; rolls back at " + clock(p.hookDeadline(e))
	if e.At == v1alpha1.DuringStep {
		p.asking = m
	}
	if p.rec.Step > 0 {
		m = p.where() + ": " + m
	}
	p.wait(v1alpha1.ReasonWaitingForHook, m)
}

// hookWhere names a hook and its moment.
func hookWhere(e *v1alpha1.HookRecord) string {
	if e.At == v1alpha1.BeforeStep || e.At == v1alpha1.DuringStep {
		return fmt.Sprintf("hook %s (%s %d)", e.Name, e.At, e.Step)
	}
	return fmt.Sprintf("hook %s (%s)", e.Name, e.At)
}

// lastWord is what a hook has said last.
func lastWord(e *v1alpha1.HookRecord) string {
	switch e.Answers {
	case 0:
		return "no answer yet"
	case 1:
		return e.Message
	}
	return fmt.Sprintf("%s (answer %d)", e.Message, e.Answers)
}
