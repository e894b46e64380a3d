package schedule

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

func windows(zone string, of ...string) []v1alpha1.Window {
	var list []v1alpha1.Window
	for _, w := range of {
		i := strings.LastIndex(w, " ")
		d, err := time.ParseDuration(w[i+1:])
		if err != nil {
			panic(err)
		}
		list = append(list, v1alpha1.Window{Cron: v1alpha1.Cron(w[:i]), Duration: metav1.Duration{Duration: d}, TimeZone: v1alpha1.TimeZone(zone)})
	}
	return list
}

func utc(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		panic(err)
	}
	return t
}

// span writes the openings of a schedule from one time to another, as they follow
// from asking and asking again.
func spans(s *Schedule, freezes []Freeze, from, to time.Time) []string {
	var list []string
	open := time.Time{}
	for t := from; !t.After(to); t = t.Add(time.Minute) {
		is := Ask(s, freezes, t).Open
		switch {
		case is && open.IsZero():
			open = t
		case !is && !open.IsZero():
			list = append(list, open.Format("Mon 01-02 15:04")+" to "+t.Format("Mon 01-02 15:04"))
			open = time.Time{}
		}
	}
	if !open.IsZero() {
		list = append(list, open.Format("Mon 01-02 15:04")+" to the end")
	}
	return list
}

