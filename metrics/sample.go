package metrics

// Outcome is the kind of a Sample. Its values are fit for a metric's label and for a condition's message.
type Outcome string

// The outcomes of a query; the package's comment says where each one ends and the next begins.
const (
	// Number means that Sample.Value holds a finite number.
	Number Outcome = "Number"
	// NoData means that the query was evaluated over all data and selected no series.
	NoData Outcome = "NoData"
	// NotANumber means that the value is NaN, +Inf or -Inf.
	NotANumber Outcome = "NotANumber"
	// ManySeries means that the query returns two or more series.
	ManySeries Outcome = "ManySeries"
	// QueryError means that the query itself must be changed.
	QueryError Outcome = "QueryError"
	// Unreachable means that no Prometheus evaluated the query over all of its data.
	Unreachable Outcome = "Unreachable"
	// TimedOut means that the query was not finished within the time it is given.
	TimedOut Outcome = "TimedOut"
)

// Outcomes lists every outcome, for callers that start a counter for each at zero.
func Outcomes() []Outcome {
	return []Outcome{Number, NoData, NotANumber, ManySeries, QueryError, Unreachable, TimedOut}
}

// Sample is the answer to one query.
type Sample struct {
	// Outcome says whether there is a number, and otherwise why not.
	Outcome Outcome
	// Value is the number when Outcome is Number, and zero otherwise.
	Value float64
	// Message is a sentence for the person who can mend what is wrong: printable, on one line, bounded. For a Number
	// it is empty unless Prometheus warned.
	Message string
}
