package server

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	// pingAfter and pingTimeout find proxies whose node is gone: TCP alone takes a quarter of an hour for that.
	pingAfter   = 30 * time.Second
	pingTimeout = 10 * time.Second
	// maxRequest bounds a request. Who reconnects with thousands of resources lists them all.
	maxRequest = 64 << 20
	// window is how much a proxy may send ahead. Requests are a few bytes but for the first ones after a reconnect. Left to
	// itself gRPC measures each connection to find a window, with a ping for every request that comes in: twice the packets
	// and system calls of a push.
	window = 1 << 20
	// maxStreams bounds what one connection may open. A proxy needs one, and a second one while it moves.
	maxStreams = 8
	// handshakeTimeout is how long a connection may take until it has shown a certificate and begun to speak HTTP/2.
	handshakeTimeout = 10 * time.Second
)

// GRPCOptions are the options that the gRPC server should have. A connection older than maxAge, less or more by up to a
// tenth, is asked to come back, so that streams spread over the replicas again; 0 means never.
func GRPCOptions(maxAge time.Duration) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time:                  pingAfter,
			Timeout:               pingTimeout,
			MaxConnectionAge:      maxAge,
			MaxConnectionAgeGrace: pingAfter,
		}),
		// Envoy pings every 30 s as well; a server closes the connections of those who ping more often than it permits.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingTimeout, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.StaticStreamWindowSize(window),
		grpc.StaticConnWindowSize(window),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
	}
}
