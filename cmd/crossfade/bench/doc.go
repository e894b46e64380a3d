// Package bench is the subcommand bench: what a sidecar costs the clients of a
// Service, in milliseconds, CPU and memory.
//
// It starts one client pod with a sidecar and one without, on one node, has them
// send the same requests in turns, a round each, and puts the numbers side by
// side. A machine that gets slower on the way is slower for both. With
// --plain-envoy a third client stands behind an Envoy with a configuration
// written by hand, intercepted in the same way: what a sidecar costs more than
// that is Crossfade's own doing.
//
// What is said about the numbers is pure: report.go and text.go, from values.
// What pods are made is pure too: pods.go and envoy.go. Only cluster.go and
// run.go touch a cluster.
package bench