// TestOpenings lists when windows are open, in UTC.
func TestOpenings(t *testing.T) {
	for name, tc := range map[string]struct {
		reason      string
		zone        string
		allow, deny []string
		from, to    string
		want        []string
	}{
		"office hours": {
			"the end is not open any more", "UTC",
			[]string{"0 9 * * MON-FRI 8h"},
			nil, "2026-11-27 00:00", "2026-12-01 00:00",
			[]string{"Fri 11-27 09:00 to Fri 11-27 17:00", "Mon 11-30 09:00 to Mon 11-30 17:00"},
		},
		"over midnight": {
			"also into a day on which it does not begin", "UTC",
			[]string{"0 22 * * FRI 8h"},
			nil, "2026-11-27 00:00", "2026-11-29 00:00",
			[]string{"Fri 11-27 22:00 to Sat 11-28 06:00"},
		},
		"over new year": {
			"", "UTC",
			[]string{"0 23 31 12 * 2h"},
			nil, "2026-12-31 00:00", "2027-01-02 00:00",
			[]string{"Thu 12-31 23:00 to Fri 01-01 01:00"},
		},
		"overlap": {
			"one opening out of two", "UTC",
			[]string{"0 8 * * * 4h", "0 10 * * * 4h"},
			nil, "2026-11-27 00:00", "2026-11-28 00:00",
			[]string{"Fri 11-27 08:00 to Fri 11-27 14:00"},
		},
		"touching": {
			"no minute is lost between them", "UTC",
			[]string{"0 8 * * * 2h", "0 10 * * * 2h"},
			nil, "2026-11-27 00:00", "2026-11-28 00:00",
			[]string{"Fri 11-27 08:00 to Fri 11-27 12:00"},
		},
		"longer than its period": {
			"it never closes", "UTC",
			[]string{"0 */6 * * * 7h"},
			nil, "2026-11-27 00:00", "2026-11-28 00:00",
			[]string{"Fri 11-27 00:00 to the end"},
		},
		"deny beats allow": {
			"", "UTC",
			[]string{"0 8 * * * 8h"},
			[]string{"0 12 * * * 1h"},
			"2026-11-27 00:00", "2026-11-28 00:00",
			[]string{"Fri 11-27 08:00 to Fri 11-27 12:00", "Fri 11-27 13:00 to Fri 11-27 16:00"},
		},
		"deny only": {
			"all else is allowed", "UTC", nil,
			[]string{"0 12 * * * 1h"},
			"2026-11-27 00:00", "2026-11-27 23:00",
			[]string{"Fri 11-27 00:00 to Fri 11-27 12:00", "Fri 11-27 13:00 to the end"},
		},
		"half an hour": {
			"India is five and a half hours ahead", "Asia/Kolkata",
			[]string{"0 9 * * * 1h"},
			nil, "2026-11-27 00:00", "2026-11-28 00:00",
			[]string{"Fri 11-27 03:30 to Fri 11-27 04:30"},
		},
		"another day": {
			"Monday in Auckland is Sunday here", "Pacific/Auckland",
			[]string{"0 9 * * MON 2h"},
			nil, "2026-11-28 00:00", "2026-11-30 12:00",
			[]string{"Sun 11-29 20:00 to Sun 11-29 22:00"},
		},
		"leap day": {
			"", "UTC",
			[]string{"0 9 29 2 * 1h"},
			nil, "2028-02-28 00:00", "2028-03-02 00:00",
			[]string{"Tue 02-29 09:00 to Tue 02-29 10:00"},
		},
		"last day of the month": {
			"there are 31 in four of seven months only", "UTC",
			[]string{"0 9 31 * * 1h"},
			nil, "2026-11-27 00:00", "2027-01-01 00:00",
			[]string{"Thu 12-31 09:00 to Thu 12-31 10:00"},
		},
		"day of month or of week": {
			"cron's own rule: either of the two", "UTC",
			[]string{"0 9 1 * FRI 1h"},
			nil, "2026-11-27 00:00", "2026-12-02 00:00",
			[]string{"Fri 11-27 09:00 to Fri 11-27 10:00", "Tue 12-01 09:00 to Tue 12-01 10:00"},
		},
		"spring, office hours": {
			"09:00 is an hour earlier here from the 29th on", "Europe/Berlin",
			[]string{"0 9 * * * 1h"},
			nil, "2026-03-28 00:00", "2026-03-30 00:00",
			[]string{"Sat 03-28 08:00 to Sat 03-28 09:00", "Sun 03-29 07:00 to Sun 03-29 08:00"},
		},
		"spring, through the night": {
			"22:00 to 06:00 are seven hours", "Europe/Berlin",
			[]string{"0 22 * * SAT 8h"},
			nil, "2026-03-28 00:00", "2026-03-30 00:00",
			[]string{"Sat 03-28 21:00 to Sun 03-29 04:00"},
		},
		"spring, begins in the hour that is skipped": {
			"02:30 to 03:30: what the clock shows of it begins at 03:00", "Europe/Berlin",
			[]string{"30 2 * * * 1h"},
			nil, "2026-03-28 12:00", "2026-03-29 12:00",
			[]string{"Sun 03-29 01:00 to Sun 03-29 01:30"},
		},
		"spring, skipped whole": {
			"no clock shows 02:30 to 02:45", "Europe/Berlin", []string{"30 2 * * * 15m"}, nil, "2026-03-28 12:00", "2026-03-29 12:00", nil,
		},
		"spring, ends in the hour that is skipped": {
			"it ends when the clock is past 02:30", "Europe/Berlin",
			[]string{"30 1 * * * 1h"},
			nil, "2026-03-28 12:00", "2026-03-29 12:00",
			[]string{"Sun 03-29 00:30 to Sun 03-29 01:00"},
		},
		"autumn, through the night": {
			"22:00 to 06:00 are nine hours", "Europe/Berlin",
			[]string{"0 22 * * SAT 8h"},
			nil, "2026-10-24 00:00", "2026-10-26 00:00",
			[]string{"Sat 10-24 20:00 to Sun 10-25 05:00"},
		},
		"autumn, shown twice": {
			"02:15 to 02:30 come twice", "Europe/Berlin",
			[]string{"15 2 * * * 15m"},
			nil, "2026-10-24 12:00", "2026-10-25 12:00",
			[]string{"Sun 10-25 00:15 to Sun 10-25 00:30", "Sun 10-25 01:15 to Sun 10-25 01:30"},
		},
		"autumn, the whole hour": {
			"both 02:00 to 03:00, in one", "Europe/Berlin",
			[]string{"0 2 * * * 1h"},
			nil, "2026-10-24 12:00", "2026-10-25 12:00",
			[]string{"Sun 10-25 00:00 to Sun 10-25 02:00"},
		},
		"autumn, ends in the hour that comes twice": {
			"01:00 to 02:30: the clock shows 02:00 to 02:30 once more", "Europe/Berlin",
			[]string{"0 1 * * * 90m"},
			nil, "2026-10-24 12:00", "2026-10-25 12:00",
			[]string{"Sat 10-24 23:00 to Sun 10-25 00:30", "Sun 10-25 01:00 to Sun 10-25 01:30"},
		},
		"half an hour of daylight saving": {
			"Lord Howe puts its clock back by 30 minutes", "Australia/Lord_Howe",
			[]string{"0 1 * * * 2h"},
			nil, "2026-04-04 00:00", "2026-04-05 00:00",
			[]string{"Sat 04-04 14:00 to Sat 04-04 16:30"},
		},
		"midnight that does not exist": {
			"in Santiago the clock goes from 24:00 to 01:00", "America/Santiago",
			[]string{"0 0 * * * 2h"},
			nil, "2026-09-05 12:00", "2026-09-06 12:00",
			[]string{"Sun 09-06 04:00 to Sun 09-06 05:00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Read(&v1alpha1.Schedule{Allow: windows(tc.zone, tc.allow...), Deny: windows(tc.zone, tc.deny...)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, spans(s, nil, utc(tc.from), utc(tc.to))); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func timeAt(s string) *metav1.Time {
	if s == "" {
		return nil
	}
	t := metav1.NewTime(utc(s))
	return &t
}

func freezeOf(name string, spec v1alpha1.FreezeSpec) Freeze {
	spec.Reason = "end of year"
	return ReadFreeze(&v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec})
}

// TestAnswers is what is said while nothing may go on.
func TestAnswers(t *testing.T) {
	office := []string{"0 9 * * MON-FRI 8h"}
	for name, tc := range map[string]struct {
		reason      string
		zone        string
		allow, deny []string
		freezes     []Freeze
		now         string
		want        Answer
	}{
		"open": {"in a window", "Europe/Berlin", office, nil, nil, "2026-11-30 08:00", Answer{Open: true}},
		"closed": {
			"until the next opening, in UTC", "Europe/Berlin", office, nil, nil, "2026-11-28 12:00",
			Answer{
				Until: utc("2026-11-30 08:00"), Next: utc("2026-11-30 08:00"), Short: "window until 2026-11-30 08:00Z",
				Message: "waits for the window Mon-Fri 09:00-17:00 Europe/Berlin; opens 2026-11-30 08:00 UTC",
			},
		},
		"two windows": {
			"the earlier one counts", "UTC",
			[]string{"0 9 * * 1 1h", "30 22 * * 0,6 10h"},
			nil, nil, "2026-11-27 12:00",
			Answer{
				Until: utc("2026-11-28 22:30"), Next: utc("2026-11-28 22:30"), Short: "window until 2026-11-28 22:30Z",
				Message: "waits for the window Mon 09:00-10:00 UTC or Sun,Sat 22:30-08:30 UTC; opens 2026-11-28 22:30 UTC",
			},
		},
		"denied": {
			"what holds ends before everything allows: look again then", "UTC",
			[]string{"0 9 * * * 2h"},
			[]string{"0 10 * * * 3h"},
			nil, "2026-11-27 10:30",
			Answer{
				Until: utc("2026-11-28 09:00"), Next: utc("2026-11-27 13:00"), Short: "denied window until 2026-11-28 09:00Z",
				Message: "waits for the end of the denied window daily 10:00-13:00 UTC; opens 2026-11-28 09:00 UTC",
			},
		},
		"frozen": {
			"a Freeze goes first; it ends on a Saturday", "UTC", office, nil,
			[]Freeze{freezeOf("year-end", v1alpha1.FreezeSpec{From: timeAt("2026-12-20 00:00"), To: timeAt("2027-01-02 00:00")})},
			"2026-12-21 10:00",
			Answer{
				Until: utc("2027-01-04 09:00"), Next: utc("2027-01-02 00:00"), Short: "freeze year-end until 2027-01-04 09:00Z",
				Message: "waits for the end of Freeze year-end (end of year); opens 2027-01-04 09:00 UTC",
			},
		},
		"frozen without a schedule": {
			"", "", nil, nil,
			[]Freeze{freezeOf("night", v1alpha1.FreezeSpec{Cron: "0 22 * * *", Duration: &metav1.Duration{Duration: 8 * time.Hour}, TimeZone: "Europe/Berlin"})},
			"2026-12-21 22:00",
			Answer{
				Until: utc("2026-12-22 05:00"), Next: utc("2026-12-22 05:00"), Short: "freeze night until 2026-12-22 05:00Z",
				Message: "waits for the end of Freeze night (end of year); opens 2026-12-22 05:00 UTC",
			},
		},
		"frozen without end": {
			"nothing but somebody ends it", "", nil, nil,
			[]Freeze{freezeOf("incident", v1alpha1.FreezeSpec{From: timeAt("2026-12-20 00:00")})},
			"2026-12-21 10:00",
			Answer{Short: "freeze incident", Message: "waits for the end of Freeze incident (end of year); Freeze incident ends when it is deleted or gets an end"},
		},
		"frozen from now to": {
			"without from it begins at once", "", nil, nil,
			[]Freeze{freezeOf("incident", v1alpha1.FreezeSpec{To: timeAt("2026-12-22 00:00")})},
			"2026-12-21 10:00",
			Answer{
				Until: utc("2026-12-22 00:00"), Next: utc("2026-12-22 00:00"), Short: "freeze incident until 2026-12-22 00:00Z",
				Message: "waits for the end of Freeze incident (end of year); opens 2026-12-22 00:00 UTC",
			},
		},
		"not frozen yet":      {"the first instant is in it, the one before is not", "", nil, nil, []Freeze{freezeOf("x", v1alpha1.FreezeSpec{From: timeAt("2026-12-22 00:00")})}, "2026-12-21 23:59", Answer{Open: true}},
		"not frozen any more": {"the end is not in it", "", nil, nil, []Freeze{freezeOf("x", v1alpha1.FreezeSpec{To: timeAt("2026-12-22 00:00")})}, "2026-12-22 00:00", Answer{Open: true}},
		"two Freezes, one behind the other": {
			"opens after the second", "", nil, nil,
			[]Freeze{
				freezeOf("a", v1alpha1.FreezeSpec{To: timeAt("2026-12-22 00:00")}),
				freezeOf("b", v1alpha1.FreezeSpec{From: timeAt("2026-12-21 00:00"), To: timeAt("2026-12-24 00:00")}),
			},
			"2026-12-21 10:00",
			Answer{
				Until: utc("2026-12-24 00:00"), Next: utc("2026-12-22 00:00"), Short: "freeze a until 2026-12-24 00:00Z",
				Message: "waits for the end of Freeze a (end of year); opens 2026-12-24 00:00 UTC",
			},
		},
		"a Freeze nobody understands": {
			"it holds, and says so", "", nil, nil,
			[]Freeze{freezeOf("odd", v1alpha1.FreezeSpec{Cron: "0 0 * * *", Duration: &metav1.Duration{Duration: time.Hour}, TimeZone: "Mars/Olympus"})},
			"2026-12-21 10:00",
			Answer{
				Short:   "freeze odd",
				Message: `waits for somebody to mend Freeze odd, which holds because it cannot be understood: timeZone "Mars/Olympus" is unknown: use an IANA name such as Europe/Berlin; Freeze odd ends when it is mended or deleted`,
			},
		},
		"a window, then a Freeze without end": {
			"what holds in the end is named", "UTC", office, nil,
			[]Freeze{freezeOf("later", v1alpha1.FreezeSpec{From: timeAt("2026-11-28 00:00")})},
			"2026-11-27 20:00",
			Answer{
				Next: utc("2026-11-30 09:00"), Short: "window",
				Message: "waits for the window Mon-Fri 09:00-17:00 UTC; Freeze later ends when it is deleted or gets an end",
			},
		},
		"leap day": {
			"two years away", "UTC",
			[]string{"0 9 29 2 * 1h"},
			nil, nil, "2026-11-27 00:00",
			Answer{
				Until: utc("2028-02-29 09:00"), Next: utc("2028-02-29 09:00"), Short: "window until 2028-02-29 09:00Z",
				Message: `waits for the window "0 9 29 2 *" for 1h UTC; opens 2028-02-29 09:00 UTC`,
			},
		},
		"leap day across 2100": {
			"which has none: eight years away, and sixteen changes of the clock", "Europe/Berlin",
			[]string{"0 9 29 2 * 1h"},
			nil, nil, "2096-03-01 00:00",
			Answer{
				Until: utc("2104-02-29 08:00"), Next: utc("2104-02-29 08:00"), Short: "window until 2104-02-29 08:00Z",
				Message: `waits for the window "0 9 29 2 *" for 1h Europe/Berlin; opens 2104-02-29 08:00 UTC`,
			},
		},
		"last day of a leap year": {
			"on which Go names no change of the clock that is still to come", "Europe/Berlin",
			[]string{"0 12 * * * 1h"},
			nil, nil, "2028-12-31 12:00",
			Answer{
				Until: utc("2029-01-01 11:00"), Next: utc("2029-01-01 11:00"), Short: "window until 2029-01-01 11:00Z",
				Message: "waits for the window daily 12:00-13:00 Europe/Berlin; opens 2029-01-01 11:00 UTC",
			},
		},
		"denied for ever": {
			"a window that follows upon itself: somebody has to change that", "UTC", nil,
			[]string{"0 0 * * * 24h"},
			nil, "2026-11-27 10:00",
			Answer{
				Next: utc("2040-08-05 00:00"), Short: "denied window",
				Message: "waits for the end of the denied window daily 00:00-24:00 UTC; no opening is in sight: change allow or deny",
			},
		},
		"the skipped hour": {
			"until the clock shows 03:00", "Europe/Berlin",
			[]string{"30 2 * * * 1h"},
			nil, nil, "2026-03-28 20:00",
			Answer{
				Until: utc("2026-03-29 01:00"), Next: utc("2026-03-29 01:00"), Short: "window until 2026-03-29 01:00Z",
				Message: "waits for the window daily 02:30-03:30 Europe/Berlin; opens 2026-03-29 01:00 UTC",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s *Schedule
			if len(tc.allow)+len(tc.deny) > 0 {
				var err error
				if s, err = Read(&v1alpha1.Schedule{Allow: windows(tc.zone, tc.allow...), Deny: windows(tc.zone, tc.deny...)}); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tc.want, Ask(s, tc.freezes, utc(tc.now))); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct{ reason, cron, zone, want string }{
		"30 February":      {"no such day", "0 9 30 2 *", "UTC", `schedule.allow[0]: cron "0 9 30 2 *" never fires: there is no such day`},
		"31 of short":      {"no such day", "0 9 31 2,4,6,9,11 *", "UTC", "never fires"},
		"nothing":          {"a field without a value", "0 , * * *", "UTC", "never fires"},
		"four fields":      {"five", "0 9 * *", "UTC", "must have five fields"},
		"six fields":       {"no seconds", "0 0 9 * * *", "UTC", "must have five fields"},
		"descriptor":       {"no @daily", "@daily", "UTC", "must have five fields"},
		"zone in the cron": {"it has a field of its own", "TZ=UTC 0 9 * *", "UTC", "must have five fields"},
		"half a zone":      {"the parser panics on it", "TZ=UTC", "UTC", "must have five fields"},
		"hour 24":          {"", "0 24 * * *", "UTC", "end of range (24) above maximum (23)"},
		"day 0":            {"", "0 9 0 * *", "UTC", "below minimum"},
		"backwards":        {"", "0 9 * * FRI-MON", "UTC", "beyond end of range"},
		"word":             {"", "0 noon * * *", "UTC", "failed to parse int from noon"},
		"unknown zone":     {"", "0 9 * * *", "Europe/Berlim", `timeZone "Europe/Berlim" is unknown`},
		"Local":            {"whose?", "0 9 * * *", "Local", `timeZone "Local" is unknown`},
		"path":             {"", "0 9 * * *", "../../etc/passwd", "is unknown"},
		"leap day":         {"it comes", "0 9 29 2 *", "UTC", ""},
		"empty is UTC":     {"the default", "0 9 * * *", "", ""},
		"question mark":    {"as good as a star", "0 9 ? * MON", "UTC", ""},
		"names and ranges": {"", "*/15 8-17/3 1,15 jan-MAR mon,Wed-fri", "Asia/Kathmandu", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(&v1alpha1.Schedule{Allow: []v1alpha1.Window{{Cron: v1alpha1.Cron(tc.cron), Duration: metav1.Duration{Duration: time.Hour}, TimeZone: v1alpha1.TimeZone(tc.zone)}}})
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%s: refused: %v", tc.reason, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%s: want %q, got %v", tc.reason, tc.want, err)
			}
		})
	}
}

func TestWords(t *testing.T) {
	for want, tc := range map[string]struct {
		cron  string
		lasts time.Duration
	}{
		"Mon-Fri 09:00-17:00 UTC":       {"0 9 * * MON-FRI", 8 * time.Hour},
		"Mon-Wed,Fri 22:30-06:00 UTC":   {"30 22 * * 1-3,5", 450 * time.Minute},
		"daily 00:00-24:00 UTC":         {"0 0 * * *", 24 * time.Hour},
		"daily 12:00-12:00 UTC":         {"0 12 * * ?", 24 * time.Hour},
		"Fri 18:00 for 62h UTC":         {"0 18 * * fri", 62 * time.Hour},
		`"0 9 1 * *" for 8h UTC`:        {"0 9 1 * *", 8 * time.Hour},
		`"*/10 * * * *" for 5m UTC`:     {"*/10 * * * *", 5 * time.Minute},
		`"0 9 * * *" for 10h0m10s UTC`:  {"0 9 * * *", 10*time.Hour + 10*time.Second},
		`"0 9 * * MON/2" for 1h30m UTC`: {"0 9 * * MON/2", 90 * time.Minute},
		`"0 9 1 1 *" for 100h UTC`:      {"0 9 1 1 *", 100 * time.Hour},
	} {
		if got := describe(strings.Fields(tc.cron), tc.lasts, "UTC"); got != want {
			t.Errorf("%s for %s: want %s, got %s", tc.cron, tc.lasts, want, got)
		}
	}
}

func TestFreezeChanges(t *testing.T) {
	hour := &metav1.Duration{Duration: time.Hour}
	for name, tc := range map[string]struct {
		reason, now string
		spec        v1alpha1.FreezeSpec
		active      bool
		want        string
	}{
		"before":        {"it begins", "2026-12-01 00:00", v1alpha1.FreezeSpec{From: timeAt("2026-12-02 00:00"), To: timeAt("2026-12-03 00:00")}, false, "2026-12-02 00:00"},
		"within":        {"it ends", "2026-12-02 00:00", v1alpha1.FreezeSpec{From: timeAt("2026-12-02 00:00"), To: timeAt("2026-12-03 00:00")}, true, "2026-12-03 00:00"},
		"after":         {"nothing comes", "2026-12-03 00:00", v1alpha1.FreezeSpec{From: timeAt("2026-12-02 00:00"), To: timeAt("2026-12-03 00:00")}, false, ""},
		"without end":   {"nothing comes by itself", "2026-12-03 00:00", v1alpha1.FreezeSpec{From: timeAt("2026-12-02 00:00")}, true, ""},
		"by cron":       {"it begins", "2026-12-03 12:00", v1alpha1.FreezeSpec{Cron: "0 22 * * *", Duration: hour}, false, "2026-12-03 22:00"},
		"by cron, now":  {"it ends", "2026-12-03 22:10", v1alpha1.FreezeSpec{Cron: "0 22 * * *", Duration: hour}, true, "2026-12-03 23:00"},
		"runs on":       {"the next one has begun before this one ends", "2026-12-03 22:10", v1alpha1.FreezeSpec{Cron: "0,30 22 * * *", Duration: hour}, true, "2026-12-03 23:30"},
		"runs for ever": {"no end is found", "2026-12-03 22:10", v1alpha1.FreezeSpec{Cron: "* * * * *", Duration: hour}, true, ""},
		"in trouble":    {"until it is mended", "2026-12-03 22:10", v1alpha1.FreezeSpec{Cron: "0 0 31 2 *", Duration: hour}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := freezeOf("x", tc.spec)
			got := ""
			if at := f.Changes(utc(tc.now)); !at.IsZero() {
				got = at.UTC().Format("2006-01-02 15:04")
			}
			if got != tc.want || f.Active(utc(tc.now)) != tc.active {
				t.Errorf("%s: want active %v until %q, got %v until %q", tc.reason, tc.active, tc.want, f.Active(utc(tc.now)), got)
			}
		})
	}
}
