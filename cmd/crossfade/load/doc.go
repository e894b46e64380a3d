// Package load is the subcommand load: a client that sends one Service requests
// at a fixed rate, a round each time it is asked to, and tells how long the
// answers took. `crossfade bench` runs it in pods with and without a sidecar.
//
// What is sent, where to and how fast is fixed by flags when it starts. Whoever
// reaches its port can have another round of that, and nothing else: it must not
// become a gun that anybody in the cluster can point.
//
// The pace is kept by fortio's periodic runner; what one request is, and how its
// time is counted, is here. Times are counted exactly (to three digits) instead
// of in fortio's histogram, whose steps of 5 to 10 % are wider than the
// differences that are looked for.
package load
