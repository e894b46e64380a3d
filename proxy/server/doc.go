// Package server is Crossfade's own xDS server: it brings proxies to what was published for them, in an order that loses
// no request on the way, and knows exactly what each of them has confirmed.
//
// It speaks the aggregated discovery service (ADS), incremental ("delta") for Envoy and state-of-the-world for gRPC
// clients, which know nothing else. go-control-plane has servers for both, but none that can do what a rollout rests on:
//
//   - Make before break on each stream by itself (gate.go). What one proxy has acked says nothing about its neighbour, and
//     a proxy that reconnects to a server with a newer world needs the same order as one that was there all along.
//   - Answers to what the protocol asks for and Envoy waits on: every name that is subscribed again, names that do not
//     exist, and the endpoints of a cluster that changed.
//   - What a proxy has is what it acked, not what was sent; after a rejection the innocent resources are sent again one by
//     one and the culprit's bytes never.
//
// # Parts
//
// stream is the core: one proxy's subscriptions, what it holds and what is on its way to it. It is pure: requests,
// published worlds and the time go in, responses come out; no goroutine, no clock, no network. The simulation runs a
// hundred thousand schedules against it. Server and connection are the thin shell that ties it to gRPC.
//
// # Order on one stream
//
// On the way in: CDS, EDS, LDS, RDS. A RouteConfiguration waits until each of its clusters and their endpoints are
// acked. On the way out: RDS, EDS, CDS. A cluster and its endpoints stay until no RouteConfiguration that the proxy
// may be using names the cluster. Endpoints that become none at all wait until the routes that change with them are acked.
// A stream that does not ack stays behind by itself; it holds up nobody else.
package server
