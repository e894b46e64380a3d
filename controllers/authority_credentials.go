package controllers

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/credentials"

	"github.com/crossfade-dev/crossfade/proxy/identity"
)

// proxyCredentials is TLS for the xDS server that tells log and metric whom it
// has refused, which gRPC keeps to itself.
type proxyCredentials struct {
	credentials.TransportCredentials
	log    logr.Logger
	meters *authorityMeters
}

// Credentials are those of the xDS server: both sides show a certificate.
func (a *Authority) credentials(log logr.Logger, meters *authorityMeters) credentials.TransportCredentials {
	return proxyCredentials{TransportCredentials: credentials.NewTLS(a.mutualConfig()), log: log, meters: meters}
}

// ServerHandshake lets in who has a certificate of the mesh.
func (c proxyCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	out, info, err := c.TransportCredentials.ServerHandshake(conn)
	if err != nil {
		reason := handshakeReason(err)
		c.meters.refused(reason)
		c.log.Info("Refused a connection", "from", conn.RemoteAddr().String(), "reason", string(reason), "why", err.Error())
	}
	return out, info, err
}

// Clone copies them, as gRPC asks for.
func (c proxyCredentials) Clone() credentials.TransportCredentials {
	c.TransportCredentials = c.TransportCredentials.Clone()
	return c
}

// handshakeReason finds out why a handshake failed. Who speaks no TLS, and who
// shows no certificate, is refused by crypto/tls in its own words.
func handshakeReason(err error) identity.Reason {
	var refusal *identity.Refusal
	switch {
	case errors.As(err, &refusal):
		return refusal.Reason
	case errors.Is(err, context.DeadlineExceeded):
		return identity.ReasonRate
	case strings.Contains(err.Error(), "first record does not look like a TLS handshake"), strings.Contains(err.Error(), "didn't provide a certificate"):
		return identity.ReasonNoCertificate
	}
	return identity.ReasonMalformed
}
