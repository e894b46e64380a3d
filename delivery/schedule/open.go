package schedule

import (
	"fmt"
	"strings"
	"time"
)

// Answer says whether a delivery may go on, and if not, what it waits for.
type Answer struct {
	// Open says that it may.
	Open bool
	// Until is the first time at which everything allows it again; zero when there is
	// none in sight. Next is when what holds it now ends, which may be earlier: ask
	// again then; zero when it does not end by itself. Both are zero while open.
	Until, Next time.Time
	// Message is a clause with what is waited for and until when; Short the same in a
	// few words. Neither changes while the same thing is waited for.
	Message, Short string
}

// jumps bounds the search for the next opening. Each jump leads past a whole window
// or Freeze, so only windows of minutes that follow upon each other for days need more.
const jumps = 5000

// Ask says whether a delivery may go on now. A nil schedule allows everything.
func Ask(s *Schedule, freezes []Freeze, now time.Time) Answer {
	first := against(s, freezes, now)
	if first == nil {
		return Answer{Open: true}
	}
	a := Answer{}
	t, held := now, first
	for range jumps {
		if held.until.IsZero() {
			break // Until is not in sight; what holds now may end before.
		}
		t = held.until
		held = against(s, freezes, t)
		if a.Next.IsZero() && (held == nil || held.what != first.what) {
			a.Next = t
		}
		if held == nil {
			a.Until = t
			break
		}
	}
	if a.Next.IsZero() && !first.until.IsZero() {
		a.Next = t // the search was given up here
	}
	a.Message, a.Short = "waits for "+first.what, first.short
	switch {
	case !a.Until.IsZero():
		a.Message += "; opens " + clock(a.Until)
		a.Short += " until " + short(a.Until)
	case held != nil && held.until.IsZero():
		a.Message += "; " + held.endless
	default:
		a.Message += "; no opening is in sight: change allow or deny"
	}
	return a
}

// hold is something that holds a delivery at a time.
type hold struct {
	// what is waited for; short is that in a word or two.
	what, short string
	// until is when this hold ends, zero when it does not by itself; endless says what
	// ends it then.
	until   time.Time
	endless string
}

// against is the first thing that holds a delivery at a time: a Freeze before a
// denied window, that before the want of an allowed one.
func against(s *Schedule, freezes []Freeze, t time.Time) *hold {
	for i := range freezes {
		if f := &freezes[i]; f.Active(t) {
			return f.hold(t)
		}
	}
	if s == nil {
		return nil
	}
	for _, w := range s.deny {
		if w.open(t) {
			return &hold{
				what: "the end of the denied window " + w.words, short: "denied window", until: w.changes(t),
				endless: "that window never ends: change deny",
			}
		}
	}
	return s.unallowed(t)
}

// unallowed is there when no window of allow covers a time.
func (s *Schedule) unallowed(t time.Time) *hold {
	if len(s.allow) == 0 {
		return nil
	}
	h := &hold{short: "window", endless: "it does not open again: change allow"}
	words := make([]string, len(s.allow))
	for i, w := range s.allow {
		if w.open(t) {
			return nil
		}
		if at := w.changes(t); h.until.IsZero() || !at.IsZero() && at.Before(h.until) {
			h.until = at
		}
		words[i] = w.words
	}
	h.what = "the window " + strings.Join(words, " or ")
	return h
}

// Active says whether a Freeze holds at a time.
func (f *Freeze) Active(t time.Time) bool {
	switch {
	case f.Trouble != "":
		return true
	case f.window != nil:
		return f.window.open(t)
	}
	return !t.Before(f.from) && (f.to.IsZero() || t.Before(f.to))
}

func (f *Freeze) hold(t time.Time) *hold {
	h := &hold{short: "freeze " + f.Name}
	if f.Trouble != "" {
		h.what = fmt.Sprintf("somebody to mend Freeze %s, which holds because it cannot be understood: %s", f.Name, f.Trouble)
		h.endless = fmt.Sprintf("Freeze %s ends when it is mended or deleted", f.Name)
		return h
	}
	h.what = fmt.Sprintf("the end of Freeze %s (%s)", f.Name, f.Reason)
	h.endless = fmt.Sprintf("Freeze %s ends when it is deleted or gets an end", f.Name)
	if f.window != nil {
		h.until = f.window.changes(t)
	} else {
		h.until = f.to
	}
	return h
}

// Changes is when a Freeze begins or ends next; zero when it does not by itself.
func (f *Freeze) Changes(now time.Time) time.Time {
	is := f.Active(now)
	switch {
	case f.Trouble != "":
		return time.Time{}
	case f.window == nil && is:
		return f.to
	case f.window == nil:
		if now.Before(f.from) {
			return f.from
		}
		return time.Time{}
	}
	t := now
	for range jumps {
		if t = f.window.changes(t); t.IsZero() || f.window.open(t) != is {
			return t
		}
	}
	return time.Time{}
}
