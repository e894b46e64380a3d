package metrics

import (
	"fmt"
	"math"
	"strings"
	"unicode"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// maxText bounds the part of a message that a server wrote, in runes. Messages end in the status of a Rollout.
const maxText = 512

// promQLWarning begins the warnings that are about the query. All others are about data that could not be read.
const promQLWarning = "PromQL warning"

// fromAnswer turns a successful answer into a Sample.
//
// A warning that is not about the query means that a part of the data was out of reach: a remote store, or a shard
// behind Thanos. The value of the rest is a number, but of what? If the store with the failed requests is the one
// that is away, an error rate of zero would promote, so such an answer counts as an outage (I6).
func fromAnswer(value model.Value, warnings promv1.Warnings) Sample {
	for _, w := range warnings {
		if !strings.HasPrefix(w, promQLWarning) {
			return Sample{Outcome: Unreachable, Message: "Prometheus could read only a part of the data: " + oneLine(strings.Join(warnings, "; "))}
		}
	}
	s := fromValue(value)
	if len(warnings) > 0 {
		s.Message = strings.TrimPrefix(s.Message+"; ", "; ") + oneLine(strings.Join(warnings, "; "))
	}
	return s
}

func fromValue(value model.Value) Sample {
	switch v := value.(type) {
	case *model.Scalar:
		if v == nil || v.Timestamp == 0 {
			return malformed("a scalar without a time")
		}
		return fromFloat(float64(v.Value))
	case model.Vector:
		return fromVector(v)
	case model.Matrix:
		return Sample{Outcome: QueryError, Message: "the query returns a range of values for each series: a check needs one number; " +
			"wrap the range selector in a function such as rate(...) or avg_over_time(...)"}
	case *model.String:
		return Sample{Outcome: QueryError, Message: "the query returns a text: a check needs one number"}
	}
	return malformed("no value")
}

// fromVector trusts an empty vector only if it was really sent: one that is missing in the answer is nil. A sample
// without a time has no value either, which the model would show as zero.
func fromVector(v model.Vector) Sample {
	switch {
	case v == nil:
		return malformed("no value")
	case len(v) == 0:
		return Sample{Outcome: NoData, Message: "the query selects no series at this time"}
	case len(v) > 1:
		return Sample{Outcome: ManySeries, Message: fmt.Sprintf("the query returns %d series: a check needs one number; aggregate them, for example with sum(...)", len(v))}
	case v[0] == nil || v[0].Timestamp == 0:
		return malformed("a series without a value")
	case v[0].Histogram != nil:
		return Sample{Outcome: QueryError, Message: "the query returns a native histogram: a check needs one number; " +
			"take one out of it, for example with histogram_quantile(0.99, ...)"}
	}
	return fromFloat(float64(v[0].Value))
}

func fromFloat(f float64) Sample {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Sample{Outcome: NotANumber, Message: fmt.Sprintf("the value is %v, as after a division by zero", f)}
	}
	return Sample{Outcome: Number, Value: f}
}

func malformed(what string) Sample {
	return Sample{Outcome: Unreachable, Message: "the answer is not in the form of Prometheus's API: check the Prometheus URL: " + oneLine(what)}
}

// oneLine makes foreign text fit for a status message: valid, printable, on one line, bounded.
func oneLine(text string) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Join(strings.Fields(text), " ")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > maxText {
		return string(runes[:maxText]) + "…"
	}
	return text
}
