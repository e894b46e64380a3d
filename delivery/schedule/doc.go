// Package schedule knows when deliveries may go on: within the windows of a
// Rollout's spec.schedule, and outside every Freeze. It takes values and returns
// values; the time is an argument.
//
// # Time
//
// A window is a span of the clock on the wall of its zone. It is open whenever that
// clock shows a time from a start that its cron names to the start plus its
// duration, the end not included. What follows where the clock is changed:
//
//   - 22:00 and 8h end at 06:00 in every night, after seven, eight or nine hours.
//   - A start that the clock skips (02:30, where it goes from 02:00 to 03:00) still
//     names its span: what is left of that opens at 03:00. A span that is skipped
//     whole does not come.
//   - A span that the clock shows twice is open twice.
//
// Windows overlap and touch as they like: a time is allowed when one of allow covers
// it. Deny goes before allow, a Freeze before both.
package schedule
