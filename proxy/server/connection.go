package server

import (
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// connection ties a stream to the wire. One goroutine receives; another one sends, and lives only while there is something
// to send. Neither holds the lock while it waits for the network.
type connection struct {
	server   *Server
	wire     wire
	view     *view
	viewName string
	node     string
	// proxy is what the proxy says of itself, as far as its view depends on it.
	proxy *corev3.Node
	// version is versionOf's.
	version string
	since   time.Time
	// number counts the streams of a server: of two streams of one node the higher one is the newer.
	number uint64
	// failed ends the stream with the first error that is put in.
	failed chan error

	mu     sync.Mutex
	stream *stream
	// sending says that a goroutine is sending. Whatever becomes due meanwhile goes out after it, merged.
	sending bool
}

// message is what requests of both protocols have in common.
type message interface {
	GetNode() *corev3.Node
	GetTypeUrl() string
	GetResponseNonce() string
	GetErrorDetail() *statuspb.Status
}

// wire is one gRPC stream, of either protocol.
type wire interface {
	recv() (message, error)
	send(response) error
	sotw() bool
}

// receive takes in requests until the stream ends.
func (c *connection) receive(m message) {
	for {
		c.handle(m)
		var err error
		if m, err = c.wire.recv(); err != nil {
			c.fail(err)
			return
		}
	}
}

// handle takes in one request and sends what follows from it.
func (c *connection) handle(m message) {
	k, served := kindOf(m.GetTypeUrl())
	if !served {
		c.server.options.Logger.V(1).Info("Proxy asks for a type that is not served", "node", c.node, "type", m.GetTypeUrl())
		return
	}
	if e := m.GetErrorDetail(); e != nil {
		c.server.rejections.Add(1)
		c.server.options.Logger.Info("Proxy rejected its configuration",
			"node", c.node, "type", m.GetTypeUrl(), "nonce", m.GetResponseNonce(), "reason", e.GetMessage())
	}
	now := c.server.options.Now()
	c.mu.Lock()
	switch m := m.(type) {
	case *discoveryv3.DeltaDiscoveryRequest:
		c.stream.deltaRequest(k, m, now)
	case *discoveryv3.DiscoveryRequest:
		c.stream.sotwRequest(k, m, now)
	}
	out := c.due(now)
	c.mu.Unlock()
	if len(out) > 0 {
		go c.pump(out)
	}
	c.server.notify()
}

// wake sends what a newly published world makes due.
func (c *connection) wake() {
	c.mu.Lock()
	busy := c.sending
	c.sending = true
	c.mu.Unlock()
	if !busy {
		go c.pump(nil)
	}
}

// due returns what to send and marks the connection as sending, unless somebody is sending already. The caller has the lock.
func (c *connection) due(now time.Time) []response {
	if c.sending {
		return nil
	}
	c.stream.advance(c.view.world.Load())
	out := c.stream.next(now)
	c.sending = len(out) > 0
	return out
}

// pump sends until nothing is due any more. A proxy that takes nothing loses its stream: it would come back with the same
// state, while a stuck one is taken for connected.
func (c *connection) pump(out []response) {
	var stuck *time.Timer
	for {
		for _, r := range out {
			if stuck == nil {
				stuck = time.AfterFunc(c.server.options.SendTimeout, func() {
					c.fail(status.Error(codes.DeadlineExceeded, "the proxy does not read its configuration"))
				})
				defer stuck.Stop()
			} else {
				stuck.Reset(c.server.options.SendTimeout)
			}
			if err := c.wire.send(r); err != nil {
				c.fail(err)
				return // The connection stays marked as sending: nobody is to try again.
			}
		}
		c.mu.Lock()
		c.sending = false
		out = c.due(c.server.options.Now())
		c.mu.Unlock()
		if len(out) == 0 {
			return
		}
	}
}

// fail ends the stream. Only the first reason counts.
func (c *connection) fail(err error) {
	select {
	case c.failed <- err:
	default:
	}
}

// deltaWire is the incremental protocol.
type deltaWire struct {
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
}

func (w deltaWire) sotw() bool { return false }

func (w deltaWire) recv() (message, error) { return w.stream.Recv() }

func (w deltaWire) send(r response) error {
	m := &discoveryv3.DeltaDiscoveryResponse{
		TypeUrl:           typeURLs[r.kind],
		Nonce:             r.nonce,
		SystemVersionInfo: r.version,
		RemovedResources:  r.removed,
		Resources:         make([]*discoveryv3.Resource, len(r.add)),
	}
	for i, res := range r.add {
		m.Resources[i] = &discoveryv3.Resource{Name: res.Name, Version: res.Version, Resource: res.Body}
	}
	return w.stream.Send(m)
}

// sotwWire is the state-of-the-world protocol.
type sotwWire struct {
	stream discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer
}

func (w sotwWire) sotw() bool { return true }

func (w sotwWire) recv() (message, error) { return w.stream.Recv() }

func (w sotwWire) send(r response) error {
	m := &discoveryv3.DiscoveryResponse{
		TypeUrl:     typeURLs[r.kind],
		Nonce:       r.nonce,
		VersionInfo: r.version,
		Resources:   make([]*anypb.Any, len(r.set)),
	}
	for i, res := range r.set {
		m.Resources[i] = res.Body
	}
	return w.stream.Send(m)
}
