package server

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// Options are what a Server needs from outside. The zero value of a limit means its default.
type Options struct {
	Logger logr.Logger
	// Now is the clock; required.
	Now func() time.Time
	// Admit says whether whoever has opened a stream may be the proxy that it says it is; ctx is the stream's, with what is
	// known of the peer. An error refuses the stream, and the proxy sees its text. Without it everybody is admitted, which
	// only tests may do.
	Admit func(ctx context.Context, node *corev3.Node) error
	// ViewOf says which snapshot a proxy gets; required. An error refuses the stream, and the proxy sees its text.
	ViewOf func(*corev3.Node) (view string, err error)
	// StreamsPerSecond is how many new streams are taken per second, with a burst of as many; 100 by default. The others are
	// told to come back, so that the proxies of a whole cluster do not all get their first configuration at once.
	StreamsPerSecond float64
	// SendTimeout is how long a proxy may take no byte before it loses its stream; 30 s by default.
	SendTimeout time.Duration
}

// Server serves snapshots over ADS and keeps account of what each proxy has confirmed. It is safe for concurrent use.
type Server struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer

	options    Options
	limiter    *rate.Limiter
	rejections atomic.Uint64
	// publishing keeps worlds in their order; it is never held while something is sent.
	publishing sync.Mutex
	// derived are the worlds that were made last, under publishing.
	derived []derivation

	mu          sync.Mutex
	views       map[string]*view
	connections map[*connection]struct{}
	accepted    uint64
	subscribers map[chan struct{}]struct{}
}

// view is what one kind of proxy has in common: nothing but the world that they should have.
type view struct {
	world atomic.Pointer[world]
}

// New returns a Server that has nothing to serve yet: until the first Publish of a view its proxies are told to come back.
func New(options Options) *Server {
	if options.StreamsPerSecond <= 0 {
		options.StreamsPerSecond = 100
	}
	if options.SendTimeout <= 0 {
		options.SendTimeout = 30 * time.Second
	}
	return &Server{
		options:     options,
		limiter:     rate.NewLimiter(rate.Limit(options.StreamsPerSecond), max(1, int(options.StreamsPerSecond))),
		views:       map[string]*view{},
		connections: map[*connection]struct{}{},
		subscribers: map[chan struct{}]struct{}{},
	}
}

// Register makes the gRPC server serve ADS.
func (s *Server) Register(g *grpc.Server) {
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
}

// Publish replaces what the proxies of a view should have. It returns at once; each stream goes there at its own pace, make
// before break. The snapshot must not be changed afterwards.
func (s *Server) Publish(name string, snap *xds.Snapshot) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	s.mu.Lock()
	v := s.views[name]
	if v == nil {
		v = &view{}
		s.views[name] = v
	}
	s.mu.Unlock()

	before := v.world.Load()
	w := s.derive(before, snap)
	if before != nil && !w.differs() {
		return
	}
	v.world.Store(w)
	s.mu.Lock()
	connections := slices.Collect(maps.Keys(s.connections))
	s.mu.Unlock()
	for _, c := range connections {
		if c.view == v {
			c.wake()
		}
	}
	s.notify()
}

// derivation is a world and what it was made of.
type derivation struct {
	before *world
	snap   *xds.Snapshot
	world  *world
}

// derivationsKept is how many worlds are remembered: as many kinds of views as usually differ from one another.
const derivationsKept = 16

// derive makes the world that follows another one. Views that had the same and get the same, as the sidecars of most
// namespaces do, share it: what changed is found once.
func (s *Server) derive(before *world, snap *xds.Snapshot) *world {
	for _, d := range s.derived {
		if d.before == before && d.snap == snap {
			return d.world
		}
	}
	w := newWorld(before, snap)
	if len(s.derived) == derivationsKept {
		s.derived = slices.Delete(s.derived, 0, 1)
	}
	s.derived = append(s.derived, derivation{before, snap, w})
	return w
}

