package review

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
	"github.com/crossfade-dev/crossfade/delivery/forecast"
)

// clock writes a time as people read it.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// writePlan writes a plan for people.
func writePlan(w io.Writer, p *planned, paint session.Paint) {
	fmt.Fprintf(w, "%s (%s), from %s UTC\n\n", paint.Strong("Rollout "+p.Namespace+"/"+p.Rollout), p.Strategy, clock(p.Start))
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "STEP\tEARLIEST\tSHARE\tCANARY PODS\tALL PODS\tLASTS\tREQUESTS TO THE CANARY\tCHECKS")
	for i := range p.Steps {
		s := &p.Steps[i]
		fmt.Fprintln(table, strings.Join([]string{
			s.Name, earliest(s), number(s.Share) + " %", strconv.Itoa(int(s.Pods)), strconv.Itoa(int(s.AllPods)), lasts(s), requests(s), dash(strings.Join(s.Checks, ",")),
		}, "\t"))
	}
	_ = table.Flush() // To w, whose errors the caller cannot mend.
	for i := range p.Steps {
		writeStep(w, &p.Steps[i])
	}
	fmt.Fprintln(w)
	writeEnd(w, p)
	writePlanChecks(w, p, paint)
	writeList(w, paint.Bad("Would be refused, or cannot work"), p.Refused)
	writeList(w, paint.Warn("Warnings"), p.Warnings)
	writeList(w, "Not known", p.Unknown)
}

func writeStep(w io.Writer, s *forecast.Step) {
	if s.Waits != "" {
		fmt.Fprintf(w, "  %s: %s\n", s.Name, s.Waits)
	}
	for _, words := range s.Traffic {
		fmt.Fprintf(w, "  %s: %s\n", s.Name, words)
	}
}

func earliest(s *forecast.Step) string {
	switch {
	case s.Earliest == nil:
		return "never"
	case s.AfterPerson:
		return "after " + clock(*s.Earliest)
	}
	return clock(*s.Earliest)
}

func lasts(s *forecast.Step) string {
	switch {
	case s.Name == "all":
		return "-"
	case s.ByPerson && s.Lasts == "0s":
		return "until somebody promotes"
	case s.ByPerson:
		return s.Lasts + ", and until somebody promotes"
	}
	return s.Lasts
}

func requests(s *forecast.Step) string {
	switch {
	case s.RequestsPerMinute != nil:
		return fmt.Sprintf("about %d a minute", *s.RequestsPerMinute)
	case s.Requests != nil:
		return fmt.Sprintf("about %d", *s.Requests)
	}
	return "-"
}

func writeEnd(w io.Writer, p *planned) {
	fmt.Fprintf(w, "Pods at peak: %d (now %d).\n", p.PodsAtPeak, p.PodsNow)
	if p.Rate != nil {
		about := int64(0)
		if p.Exposed != nil {
			about = *p.Exposed
		}
		least := "about"
		if p.ByPerson {
			least = "at least about"
		}
		fmt.Fprintf(w, "Requests now: %s a second; %s %d meet the canary before it gets all.\n", number(*p.Rate), least, about)
	}
	who := ""
	if p.ByPerson {
		who = ", if somebody promotes at once"
	}
	switch {
	case p.Returns:
		fmt.Fprintf(w, "At the end all requests go back to stable.\n")
	case p.Promoted == nil:
		fmt.Fprintf(w, "It is never promoted: the schedule does not open again.\n")
	default:
		fmt.Fprintf(w, "Promoted at %s UTC at the earliest%s; the former pods go from %s on.\n", clock(*p.Promoted), who, clock(*p.Over))
	}
}

func writePlanChecks(w io.Writer, p *planned, paint session.Paint) {
	for i := range p.Checks {
		m := &p.Checks[i]
		fmt.Fprintf(w, "\n%s every %s, first after %s", paint.Strong("Check "+m.Check), m.Interval, m.First)
		if m.Expected != "" {
			fmt.Fprintf(w, "; %s", m.Expected)
		}
		fmt.Fprintln(w)
		if m.Verdict != "" {
			fmt.Fprintf(w, "  now, of revision %s: %s (%s)\n", dash(m.Revision), m.now(), painted(m.Verdict, paint))
		} else if m.Message != "" {
			fmt.Fprintf(w, "  %s\n", m.Message)
		}
		m.writeQuery(w, paint)
	}
}

func writeList(w io.Writer, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	for _, line := range lines {
		fmt.Fprintf(w, "  - %s\n", line)
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
