package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Holds says which moments of a delivery wait.
type Holds struct{ Start, Step, Promote bool }

// Schedule is a Rollout's spec.schedule, understood.
type Schedule struct {
	Holds       Holds
	allow, deny []*window
}

// Freeze is a Freeze, understood as far as it can be.
type Freeze struct {
	// Name and Reason are the object's.
	Name, Reason string
	Holds        Holds
	// Trouble is why it cannot be understood; empty when it can. What nobody
	// understands holds: somebody wanted a freeze, and to let a delivery pass would
	// be the mistake that cannot be taken back.
	Trouble string
	// from and to bound it, zero for no bound; window is there instead when it comes
	// by cron.
	from, to time.Time
	window   *window
}

// Read understands a schedule. The error is a sentence for its author.
func Read(s *v1alpha1.Schedule) (*Schedule, error) {
	out := &Schedule{Holds: readHolds(s.Holds)}
	for _, list := range []struct {
		name string
		from []v1alpha1.Window
		to   *[]*window
	}{{"allow", s.Allow, &out.allow}, {"deny", s.Deny, &out.deny}} {
		for i := range list.from {
			w := &list.from[i]
			zone := w.TimeZone
			if zone == "" {
				zone = s.TimeZone
			}
			read, err := readWindow(w.Cron, w.Duration.Duration, zone)
			if err != nil {
				return nil, fmt.Errorf("schedule.%s[%d]: %w", list.name, i, err)
			}
			*list.to = append(*list.to, read)
		}
	}
	return out, nil
}

// ReadFreeze understands a Freeze, or says in Trouble why not.
func ReadFreeze(f *v1alpha1.Freeze) Freeze {
	out := Freeze{Name: f.Name, Reason: f.Spec.Reason, Holds: readHolds(f.Spec.Holds)}
	if f.Spec.Cron != "" {
		var lasts time.Duration
		if f.Spec.Duration != nil {
			lasts = f.Spec.Duration.Duration
		}
		var err error
		if out.window, err = readWindow(f.Spec.Cron, lasts, f.Spec.TimeZone); err != nil {
			out.Trouble = err.Error()
		}
		return out
	}
	if f.Spec.From != nil {
		out.from = f.Spec.From.Time
	}
	if f.Spec.To != nil {
		out.to = f.Spec.To.Time
	}
	return out
}

func readHolds(h *v1alpha1.Holds) Holds {
	is := func(b *bool) bool { return b == nil || *b }
	if h == nil {
		return Holds{Start: true, Step: true, Promote: true}
	}
	return Holds{Start: is(h.Start), Step: is(h.Step), Promote: is(h.Promote)}
}

// sometime is a year with a 29th of February; whatever comes at all comes within
// eight years of it.
var sometime = time.Date(1999, time.December, 31, 23, 59, 59, 0, time.UTC)

func readWindow(expression v1alpha1.Cron, lasts time.Duration, zone v1alpha1.TimeZone) (*window, error) {
	text := string(expression)
	// The parser would read a time zone off the front, and panics on half of one.
	if len(strings.Fields(text)) != 5 || strings.Contains(text, "=") {
		return nil, fmt.Errorf("cron %q must have five fields: minute, hour, day of month, month, day of week", text)
	}
	if lasts <= 0 {
		return nil, fmt.Errorf("cron %q needs a duration longer than 0s", text)
	}
	if zone == "" {
		zone = "UTC"
	}
	location, err := time.LoadLocation(string(zone))
	if err != nil || zone == "Local" {
		return nil, fmt.Errorf("timeZone %q is unknown: use an IANA name such as Europe/Berlin", zone)
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("cron %q cannot be read: %w", text, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("cron %q cannot be read", text)
	}
	spec.Location = time.UTC // which stands for the clock on the wall, see window
	w := &window{cron: spec, lasts: lasts, zone: location, words: describe(strings.Fields(text), lasts, string(zone))}
	if !w.fires() {
		return nil, fmt.Errorf("cron %q never fires: there is no such day", text)
	}
	return w, nil
}

// fires says whether the cron names any time at all. A field such as "," names none,
// which the search would only find out minute by minute.
func (w *window) fires() bool {
	const star = 1 << 63
	for _, field := range []uint64{w.cron.Minute, w.cron.Hour, w.cron.Dom, w.cron.Month, w.cron.Dow} {
		if field&^star == 0 {
			return false
		}
	}
	_, ok := w.next(sometime)
	return ok
}