// Reassign asks for the view of every connected proxy again, and ends the streams of those that have got another one: they
// come back for it. It is for policies that apply to a pod from now on, not for every change of one.
func (s *Server) Reassign() {
	s.mu.Lock()
	connections := slices.Collect(maps.Keys(s.connections))
	s.mu.Unlock()
	for _, c := range connections {
		if view, err := s.options.ViewOf(c.proxy); err == nil && view != c.viewName {
			c.fail(status.Errorf(codes.Unavailable, "the proxy belongs to view %q now", view))
		}
	}
}

// Subscribe returns a channel that gets a signal after acks, rejections, published worlds, connects and disconnects.
// Signals that nobody has taken yet are one. The function ends the subscription.
func (s *Server) Subscribe() (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	s.mu.Lock()
	s.subscribers[ch] = struct{}{}
	s.mu.Unlock()
	return ch, func() {
		s.mu.Lock()
		delete(s.subscribers, ch)
		s.mu.Unlock()
	}
}

// Rejections counts the responses that proxies refused since the server was made.
func (s *Server) Rejections() uint64 {
	return s.rejections.Load()
}

// StreamAggregatedResources serves one stream of state-of-the-world ADS.
func (s *Server) StreamAggregatedResources(g discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return s.serve(g.Context(), sotwWire{g})
}

// DeltaAggregatedResources serves one stream of incremental ADS.
func (s *Server) DeltaAggregatedResources(g discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.serve(g.Context(), deltaWire{g})
}

// serve runs one stream until it ends.
func (s *Server) serve(ctx context.Context, w wire) error {
	if !s.limiter.AllowN(s.options.Now(), 1) {
		return status.Error(codes.ResourceExhausted, "too many new streams, come back in a second")
	}
	first, err := w.recv()
	if err != nil {
		return err
	}
	node := first.GetNode()
	if s.options.Admit != nil {
		if err := s.options.Admit(ctx, node); err != nil {
			return status.Error(codes.PermissionDenied, err.Error())
		}
	}
	viewName, err := s.options.ViewOf(node)
	if err != nil {
		return status.Error(codes.PermissionDenied, err.Error())
	}
	c, err := s.connect(node, viewName, w)
	if err != nil {
		return err
	}
	defer s.disconnect(c)
	go c.receive(first)
	select {
	case <-ctx.Done():
		return status.Error(codes.Canceled, "the proxy left")
	case err := <-c.failed:
		if errors.Is(err, io.EOF) {
			return nil // The proxy closed its side in good order.
		}
		return err
	}
}

// connect enters a stream into the books. From here on it misses no world.
func (s *Server) connect(proxy *corev3.Node, viewName string, w wire) (*connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.views[viewName]
	if v == nil || v.world.Load() == nil {
		return nil, status.Errorf(codes.Unavailable, "nothing is published for %q yet", viewName)
	}
	s.accepted++
	c := &connection{
		server: s, wire: w, view: v, viewName: viewName, node: proxy.GetId(), since: s.options.Now(), number: s.accepted,
		proxy:   &corev3.Node{Id: proxy.GetId(), Cluster: proxy.GetCluster()}, // Envoy also lists all its extensions.
		version: versionOf(proxy),
		failed:  make(chan error, 1),
		stream:  newStream(v.world.Load(), w.sotw()),
	}
	s.connections[c] = struct{}{}
	s.options.Logger.V(1).Info("Proxy connected", "node", c.node, "view", viewName, "stream", c.number)
	return c, nil
}

// maxVersion bounds what is kept of a proxy's version: any text may stand there.
const maxVersion = 64

// versionOf is the version of the program that runs the proxy, as the proxy says; empty if it says none.
func versionOf(proxy *corev3.Node) string {
	version := proxy.GetMetadata().GetFields()[xds.NodeVersion].GetStringValue()
	return version[:min(len(version), maxVersion)]
}

// disconnect forgets a stream, and with it all that is known of it.
func (s *Server) disconnect(c *connection) {
	s.mu.Lock()
	delete(s.connections, c)
	s.mu.Unlock()
	s.options.Logger.V(1).Info("Proxy disconnected", "node", c.node, "view", c.viewName, "stream", c.number)
	s.notify()
}

// notify signals all subscribers.
func (s *Server) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ch := range s.subscribers {
		select {
		case ch <- struct{}{}:
		default: // A signal is waiting already.
		}
	}
}
