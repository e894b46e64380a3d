// Package xds turns what the proxies should do (package proxy/ir) into resources
// of Envoy, and into the bootstrap of a proxy. It is pure: values in, values out.
// Serving the resources, and knowing who has them, is package proxy/server's.
//
// There is one Snapshot per view, which is a kind of proxy: "gateway/<ns>/<name>"
// for the Envoys of a gateway, with the Services that it routes to, and "mesh" for
// clients inside the cluster, with all Services. A resource is marshalled once and
// shared by all views and by all later worlds in which it is the same.
//
// The names, which operators meet in metrics and logs:
//
//	out|<ns>/<svc>|<port>|<revision>   a cluster and its endpoints
//	<ns>/<svc>:<port>                  the routes of one port of a Service
//	<svc>.<ns>:<port>                  the listener by which gRPC clients find them
//	gateway/<ns>/<name>/<listener>     the routes and the listener of a gateway
package xds
