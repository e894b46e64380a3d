// Package proxy translates the objects of the cluster (Rollouts, Services, Pods,
// and those of the Gateway API) into what the proxies should do (package
// proxy/ir). It is pure: lists in, values out, no clients and no clock.
//
// What is rendered rests on one rule: a weight comes from status.record of a
// Rollout and from nowhere else. What the cluster adds is which pods are there to
// take the requests; it can only take weight away from a canary that lost pods,
// never add any, with one exception: when stable has no ready pod at all and the
// canary has one, the canary takes everything, because an answer from it is better
// than none.
//
// Users' mistakes are values, too: they become conditions of Gateways and
// HTTPRoutes. What is not supported is refused there by the name of the field, and
// the whole route with it: half a route would do something that nobody wrote.
package proxy
