// Package agent is the process beside an Envoy: it writes Envoy's bootstrap,
// starts it, starts it again when it crashes, tells Kubernetes whether it can
// take requests, and stops it without losing one.
//
// Envoy must not see SIGTERM: it would exit at once, with every request that is
// in flight. The agent, process 1 of the container, catches it and instead
//
//  1. is no longer ready, and waits until everybody who sends requests has seen
//     that (settle);
//  2. asks Envoy to drain: to go on serving, but to end each connection with
//     its next response, until none is left or the time is over (drain);
//  3. asks Envoy to quit, and kills it when it does not (quit).
//
// What is decided here is pure and gets the time as a value: stop.go and
// restart.go. What touches processes, sockets and clocks is in agent.go,
// process.go and admin.go.
package agent
