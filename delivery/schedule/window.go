package schedule

import (
	"time"

	"github.com/robfig/cron/v3"
)

// window is open from each start of its cron for as long as it lasts, by the clock on
// the wall. Times on the wall are written as if they were UTC: there every day has 24
// hours, so nothing is skipped and nothing comes twice until a time is translated
// back.
type window struct {
	cron  *cron.SpecSchedule
	lasts time.Duration
	zone  *time.Location
	// words are how people read it: "Mon-Fri 09:00-17:00 Europe/Berlin".
	words string
}

// wall is what the clock shows.
func (w *window) wall(t time.Time) time.Time {
	_, offset := t.In(w.zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// next is the first start after a time on the wall.
func (w *window) next(wall time.Time) (time.Time, bool) {
	n := w.cron.Next(wall)
	if n.IsZero() {
		// The library looks five years ahead. Around 2100, which has no 29th of
		// February, that is not enough.
		n = w.cron.Next(wall.AddDate(5, 0, 0))
	}
	return n, !n.IsZero()
}

// open says whether the window is open.
func (w *window) open(t time.Time) bool {
	wall := w.wall(t)
	start, ok := w.next(wall.Add(-w.lasts))
	return ok && !start.After(wall)
}

// last is the last start at or before a time on the wall at which the window is open.
// The library only looks ahead, so this halves the span in which it must be.
func (w *window) last(wall time.Time) (time.Time, bool) {
	start, ok := w.next(wall.Add(-w.lasts))
	if !ok || start.After(wall) {
		return time.Time{}, false
	}
	for none := wall; none.Sub(start) >= time.Minute; { // no start is after none
		middle := start.Add(none.Sub(start) / 2)
		if later, ok := w.next(middle); !ok || later.After(wall) {
			none = middle
		} else {
			start = later
		}
	}
	return start, true
}

// zoneChanges is how many changes of a clock are looked past for a start: three a
// year (see clockChanges), for the eight years that a start can be away.
const zoneChanges = 32

// clockChanges is when the clock is put forward or back next, or something earlier
// than that; zero when never.
func (w *window) clockChanges(t time.Time) time.Time {
	_, end := t.In(w.zone).ZoneBounds()
	if !end.IsZero() && !end.After(t) {
		// Go counts 365 days for every year: in a leap year it names the beginning of 31
		// December, and on that day goes on naming it.
		return t.Add(24 * time.Hour)
	}
	return end
}

// changes is when the window opens or closes next, zero when it never does. It may be
// told too early, where a window goes on because another start of it has come: ask
// again then.
func (w *window) changes(t time.Time) time.Time {
	is := w.open(t)
	for range zoneChanges {
		wall := w.wall(t)
		change, ok := w.next(wall)
		if is {
			if change, ok = w.last(wall); ok {
				change = change.Add(w.lasts)
			}
		}
		clockChanges := w.clockChanges(t)
		if at := t.Add(change.Sub(wall)); ok && (clockChanges.IsZero() || at.Before(clockChanges)) {
			return at
		}
		if clockChanges.IsZero() {
			break
		}
		if t = clockChanges; w.open(t) != is {
			return t
		}
	}
	return time.Time{}
}
