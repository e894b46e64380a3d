package checks

import (
	"testing"

	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/metrics"
)

func TestOutcomeOf(t *testing.T) {
	want := map[metrics.Outcome]delivery.Outcome{
		metrics.Number: delivery.Number, metrics.NoData: delivery.NoData, metrics.NotANumber: delivery.NotANumber,
	}
	for _, o := range metrics.Outcomes() {
		wanted, judged := want[o]
		if !judged {
			wanted = delivery.NoAnswer // An outage or a bad query is never a verdict.
		}
		if got := outcomeOf(o); got != wanted {
			t.Errorf("%s: got %v, want %v", o, got, wanted)
		}
	}
}
