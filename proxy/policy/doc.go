// Package policy says which MeshPolicy holds for what. It is pure: MeshPolicies and
// a target in, settings of package proxy/ir and conditions out.
//
// A policy is for the Services that it names, or else for its whole namespace. For
// each field of a spec by itself (mtls, timeouts, retries, circuitBreaker,
// outlierDetection, access, egress, telemetry, each with all that is in it), a policy
// that names the Service wins over one of the namespace, and of two that are equally
// specific the older one wins, by creation time and then by name. What the younger
// one sets besides holds.
//
// timeouts, retries, circuitBreaker and outlierDetection are about a Service, and
// bind whoever calls it. mtls, access, egress and telemetry are about pods: those
// behind the Service, on all their ports, by whatever name they are called. A pod
// behind several Services has one setting of each field all the same, found by the
// same rule.
package policy
