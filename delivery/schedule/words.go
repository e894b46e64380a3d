package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// clock writes a time as people read it: to the minute, unless it has seconds.
func clock(t time.Time) string {
	if t = t.UTC(); t.Second() != 0 {
		return t.Format("2006-01-02 15:04:05 MST")
	}
	return t.Format("2006-01-02 15:04 MST")
}

// short is clock for a column, with Z for UTC.
func short(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

// describe writes a window as people say it, where its cron is simple: "Mon-Fri
// 09:00-17:00 Europe/Berlin". Any other is shown as it was written.
func describe(fields []string, lasts time.Duration, zone string) string {
	days, ok := weekdays(fields[4])
	minute, noMinute := strconv.Atoi(fields[0])
	hour, noHour := strconv.Atoi(fields[1])
	if !ok || noMinute != nil || noHour != nil || !every(fields[2]) || !every(fields[3]) || lasts%time.Minute != 0 {
		return fmt.Sprintf("%q for %s %s", strings.Join(fields, " "), period(lasts), zone)
	}
	if lasts > 24*time.Hour {
		return fmt.Sprintf("%s %02d:%02d for %s %s", days, hour, minute, period(lasts), zone)
	}
	end := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + lasts
	if end > 24*time.Hour {
		end -= 24 * time.Hour
	}
	return fmt.Sprintf("%s %02d:%02d-%02d:%02d %s", days, hour, minute, int(end.Hours()), int(end.Minutes())%60, zone)
}

func every(field string) bool { return field == "*" || field == "?" }

// weekdays writes the field of days as names; it says whether it could.
func weekdays(field string) (string, bool) {
	if every(field) {
		return "daily", true
	}
	var list []string
	for item := range strings.SplitSeq(field, ",") {
		var names []string
		for day := range strings.SplitSeq(item, "-") {
			name, ok := weekday(day)
			if !ok {
				return "", false
			}
			names = append(names, name)
		}
		list = append(list, strings.Join(names, "-"))
	}
	return strings.Join(list, ","), true
}

func weekday(day string) (string, bool) {
	if n, err := strconv.Atoi(day); err == nil && n >= 0 && n < 7 {
		return time.Weekday(n).String()[:3], true
	}
	for d := time.Sunday; d <= time.Saturday; d++ {
		if name := d.String()[:3]; strings.EqualFold(day, name) {
			return name, true
		}
	}
	return "", false
}

// period writes a duration without zeros at its end: 8h, not 8h0m0s.
func period(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"0s", "0m"} {
		if len(s) > len(zero)+1 && strings.HasSuffix(s, zero) && !strings.ContainsAny(s[len(s)-len(zero)-1:len(s)-len(zero)], "0123456789.") {
			s = strings.TrimSuffix(s, zero)
		}
	}
	return s
}
