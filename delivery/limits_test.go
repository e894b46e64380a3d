package delivery

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

func success(lowest string) v1alpha1.Check {
	return v1alpha1.Check{Name: "errors", SuccessRate: &v1alpha1.SuccessRate{Min: &lowest}}
}

func latency(highest time.Duration) v1alpha1.Check {
	return v1alpha1.Check{Name: "errors", Latency: &v1alpha1.Latency{Quantile: "0.99", Max: &metav1.Duration{Duration: highest}}}
}

func compared(c v1alpha1.Check, ratio string) v1alpha1.Check {
	c.ComparedToStable = &v1alpha1.Comparison{MaxRatio: ratio}
	if c.SuccessRate != nil {
		c.SuccessRate.Min = nil
	}
	if c.Latency != nil {
		c.Latency.Max = nil
	}
	return c
}

func atLeast(c v1alpha1.Check, requests int32) v1alpha1.Check {
	c.MinRequests = requests
	return c
}

// of are answers beside the value: requests, stable, stable's requests; a negative
// one was not asked for.
func of(value float64, more ...float64) Sample {
	s := Sample{Outcome: Number, Value: value}
	for i, at := range []**Answer{&s.Requests, &s.Stable, &s.StableRequests} {
		if i < len(more) && more[i] >= 0 {
			*at = &Answer{Outcome: Number, Value: more[i]}
		}
	}
	return s
}

