// Package advice finds what is wrong with a delivery before it hurts: things that
// the API server accepts because each object alone is right, and that fail when
// they meet (a Rollout and its Deployment, a Service and a route, a policy and
// pods without a sidecar).
//
// Judge takes a World, which is whatever somebody has at hand (files, a cluster,
// or both), and returns Findings. What the World does not hold is not judged: a
// rule that says "there is no such Service" speaks only where all Services of that
// namespace are known (World.Whole).
//
// A rule has a code that never changes its meaning and is never given to another
// rule. The page docs/analyze.md is made of the rules by the test TestPageGolden;
// each rule has a case that it finds and a near miss that it must not, in
// rules_test.go.
package advice
