// Package e2e holds the end-to-end tests: the real product on a real cluster, seen only from outside. They drive it
// with YAML, kubectl and requests, and import nothing of it. `make e2e` runs them (build tag e2e).
//
// Every test sends counted requests all the time, and none may be lost by the shifting.
//
// Cases of TestDeliver and TestHandover have nothing but a namespace of their own and run side by side; what breaks
// parts that all share is a test of its own. The autoscaler of the cluster is the real one; what a metrics-server
// would tell it, usage_test.go makes up.
package e2e
