// Package metrics asks a Prometheus server for one number at one time and judges nothing.
//
// A Source sends one instant query and answers with a Sample: either a Number, or exactly one reason why there is
// none. Which reason it is decides what a rollout may do, so the line between them is drawn by who can mend it:
//
//	Number       a finite number; the only outcome that can become a verdict
//	NoData       Prometheus evaluated the query and found nothing
//	NotANumber   the value is NaN or infinite, as in a division by zero requests
//	ManySeries   the query needs an aggregation (its author)
//	QueryError   Prometheus refused the query, or answers with something that is no single number (its author)
//	Unreachable  Prometheus did not evaluate the query, or only over a part of the data (the administrator)
//	TimedOut     the answer did not come in time (either)
//
// Design D7 and invariant I6 rest on this: an answer that is malformed, partial or not Prometheus's own is Unreachable
// and never a NoData, because users may let NoData pass, and never a Number. The zero Outcome is none of these, so
// that a forgotten Sample is no verdict either.
//
// A Query is the template that a user writes into a check; it is parsed when the Rollout is read, and rendered before
// each measurement. The queries that nobody has to write (SuccessRateQuery and others) are such templates, too.
package metrics
