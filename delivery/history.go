package delivery

import (
	"slices"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// keptEntries is how many ends of deliveries the status remembers.
const keptEntries = 10

// ended puts the end of a delivery before those that are known.
func ended(before []v1alpha1.HistoryEntry, e v1alpha1.HistoryEntry) []v1alpha1.HistoryEntry {
	all := append([]v1alpha1.HistoryEntry{e}, before...)
	return all[:min(len(all), keptEntries)]
}

// promotedEntry is the end of a delivery that was promoted.
func (p *pass) promotedEntry() v1alpha1.HistoryEntry {
	e := v1alpha1.HistoryEntry{Revision: p.rec.Canary, Outcome: v1alpha1.OutcomePromoted, At: *p.microNow()}
	if w := p.rec.Promoted; w != nil {
		e.By, e.Message = w.By, w.Reason
	}
	return e
}

// wentBack is the end of a delivery that goes back to stable by itself.
func (p *pass) wentBack(reason, message string) v1alpha1.HistoryEntry {
	e := v1alpha1.HistoryEntry{Revision: p.rec.Canary, Outcome: v1alpha1.OutcomeRolledBack, Message: message, At: *p.microNow()}
	if reason == EventABTestEnded {
		e.Outcome = v1alpha1.OutcomeTestEnded
	}
	return e
}

// Actions are kept for so long, and so many of them for each Rollout.
const (
	keptFor     = 7 * 24 * time.Hour
	keptActions = 20
)

// Expired are the answered actions that go now: those that were answered long
// enough ago, and the oldest of too many. It also says when the next one goes, zero
// when none does. The actions are those of one Rollout, oldest first.
func Expired(actions []v1alpha1.RolloutAction, now time.Time) (gone []string, next time.Time) {
	kept := 0
	for _, a := range slices.Backward(actions) {
		if a.Status.Phase == "" || !a.DeletionTimestamp.IsZero() {
			continue
		}
		ends := answeredAt(&a).Add(keptFor)
		if kept == keptActions || !now.Before(ends) {
			gone = append(gone, a.Name)
			continue
		}
		kept++
		if next.IsZero() || ends.Before(next) {
			next = ends
		}
	}
	slices.Reverse(gone)
	return gone, next
}

func answeredAt(a *v1alpha1.RolloutAction) time.Time {
	if a.Status.AppliedAt != nil {
		return a.Status.AppliedAt.Time
	}
	return a.CreationTimestamp.Time
}

// expire plans that old actions go.
func (p *pass) expire() {
	gone, next := Expired(p.Asked, p.now)
	for _, name := range gone {
		p.last = append(p.last, Action{Kind: DeleteAction, Object: name, Why: "it was answered long ago, or is one of too many"})
	}
	if !next.IsZero() {
		p.past(next)
	}
}
