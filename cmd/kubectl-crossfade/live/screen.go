package live

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/tree"
)

// view is all that a screen shows.
type view struct {
	family *rollouts.Family
	// trouble is why the last look showed nothing; the family is of the one before.
	trouble string
	now     time.Time
	// changes are what happened while we looked, the newest last.
	changes []change

	width, height int
	paint         session.Paint
}

type change struct {
	at   time.Time
	text string
}

// bar is the width of a progress bar.
const bar = 20

// screen is what a terminal shows: as many lines as fit, none longer than it is wide.
func screen(v view) []string {
	lines := v.head()
	if v.family != nil {
		lines = append(lines, "")
		lines = append(lines, v.bars()...)
		if checks := v.checks(); len(checks) > 0 {
			lines = append(lines, "")
			lines = append(lines, checks...)
		}
	}
	room := v.height - len(lines) - 1
	if room > 0 && len(v.changes) > 0 {
		lines = append(lines, "")
		for _, c := range v.changes[max(0, len(v.changes)-room):] {
			lines = append(lines, v.cut(v.paint.Faint(c.at.Format(time.TimeOnly)), "  "+c.text))
		}
	}
	return lines[:min(len(lines), v.height)]
}

func (v view) head() []string {
	clock := v.now.UTC().Format("15:04:05Z")
	if v.family == nil {
		return []string{v.cut("", clock+"  "+orWaiting(v.trouble))}
	}
	r := v.family.Rollout
	title := v.paint.Strong("Rollout "+r.Namespace+"/"+r.Name) + "  " + tree.PaintPhase(v.paint, r.Status.Phase, rollouts.PhaseWord(r))
	if visible(title) > v.width {
		title = v.cut("", r.Namespace+"/"+r.Name+" "+rollouts.PhaseWord(r))
	}
	if visible(title)+len(clock)+2 <= v.width {
		title += "  " + v.paint.Faint(clock)
	}
	lines := []string{title}
	lines = append(lines, v.wrap(r.Status.Message)...)
	if v.trouble != "" {
		lines = append(lines, v.cut(v.paint.Bad("what follows may be old"), "  "+v.trouble))
	}
	return lines
}

func orWaiting(trouble string) string {
	if trouble == "" {
		return "looking ..."
	}
	return trouble
}

// bars are how far the rollout is in each respect.
func (v view) bars() []string {
	r := v.family.Rollout
	var lines []string
	add := func(name string, part, whole float64, text string) {
		lines = append(lines, v.cut(fmt.Sprintf("%-8s ", name)+gauge(part, whole), "  "+text))
	}
	if s := r.Status.Step; s != nil {
		add("step", float64(s.Index), float64(s.Count), r.Status.StepSummary)
	}
	if w := r.Status.Weight; w != nil {
		add("weight", float64(w.Effective), float64(rollouts.Total(r)), fmt.Sprintf("%d/%d, desired %d, acked %d", w.Effective, rollouts.Total(r), w.Desired, w.Acked))
	}
	if hold, acked := rollouts.Hold(r), ackedAt(r); hold > 0 && !acked.IsZero() {
		held := min(v.now.Sub(acked), hold)
		add("hold", held.Seconds(), hold.Seconds(), fmt.Sprintf("until %s, %s left", acked.Add(hold).UTC().Format("15:04:05Z"), duration.HumanDuration(hold-held)))
	}
	if x := r.Status.Proxies; x != nil {
		text := fmt.Sprintf("%d/%d acked", x.Acked, x.Expected)
		if x.Rejected > 0 {
			text += fmt.Sprintf(", %d rejected", x.Rejected)
		}
		add("proxies", float64(x.Acked), float64(x.Expected), text)
	}
	for _, side := range []struct {
		name string
		r    *v1alpha1.RevisionStatus
	}{{"stable", r.Status.Stable}, {"canary", r.Status.Canary}} {
		if side.r == nil {
			continue
		}
		text := fmt.Sprintf("%d/%d ready  %s", side.r.Ready, side.r.Replicas, side.r.Revision)
		if revision := v.family.Revision(side.r.Revision); revision != nil {
			text += "  " + strings.Join(revision.Images, ", ")
		}
		add(side.name, float64(side.r.Ready), float64(side.r.Replicas), text)
	}
	return lines
}

func ackedAt(r *v1alpha1.Rollout) time.Time {
	if r.Status.Record == nil || r.Status.Record.AckedAt == nil {
		return time.Time{}
	}
	return r.Status.Record.AckedAt.Time
}

// gauge is a progress bar. What has begun shows, and what is not done is not full.
func gauge(part, whole float64) string {
	full := 0
	switch {
	case whole <= 0 || part <= 0:
	case part >= whole:
		full = bar
	default:
		full = min(max(int(part/whole*bar), 1), bar-1)
	}
	return strings.Repeat("█", full) + strings.Repeat("░", bar-full)
}

func (v view) checks() []string {
	r := v.family.Rollout
	width := 0
	for _, c := range r.Status.Checks {
		width = max(width, utf8.RuneCountInString(c.Name))
	}
	var lines []string
	for _, c := range r.Status.Checks {
		text := rollouts.Measured(r, c)
		if c.MeasuredAt != nil {
			text += fmt.Sprintf("  %s ago", duration.HumanDuration(v.now.Sub(c.MeasuredAt.Time)))
		}
		if c.Message != "" {
			text += "  " + c.Message
		}
		verdict := tree.PaintVerdict(v.paint, c.Verdict, fmt.Sprintf("%-9s", c.Verdict))
		lines = append(lines, v.cut(fmt.Sprintf("check %-*s  %s", width, c.Name, verdict), "  "+strings.TrimSpace(text)))
	}
	return lines
}

// cut puts a head, which may have colours, before a text that is made shorter until
// both fit.
func (v view) cut(head, text string) string {
	room := v.width - visible(head)
	if utf8.RuneCountInString(text) <= room {
		return head + text
	}
	if room <= 1 {
		return head
	}
	return head + string([]rune(text)[:room-1]) + "…"
}

// visible is how wide a text with colours is.
func visible(text string) int {
	width, escape := 0, false
	for _, r := range text {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			width++
		}
	}
	return width
}

// wrap breaks a sentence at spaces.
func (v view) wrap(text string) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > v.width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, v.cut("", line))
	}
	return lines
}
