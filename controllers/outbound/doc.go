// Package outbound is what leaves the controller for addresses that somebody has named:
// users (hooks), who may name little, and the administrator (targets of notices,
// Prometheus), who may name more (Options.Trusted). It knows nothing of the cluster and
// of rollouts: who may be asked is given to it, and what an answer means is decided
// elsewhere.
//
// A user who may write a Rollout must not reach by the controller what he cannot
// reach himself: the machine's credentials (169.254.169.254), services that trust
// whoever comes from the node, the API server. So each connection is checked where it
// cannot be talked round, at its address:
//
//   - a name is resolved here, and only addresses that were checked are dialled: a
//     second answer of the DNS cannot differ from the first;
//   - one forbidden address among several forbids the name;
//   - a redirect is another request with the same checks, to a host that is allowed,
//     and never from https to http;
//   - the environment's proxies are not asked for users, connections are not kept.
package outbound
