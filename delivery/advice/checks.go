package advice

import (
	"regexp"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// checkRules judge what measures a canary.
var checkRules = []Rule{
	{
		Code: "XF0151", Name: "WindowTooShort", Severity: Warning,
		What: "A query looks back over a window shorter than two scrapes of the proxies: rate() needs two samples, and finds one or none. The check has no data now and then, or always.",
		Mend: "Make the window four scrapes long: set the check's window to 1m, or write [1m] in the query.",
		find: windowTooShort,
	},
	{
		Code: "XF0152", Name: "LimitOutOfReach", Severity: Warning, Alone: true,
		What: "failureLimit or consecutiveFailures forgives more failed measurements than a step's pause has room for. A canary that fails all through the pause and answers well once goes on to the next step.",
		Mend: "Lower it, measure more often (interval), or hold the steps longer: as many intervals as failed measurements end the rollout.",
		find: limitOutOfReach,
	},
	{
		Code: "XF0153", Name: "PauseBeforeFirstMeasurement", Severity: Info, Alone: true,
		What: "A step's pause is over before its first measurement comes: the step lasts until that, and is judged by a single number.",
		Mend: "Make the pause longer than the check's initialDelay (one interval without it), or lower that.",
		find: pauseTooShort,
	},
	{
		Code: "XF0154", Name: "NothingDecides", Severity: Warning, Alone: true,
		What: "All checks are dry runs: they are measured and shown, and decide nothing.",
		Mend: "Take dryRun out of the checks that you have come to trust.",
		find: nothingDecides,
	},
	{
		Code: "XF0155", Name: "NoDataPasses", Severity: Warning, Alone: true,
		What: "Every check that decides takes no data for a pass. A canary whose metrics are lost, or which gets no requests, is promoted unseen.",
		Mend: "Leave onNoData at Wait for one check at least, such as the error rate.",
		find: noDataPasses,
	},
	{
		Code: "XF0156", Name: "CanaryNotAsked", Severity: Warning, Alone: true,
		What: "A query does not name the canary's revision: it measures stable, too. At weight 5 a canary that fails every request moves such a number by 5 %.",
		Mend: `Select the canary in the query: revision="{{.Canary}}".`,
		find: canaryNotAsked,
	},
	{
		Code: "XF0157", Name: "ChecksRefused", Severity: Error,
		What: "A check cannot be measured: its query is no valid template, or the template that it names is missing or wants other arguments. The Rollout is refused, and nothing moves.",
		Mend: "Do what the message says. A query only inserts the fields .Namespace, .Rollout, .Service, .Stable, .Canary and .Interval.",
		find: checksRefused,
	},
	{
		Code: "XF0158", Name: "DeadlineTooShort", Severity: Warning, Alone: true,
		What: "A check is measured less often than once in progressDeadlineSeconds: one measurement without an answer, and the rollout is paused for want of a verdict.",
		Mend: "Raise progressDeadlineSeconds to several intervals, or measure more often.",
		find: deadlineTooShort,
	},
	{
		Code: "XF0159", Name: "FewRequestsDecide", Severity: Info, Alone: true,
		What: "A check of a share (successRate, or a latency's quantile) without minRequests: at a small weight a window may hold three requests, of which one failed one is a third.",
		Mend: "Set the check's minRequests to as many as make a number worth judging, 100 for one.",
		find: fewRequests,
	},
}

// checks calls back for each check of each Rollout.
func (s *scene) checks(f func(ro *v1alpha1.Rollout, c *v1alpha1.Check, field string)) {
	for _, ro := range s.Rollouts {
		if ro.Spec.Analysis == nil {
			continue
		}
		for i := range ro.Spec.Analysis.Checks {
			c := &ro.Spec.Analysis.Checks[i]
			f(ro, c, "spec.analysis.checks["+c.Name+"]")
		}
	}
}

// window is a range in PromQL, such as [5m].
var window = regexp.MustCompile(`\[\s*((?:[0-9]+(?:ms|s|m|h|d|w))+)\s*(?::[^\]]*)?\]`)

// part of a duration as Prometheus writes it.
var part = regexp.MustCompile(`([0-9]+)(ms|[smhdw])`)

func windowTooShort(s *scene) {
	if s.ScrapeInterval == 0 {
		return
	}
	s.checks(func(ro *v1alpha1.Rollout, c *v1alpha1.Check, field string) {
		if shortest := shortestWindow(ro, c); shortest > 0 && shortest < 2*s.ScrapeInterval {
			s.found(RefTo("Rollout", ro), field, "check %s looks back over %s, and the proxies are scraped every %s", c.Name, shortest, s.ScrapeInterval)
		}
	})
}

// shortestWindow is the shortest time that a check looks back over; 0 where nobody
// knows.
func shortestWindow(ro *v1alpha1.Rollout, c *v1alpha1.Check) time.Duration {
	own := delivery.Interval(ro, c)
	if c.Window != nil {
		own = c.Window.Duration
	}
	switch {
	case c.SuccessRate != nil, c.Latency != nil, c.RequestRate != nil:
		return own
	case c.Prometheus == nil:
		return 0
	}
	shortest := time.Duration(0)
	for _, m := range window.FindAllStringSubmatch(interval.ReplaceAllString(c.Prometheus.Query, own.String()), -1) {
		if d := promDuration(m[1]); shortest == 0 || d < shortest {
			shortest = d
		}
	}
	return shortest
}

// interval is where a query inserts it.
var interval = regexp.MustCompile(`\{\{\s*\.Interval\s*\}\}`)

// promDuration reads what window has matched.
func promDuration(text string) time.Duration {
	units := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": week}
	var sum time.Duration
	for _, m := range part.FindAllStringSubmatch(text, -1) {
		n := time.Duration(0)
		for _, digit := range m[1] {
			n = n*10 + time.Duration(digit-'0')
		}
		sum += n * units[m[2]]
	}
	return sum
}

// judgedFor is the longest time that a step holds while a check is measured; 0 when
// a person ends one of them, or none is held.
func judgedFor(d *delivered, check string) time.Duration {
	longest := time.Duration(0)
	legs, _ := d.outline()
	for _, leg := range legs {
		measured := false
		for i := range leg.Checks {
			measured = measured || leg.Checks[i].Name == check
		}
		switch {
		case measured && leg.ByPerson:
			return 0
		case measured:
			longest = max(longest, leg.Hold)
		}
	}
	return longest
}

func limitOutOfReach(s *scene) {
	for i := range s.deliveries {
		d := &s.deliveries[i]
		if d.rollout.Spec.Analysis == nil {
			continue
		}
		for j := range d.rollout.Spec.Analysis.Checks {
			c := &d.rollout.Spec.Analysis.Checks[j]
			hold, first, needs := judgedFor(d, c.Name), delivery.FirstMeasured(d.rollout, c), fails(c)
			if needs == 1 || hold < first {
				continue
			}
			if times := int32((hold-first)/delivery.Interval(d.rollout, c)) + 1; times < needs {
				s.found(RefTo("Rollout", d.rollout), "spec.analysis.checks["+c.Name+"]",
					"check %s is measured %d times in the longest pause (%s), and fails after %d", c.Name, times, hold, needs)
			}
		}
	}
}

// fails is how many failed measurements end a rollout.
func fails(c *v1alpha1.Check) int32 {
	switch row, limit := c.ConsecutiveFailures, c.FailureLimit; {
	case row != nil && limit != nil:
		return min(*row, *limit+1)
	case row != nil:
		return *row
	case limit != nil:
		return *limit + 1
	}
	return 1
}

func pauseTooShort(s *scene) {
	for _, d := range s.deliveries {
		legs, _ := d.outline()
		for i, leg := range legs {
			for j := range leg.Checks {
				c := &leg.Checks[j]
				if first := delivery.FirstMeasured(d.rollout, c); leg.Hold > 0 && leg.Hold < first {
					s.found(RefTo("Rollout", d.rollout), at(d.rollout, i, "pause"), "step %d pauses for %s, and check %s is measured first after %s", i+1, leg.Hold, c.Name, first)
				}
			}
		}
	}
}

func nothingDecides(s *scene) {
	for _, ro := range s.Rollouts {
		if all, dry := decisions(ro, func(c *v1alpha1.Check) bool { return c.DryRun }); all > 0 && all == dry {
			s.found(RefTo("Rollout", ro), "spec.analysis.checks", "all %d checks are dry runs", all)
		}
	}
}

func noDataPasses(s *scene) {
	for _, ro := range s.Rollouts {
		deciding, _ := decisions(ro, func(*v1alpha1.Check) bool { return false })
		_, dry := decisions(ro, func(c *v1alpha1.Check) bool { return c.DryRun })
		_, pass := decisions(ro, func(c *v1alpha1.Check) bool { return !c.DryRun && c.OnNoData == v1alpha1.NoDataPass })
		if deciding -= dry; deciding > 0 && pass == deciding {
			s.found(RefTo("Rollout", ro), "spec.analysis.checks", "no data counts as a pass for all checks that decide")
		}
	}
}

// decisions counts a Rollout's checks, and those that are so.
func decisions(ro *v1alpha1.Rollout, is func(*v1alpha1.Check) bool) (all, count int) {
	if ro.Spec.Analysis == nil {
		return 0, 0
	}
	for i := range ro.Spec.Analysis.Checks {
		if is(&ro.Spec.Analysis.Checks[i]) {
			count++
		}
	}
	return len(ro.Spec.Analysis.Checks), count
}

func canaryNotAsked(s *scene) {
	s.checks(func(ro *v1alpha1.Rollout, c *v1alpha1.Check, field string) {
		if c.Prometheus != nil && !strings.Contains(c.Prometheus.Query, ".Canary") {
			s.found(RefTo("Rollout", ro), field+".prometheus.query", "check %s does not select the canary's revision", c.Name)
		}
	})
}

func checksRefused(s *scene) {
	for _, r := range s.Refused {
		s.found(r.At, "spec.analysis.checks", "%s", r.Message)
	}
}

func fewRequests(s *scene) {
	s.checks(func(ro *v1alpha1.Rollout, c *v1alpha1.Check, field string) {
		if (c.SuccessRate != nil || c.Latency != nil) && c.MinRequests == 0 {
			s.found(RefTo("Rollout", ro), field, "check %s has no minRequests", c.Name)
		}
	})
}

func deadlineTooShort(s *scene) {
	s.checks(func(ro *v1alpha1.Rollout, c *v1alpha1.Check, field string) {
		deadline := delivery.Deadline(ro)
		switch every, first := delivery.Interval(ro, c), delivery.FirstMeasured(ro, c); {
		case every >= deadline:
			s.found(RefTo("Rollout", ro), field+".interval", "check %s is measured every %s, and progressDeadlineSeconds is %d", c.Name, every, int(deadline/time.Second))
		case first >= deadline:
			s.found(RefTo("Rollout", ro), field+".initialDelay", "check %s is measured first after %s, and progressDeadlineSeconds is %d", c.Name, first, int(deadline/time.Second))
		}
	})
}
