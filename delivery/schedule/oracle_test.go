package schedule

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

var (
	cases     = flag.Int("cases", 40, "how many random schedules TestOracle runs")
	firstSeed = flag.Uint64("seed", 1, "the seed of the first one")
)

// plainWindow is a window as it would be built by hand: sets of what its cron names,
// and minutes that are looked at one by one.
type plainWindow struct {
	minutes, hours, days, months, weekdays map[int]bool // empty: every one
	lasts                                  int          // minutes
	zone                                   *time.Location
}

func (w *plainWindow) starts(wall time.Time) bool {
	in := func(set map[int]bool, n int) bool { return len(set) == 0 || set[n] }
	day, weekday := in(w.days, wall.Day()), in(w.weekdays, int(wall.Weekday()))
	matches := day && weekday
	if len(w.days) > 0 && len(w.weekdays) > 0 {
		matches = day || weekday
	}
	return matches && in(w.months, int(wall.Month())) && in(w.hours, wall.Hour()) && in(w.minutes, wall.Minute())
}

// opens lists, minute by minute of the clock on the wall, whether the window is open.
func (w *plainWindow) opens(from, to time.Time) map[time.Time]bool {
	open := map[time.Time]bool{}
	left := 0
	for wall := from.Add(-time.Duration(w.lasts) * time.Minute); !wall.After(to); wall = wall.Add(time.Minute) {
		if w.starts(wall) {
			left = w.lasts
		}
		if left > 0 {
			open[wall] = true
			left--
		}
	}
	return open
}

func wallOf(t time.Time, zone *time.Location) time.Time {
	l := t.In(zone)
	return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC)
}

// zones are ones with a change of the clock by an hour and by half an hour, at
// midnight, on either half of the globe, with offsets of halves and quarters, and one
// that once skipped a day.
var zones = []struct {
	name  string
	dates []string
}{
	{"UTC", []string{"2026-11-29"}},
	{"Europe/Berlin", []string{"2026-03-28", "2026-10-24", "2028-02-28", "2028-12-29"}},
	{"America/New_York", []string{"2026-03-07", "2026-10-31"}},
	{"America/Santiago", []string{"2026-04-04", "2026-09-05"}},
	{"Australia/Lord_Howe", []string{"2026-04-04", "2026-10-03"}},
	{"Asia/Kolkata", []string{"2026-11-29"}},
	{"Asia/Kathmandu", []string{"2026-12-30"}},
	{"Pacific/Apia", []string{"2011-12-28"}},
}

// TestOracle compares with minutes that are looked at one by one: whether each is
// open, and from some of them when the next opening is and when it ends.
func TestOracle(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+uint64(*cases); seed++ {
		if problem := oracle(rand.New(rand.NewPCG(seed, 2))); problem != "" {
			t.Errorf("%s\nrepeat: go test ./delivery/schedule -run TestOracle -cases 1 -seed %d", problem, seed)
			return
		}
	}
}

