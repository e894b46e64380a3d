package checks

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// What the API server refuses in a Check by the same rules; in a template it cannot,
// for there the texts have holes in them.
var (
	decimal   = regexp.MustCompile(`^-?[0-9]{1,20}([.][0-9]{1,20})?([eE][-+]?[0-9]{1,2})?$`)
	duration  = regexp.MustCompile(`^([0-9]+([.][0-9]+)?(ms|s|m|h))+$`)
	plainText = regexp.MustCompile(`^[A-Za-z0-9_./:-]+$`)
)

// typed reads the value of an argument. A text may hold nothing that could end a
// string of a query; a duration is written as Prometheus does in queries (1d), and as
// Go does everywhere else (24h0m0s).
func typed(t v1alpha1.ArgType, text string) (value, error) {
	switch t {
	case v1alpha1.ArgNumber:
		if !decimal.MatchString(text) {
			return value{}, fmt.Errorf("is %q, which is no number: write a decimal such as \"0.5\"", text)
		}
	case v1alpha1.ArgDuration:
		d, err := parseDuration(text)
		if err != nil || d < time.Millisecond {
			return value{}, fmt.Errorf("is %q, which is no duration: write one such as 30s or 1h30m", text)
		}
		return value{query: model.Duration(d).String(), text: d.String()}, nil
	case v1alpha1.ArgString, "":
		if !plainText.MatchString(text) {
			return value{}, fmt.Errorf("is %q: a String consists of letters, digits and - _ . / : only", text)
		}
	}
	return value{query: text, text: text}, nil
}

func parseDuration(text string) (time.Duration, error) {
	if !duration.MatchString(text) {
		return 0, errors.New("no duration")
	}
	return time.ParseDuration(text)
}

// check makes a Check of a template's; what is out of range is a mistake.
func (f *filler) check(t *v1alpha1.TemplateCheck) *v1alpha1.Check {
	c := &v1alpha1.Check{OnNoData: t.OnNoData, DryRun: t.DryRun}
	if s := t.SuccessRate; s != nil {
		c.SuccessRate = &v1alpha1.SuccessRate{Min: f.number("successRate.min", s.Min, 1, 100, "above 1 and at most 100, in percent, such as 99.5")}
	}
	if l := t.Latency; l != nil {
		c.Latency = &v1alpha1.Latency{Quantile: defaultQuantile}
		if l.Quantile != "" {
			c.Latency.Quantile = *f.number("latency.quantile", &l.Quantile, 0, 0.999999, "between 0 and 1, such as 0.99")
		}
		if l.Max != nil {
			c.Latency.Max = f.duration("latency.max", *l.Max, time.Millisecond, 30*time.Second-time.Nanosecond, "from 1ms to less than 30s")
		}
	}
	if r := t.RequestRate; r != nil {
		c.RequestRate = &v1alpha1.RequestRate{Min: *f.number("requestRate.min", &r.Min, 0, 1e9, "above 0")}
	}
	if p := t.Prometheus; p != nil {
		c.Prometheus = &v1alpha1.PrometheusSource{Query: f.query("prometheus.query", p.Query)}
		if len(c.Prometheus.Query) > maxQuery {
			f.fail("prometheus.query", fmt.Errorf("it is longer than %d bytes with its arguments", maxQuery))
		}
	}
	if r := t.ComparedToStable; r != nil {
		c.ComparedToStable = &v1alpha1.Comparison{MaxRatio: *f.number("comparedToStable.maxRatio", &r.MaxRatio, 0, 9999, "above 0, such as 1.5")}
	}
	c.Min, c.Max = f.bound("min", t.Min), f.bound("max", t.Max)
	if n := f.count("minRequests", t.MinRequests, 1, 1_000_000_000); n != nil {
		c.MinRequests = *n
	}
	c.FailureLimit = f.count("failureLimit", t.FailureLimit, 0, 1000)
	c.ConsecutiveFailures = f.count("consecutiveFailures", t.ConsecutiveFailures, 1, 1000)
	if t.Interval != "" {
		c.Interval = f.duration("interval", t.Interval, time.Second, 24*time.Hour, "from 1s to 24h")
	}
	if t.Window != "" {
		c.Window = f.duration("window", t.Window, time.Second, 24*time.Hour, "from 1s to 24h")
	}
	if t.InitialDelay != "" {
		c.InitialDelay = f.duration("initialDelay", t.InitialDelay, time.Nanosecond, 24*time.Hour, "longer than 0s and at most 24h")
	}
	return c
}

// maxQuery is the longest query that a check may have, in bytes.
const maxQuery = 8192

// number reads a decimal above one bound and at most another.
func (f *filler) number(field string, text *string, above, most float64, what string) *string {
	if text == nil {
		return nil
	}
	out := f.text(field, *text)
	v, err := strconv.ParseFloat(out, 64)
	if !decimal.MatchString(out) || strings.ContainsAny(out, "eE") || err != nil || v <= above || v > most {
		f.fail(field, fmt.Errorf("%q is not a decimal %s", out, what))
	}
	return &out
}

// bound reads a limit of a query's number.
func (f *filler) bound(field string, text *string) *string {
	if text == nil {
		return nil
	}
	out := f.text(field, *text)
	if !decimal.MatchString(out) {
		f.fail(field, fmt.Errorf("%q is no decimal number such as 0.01", out))
	}
	return &out
}

func (f *filler) count(field string, n *intstr.IntOrString, least, most int64) *int32 {
	if n == nil {
		return nil
	}
	text := n.String()
	if n.Type == intstr.String {
		text = f.text(field, text)
	}
	v, err := strconv.ParseInt(text, 10, 32)
	if err != nil || v < least || v > most {
		f.fail(field, fmt.Errorf("%q is no whole number from %d to %d", text, least, most))
	}
	return new(int32(v))
}

func (f *filler) duration(field, text string, least, most time.Duration, what string) *metav1.Duration {
	out := f.text(field, text)
	d, err := parseDuration(out)
	if err != nil || d < least || d > most {
		f.fail(field, fmt.Errorf("%q is no duration %s", out, what))
	}
	return &metav1.Duration{Duration: d}
}

// sources says what is wrong with a filled-in check as a whole; the API server has
// looked at the rest, but a template may have come from a file.
func sources(c *v1alpha1.Check) string {
	set := 0
	for _, is := range []bool{c.SuccessRate != nil, c.Latency != nil, c.RequestRate != nil, c.Prometheus != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return "exactly one source must be set: successRate, latency, requestRate, or prometheus with a query"
	case c.Min != nil && c.Max != nil && asFloat(*c.Min) > asFloat(*c.Max):
		return fmt.Sprintf("min %s is above max %s: no number could pass", *c.Min, *c.Max)
	}
	return ""
}

func asFloat(text string) float64 {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return v
}