func TestBuiltinVerdicts(t *testing.T) {
	none := &Answer{Outcome: NoData}
	away := &Answer{Outcome: NoAnswer, Message: "cannot be reached"}
	with := func(s Sample, change func(*Sample)) Sample { change(&s); return s }
	cases := map[string]struct {
		reason  string
		check   v1alpha1.Check
		sample  Sample
		verdict v1alpha1.Verdict
		message string
	}{
		"success":             {"the limit itself passes", success("99.5"), of(99.5), "Passing", ""},
		"too many fail":       {"below min", success("99.5"), of(99.4), "Failing", "99.4% is below min 99.5%"},
		"fast":                {"milliseconds against a duration", latency(500 * time.Millisecond), of(500), "Passing", ""},
		"slow":                {"milliseconds against a duration", latency(1500 * time.Millisecond), of(1501), "Failing", "1501ms is above max 1.5s"},
		"few":                 {"a rate", v1alpha1.Check{Name: "errors", RequestRate: &v1alpha1.RequestRate{Min: "2"}}, of(1.5), "Failing", "1.5/s is below min 2/s"},
		"many":                {"a rate", v1alpha1.Check{Name: "errors", RequestRate: &v1alpha1.RequestRate{Min: "2"}}, of(2), "Passing", ""},
		"slower":              {"times are compared", compared(latency(0), "1.5"), of(160, -1, 100), "Failing", "160ms is 1.6 times stable's 100ms: above maxRatio 1.5"},
		"as slow":             {"the limit itself passes", compared(latency(0), "1.5"), of(150, -1, 100), "Passing", ""},
		"stable silent":       {"stable without data is no verdict", compared(latency(0), "1.5"), with(of(1), func(s *Sample) { s.Stable = none }), "NoVerdict", "stable, to compare with: no data"},
		"stable out of reach": {"I6: nor is a source that is away", compared(latency(0), "1.5"), with(of(1), func(s *Sample) { s.Stable = away }), "NoVerdict", "stable, to compare with: no answer: cannot be reached"},
		"stable in no time":   {"there is no multiple of nothing", compared(latency(0), "1.5"), of(5, -1, 0), "NoVerdict", "stable, to compare with: 0ms, of which there is no multiple"},
		"whole weight":        {"nothing to compare with was asked for", compared(latency(0), "1.5"), of(5000), "Passing", ""},
		"fails more":          {"shares that fail are compared, not those that succeed", compared(success(""), "1.5"), of(98, 1000, 99), "Failing", "2% failed, 2 times stable's 1%: above maxRatio 1.5"},
		"fails as much":       {"the limit itself passes", compared(success(""), "2"), of(98, 1000, 99), "Passing", ""},
		"never fails":         {"nothing is no multiple of anything", compared(success(""), "1.5"), of(100, 1000, 100), "Passing", ""},
		"first error":         {"one failed request is no verdict about a canary", compared(success(""), "1.5"), of(96, 25, 100), "Passing", ""},
		"second error":        {"two are", compared(success(""), "1.5"), of(92, 25, 100), "Failing", "8% failed, 2 times stable's 0%: above maxRatio 1.5"},
		"bad against perfect": {"stable without any error is no excuse", compared(success(""), "1.5"), of(60, 1000, 100), "Failing", "40% failed, 400 times stable's 0%: above maxRatio 1.5"},
		"bounds first": {"min holds whatever stable does", func() v1alpha1.Check {
			c := success("99")
			c.ComparedToStable = &v1alpha1.Comparison{MaxRatio: "9"}
			return c
		}(), with(of(98, 1000), func(s *Sample) { s.Stable = away }), "Failing", "98% is below min 99%"},
		"enough":               {"the limit itself counts", atLeast(success("99.5"), 100), of(99.9, 100), "Passing", ""},
		"extrapolated":         {"Prometheus extrapolates: 99.6 are 100", atLeast(success("99.5"), 100), of(99.9, 99.6), "Passing", ""},
		"not enough":           {"fewer requests are no verdict, good or bad", atLeast(success("99.5"), 100), of(0, 99), "NoVerdict", "99 requests, fewer than minRequests 100"},
		"not enough, NaN":      {"none in time", atLeast(success("99.5"), 100), with(of(0), func(s *Sample) { s.Outcome, s.Requests = NotANumber, none }), "NoVerdict", "0 requests, fewer than minRequests 100"},
		"not enough, Pass":     {"onNoData covers no data, not little data", func() v1alpha1.Check { c := atLeast(success("99.5"), 100); c.OnNoData = "Pass"; return c }(), with(of(0), func(s *Sample) { s.Outcome, s.Requests = NoData, none }), "NoVerdict", "0 requests, fewer than minRequests 100"},
		"requests unknown":     {"I6: a source that is away counts nothing", atLeast(success("99.5"), 1), with(of(0), func(s *Sample) { s.Requests = away }), "NoVerdict", "requests: no answer: cannot be reached"},
		"requests not asked":   {"an edit came between the question and the answer", atLeast(success("99.5"), 1), of(100), "NoVerdict", "the requests were not counted"},
		"stable not enough":    {"stable's number is worth no more than its requests", atLeast(compared(latency(0), "1.5"), 100), of(900, 1000, 100, 20), "NoVerdict", "stable, to compare with: 20 requests, fewer than minRequests 100"},
		"both enough":          {"and then it is a verdict", atLeast(compared(latency(0), "1.5"), 100), of(900, 1000, 100, 100), "Failing", "900ms is 9 times stable's 100ms: above maxRatio 1.5"},
		"stable's unknown":     {"I6", atLeast(compared(latency(0), "1.5"), 100), with(of(900, 1000, 100), func(s *Sample) { s.StableRequests = away }), "NoVerdict", "stable's requests: no answer: cannot be reached"},
		"template not there":   {"what it would allow is not known", v1alpha1.Check{Name: "errors", TemplateRef: &v1alpha1.TemplateRef{Name: "gone"}}, of(1), "NoVerdict", "its template is missing"},
		"value out of reach":   {"I6, with every count there", atLeast(compared(success(""), "1.5"), 1), with(of(0, 100, 100, 100), func(s *Sample) { s.Outcome, s.Message = NoAnswer, "timed out" }), "NoVerdict", "no answer: timed out"},
		"stable's NaN":         {"a number that is none", compared(latency(0), "1.5"), with(of(1), func(s *Sample) { s.Stable = &Answer{Outcome: NotANumber} }), "NoVerdict", "stable, to compare with: not a number"},
		"exactly zero latency": {"faster than anything", compared(latency(0), "1.5"), of(0, -1, 100), "Passing", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := v1alpha1.CheckStatus{}
			verdict, message := judge(&s, &tc.check, &tc.sample)
			if diff := cmp.Diff([]any{tc.verdict, tc.message}, []any{verdict, message}); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

// TestFailuresInARow: failureLimit and consecutiveFailures, each alone and together.
func TestFailuresInARow(t *testing.T) {
	limit := func(n int32) func(*v1alpha1.Check) { return func(c *v1alpha1.Check) { c.FailureLimit = &n } }
	row := func(n int32) func(*v1alpha1.Check) { return func(c *v1alpha1.Check) { c.ConsecutiveFailures = &n } }
	cases := map[string]struct {
		reason  string
		set     []func(*v1alpha1.Check)
		answers string // P passes, F fails, - no verdict.
		// failedAt is the answer, from 1, that fails the check; 0 for none.
		failedAt int
	}{
		"nothing set":           {"none is forgiven", nil, "PPF", 3},
		"limit":                 {"failures need not be in a row", []func(*v1alpha1.Check){limit(2)}, "FPFPF", 5},
		"limit, 0":              {"said in words", []func(*v1alpha1.Check){limit(0)}, "F", 1},
		"row":                   {"all but three in a row are forgiven", []func(*v1alpha1.Check){row(3)}, "FFPFFPFFPFFF", 12},
		"row, no verdict":       {"an outage neither counts nor ends the row", []func(*v1alpha1.Check){row(3)}, "F-F--F", 6},
		"row of one":            {"the first one", []func(*v1alpha1.Check){row(1)}, "PF", 2},
		"both, the row first":   {"whichever comes first", []func(*v1alpha1.Check){limit(9), row(2)}, "FPFF", 4},
		"both, the limit first": {"whichever comes first", []func(*v1alpha1.Check){limit(1), row(3)}, "FPF", 3},
		"never":                 {"forgiven", []func(*v1alpha1.Check){limit(3), row(3)}, "FFPF", 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := success("99")
			for _, set := range tc.set {
				set(&c)
			}
			s := v1alpha1.CheckStatus{}
			failed := 0
			for i, answer := range tc.answers {
				sample := map[rune]Sample{'P': of(100), 'F': of(1), '-': {Outcome: NoAnswer}}[answer]
				if verdict, message := judge(&s, &c, &sample); verdict != v1alpha1.VerdictNoVerdict {
					settle(&s, &c, verdict, message)
				}
				if failed == 0 && s.Verdict == v1alpha1.VerdictFailed {
					failed = i + 1
				}
			}
			if failed != tc.failedAt {
				t.Errorf("%s: %s fails at %d, want %d (%s)", tc.reason, tc.answers, failed, tc.failedAt, s.Message)
			}
		})
	}
}

func TestComparisonIsAskedFor(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*Observation)
		want   string
	}{
		"compares":     {"stable is measured beside the canary", func(*Observation) {}, "rA"},
		"alone":        {"nothing to compare", func(o *Observation) { o.Rollout.Spec.Analysis.Checks[0].ComparedToStable = nil }, ""},
		"whole weight": {"stable gets no requests to be measured by", func(o *Observation) { record(o).Weight = record(o).Total }, ""},
		"audience": {"stable has all who take no part", func(o *Observation) {
			record(o).Weight, record(o).Traffic = record(o).Total, &v1alpha1.Traffic{Audience: []v1alpha1.RequestMatch{{}}}
		}, "rA"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := judged()
			o.Rollout.Spec.Analysis.Checks[0] = compared(latency(0), "1.5")
			tc.change(o)
			p := newPass(*o)
			p.now = p.rec.AckedAt.Add(time.Hour)
			p.measure()
			want := []Measurement{{Check: "errors", Step: 1, Revision: "xB", Stable: tc.want}}
			if diff := cmp.Diff(want, p.plan.Measure); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestExpected(t *testing.T) {
	both := success("99.5")
	both.ComparedToStable = &v1alpha1.Comparison{MaxRatio: "1.5"}
	lowest, highest := "0", "0.01"
	cases := map[string]v1alpha1.Check{
		"at least 99.5%, at most 1.5 times stable's failures": both,
		"at most 500ms":            latency(500 * time.Millisecond),
		"at most 2 times stable's": compared(latency(0), "2"),
		"at least 0.5/s":           {RequestRate: &v1alpha1.RequestRate{Min: "0.5"}},
		"at least 0, at most 0.01": {Min: &lowest, Max: &highest},
		"":                         {TemplateRef: &v1alpha1.TemplateRef{Name: "errors"}},
	}
	for want, c := range cases {
		if got := limitsOf(&c).expected(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestResolvedChecksAreJudged: what a template says decides, not the spec that only
// names it.
func TestResolvedChecksAreJudged(t *testing.T) {
	o := judged()
	o.Rollout.Spec.Analysis.Checks[0] = v1alpha1.Check{Name: "errors", TemplateRef: &v1alpha1.TemplateRef{Name: "errors"}}
	answer(o, Number, 98)
	o.Checks = []v1alpha1.Check{success("99")}
	got := Decide(*o).Status
	if got.Record.Stage != v1alpha1.StageRetreating || got.Checks[0].Expected != "at least 99%" || got.Checks[0].Unit != "%" {
		t.Errorf("stage %s, check %+v: want a rollback by the template's min", got.Record.Stage, got.Checks[0])
	}
	o.Checks = nil
	got = Decide(*o).Status
	if got.Record.Stage != v1alpha1.StageStepping || got.Checks[0].Verdict != v1alpha1.VerdictNoVerdict {
		t.Errorf("stage %s, check %+v: without its template nothing may be judged", got.Record.Stage, got.Checks[0])
	}
}
