// Package e2e holds the end-to-end tests: the real product on a real cluster, seen only from outside. They drive it
// with YAML, kubectl and requests, and import nothing of it. `make e2e` runs them (build tag e2e).
//
// Every test sends counted requests all the time, and none may be lost by the shifting.
package e2e