func oracle(r *rand.Rand) string {
	zone := zones[r.IntN(len(zones))]
	first, err := time.Parse("2006-01-02", zone.dates[r.IntN(len(zone.dates))])
	if err != nil {
		return err.Error()
	}
	from, to := first.Add(-12*time.Hour), first.Add(3*24*time.Hour)
	spec := &v1alpha1.Schedule{TimeZone: v1alpha1.TimeZone(zone.name)}
	var allow, deny []map[time.Time]bool
	location, err := time.LoadLocation(zone.name)
	if err != nil {
		return err.Error()
	}
	for range r.IntN(3) {
		w, plain := randomWindow(r, location)
		spec.Allow, allow = append(spec.Allow, w), append(allow, plain.opens(from.Add(-48*time.Hour), to.Add(48*time.Hour)))
	}
	for range r.IntN(3) {
		w, plain := randomWindow(r, location)
		spec.Deny, deny = append(spec.Deny, w), append(deny, plain.opens(from.Add(-48*time.Hour), to.Add(48*time.Hour)))
	}
	s, err := Read(spec)
	if err != nil {
		if strings.Contains(err.Error(), "never fires") {
			return ""
		}
		return err.Error()
	}
	var freezes []Freeze
	frozenFrom, frozenTo := to.Add(time.Hour), to.Add(2*time.Hour)
	if r.IntN(2) == 0 {
		frozenFrom = from.Add(time.Duration(r.IntN(60*100)) * time.Minute)
		frozenTo = frozenFrom.Add(time.Duration(1+r.IntN(60*30)) * time.Minute)
		a, b := metav1.NewTime(frozenFrom), metav1.NewTime(frozenTo)
		freezes = append(freezes, freezeOf("f", v1alpha1.FreezeSpec{From: &a, To: &b}))
	}
	want := map[time.Time]bool{}
	for t := from; !t.After(to); t = t.Add(time.Minute) {
		wall := wallOf(t, location)
		is := len(allow) == 0
		for _, open := range allow {
			is = is || open[wall]
		}
		for _, open := range deny {
			is = is && !open[wall]
		}
		want[t] = is && (t.Before(frozenFrom) || !t.Before(frozenTo))
	}
	var next time.Time // the first open minute at or after the one that is looked at
	for t := to; !t.Before(from); t = t.Add(-time.Minute) {
		if want[t] {
			next = t
		}
		now := t.Add(time.Duration(r.IntN(60)) * time.Second)
		where := fmt.Sprintf("at %s (%s) with %+v, frozen %s to %s", now, now.In(location), spec, frozenFrom, frozenTo)
		if is := against(s, freezes, now) == nil; is != want[t] {
			return fmt.Sprintf("%s: open is %v, want %v", where, is, want[t])
		}
		if want[t] || r.IntN(40) != 0 {
			continue
		}
		answer := Ask(s, freezes, now)
		switch {
		case answer.Open || !answer.Next.IsZero() && !answer.Next.After(now):
			return fmt.Sprintf("%s: %+v", where, answer)
		case next.IsZero() && !answer.Until.IsZero() && !answer.Until.After(to):
			return fmt.Sprintf("%s: opens %s, want later than %s", where, answer.Until, to)
		case !next.IsZero() && (!answer.Until.Equal(next) || answer.Next.After(next)):
			return fmt.Sprintf("%s: opens %s, looks again %s, want %s", where, answer.Until, answer.Next, next)
		}
	}
	return ""
}

// randomWindow is the same window twice.
func randomWindow(r *rand.Rand, zone *time.Location) (v1alpha1.Window, *plainWindow) {
	field := func(few, from, to int) (string, map[int]bool) {
		if few == 0 {
			return "*", nil
		}
		set := map[int]bool{}
		var list []string
		for range few {
			n := from + r.IntN(to-from+1)
			set[n] = true
			list = append(list, fmt.Sprint(n))
		}
		return strings.Join(list, ","), set
	}
	w := &plainWindow{lasts: []int{1, 15, 30, 45, 60, 90, 8 * 60, 24 * 60, 30 * 60}[r.IntN(9)], zone: zone}
	var text [5]string
	text[0], w.minutes = field(r.IntN(3), 0, 59)
	text[1], w.hours = field(r.IntN(3), 0, 6)
	text[2], w.days = field(r.IntN(2)*r.IntN(12), 1, 31)
	text[3], w.months = field(r.IntN(2)*11, 1, 12)
	text[4], w.weekdays = field(r.IntN(2)*4, 0, 6)
	if r.IntN(3) == 0 { // where clocks are changed
		text[0], w.minutes = "30", map[int]bool{30: true}
		text[1], w.hours = "0-3", map[int]bool{0: true, 1: true, 2: true, 3: true}
	}
	return v1alpha1.Window{Cron: v1alpha1.Cron(strings.Join(text[:], " ")), Duration: metav1.Duration{Duration: time.Duration(w.lasts) * time.Minute}}, w
}
