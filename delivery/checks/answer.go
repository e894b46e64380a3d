package checks

import (
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/metrics"
)

// Take puts what a source has answered to one query of a measurement into its
// sample.
func Take(sample *delivery.Sample, of Of, got metrics.Sample) {
	answer := &delivery.Answer{Outcome: outcomeOf(got.Outcome), Value: got.Value, Message: got.Message}
	switch of {
	case Value:
		sample.Outcome, sample.Value, sample.Message = answer.Outcome, answer.Value, answer.Message
	case Requests:
		sample.Requests = answer
	case StableValue:
		sample.Stable = answer
	case StableRequests:
		sample.StableRequests = answer
	}
}

// outcomeOf reduces what a source can answer to what matters to a verdict: a
// number, nothing, no number, or no answer at all.
func outcomeOf(o metrics.Outcome) delivery.Outcome {
	switch o {
	case metrics.Number:
		return delivery.Number
	case metrics.NoData:
		return delivery.NoData
	case metrics.NotANumber:
		return delivery.NotANumber
	case metrics.ManySeries, metrics.QueryError, metrics.Unreachable, metrics.TimedOut:
		return delivery.NoAnswer
	default:
		return delivery.NoAnswer
	}
}
