package controllers

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/go-logr/logr"
	"google.golang.org/grpc/credentials"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	crmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/crossfade-dev/crossfade/proxy/certificates"
	"github.com/crossfade-dev/crossfade/proxy/identity"
	"github.com/crossfade-dev/crossfade/proxy/server"
)

// AuthorityOptions are the administrator's choices about identity. All are
// required but Pod.
type AuthorityOptions struct {
	// TrustDomain is the first part of every identity of this mesh.
	TrustDomain string
	// Lifetimes are its clocks.
	Lifetimes identity.Lifetimes
	// Namespace is the control plane's own: its Secrets and Services are there.
	Namespace string
	// ClusterDomain is the domain of the cluster's own DNS names, such as cluster.local.
	ClusterDomain string
	// Pod is the name of this replica's pod; empty outside of a cluster, where there
	// is no pod to be found by.
	Pod string
	// Gateway is the Gateway whose pods may ask for its configuration.
	Gateway types.NamespacedName
	// Address is where certificates are asked for.
	Address string
	// Now is the clock, Random where keys and serial numbers come from.
	Now    func() time.Time
	Random io.Reader
}

// The Services of the control plane: where certificates are asked for, and where
// proxies get their configuration.
const (
	ServiceController = "crossfade-controller"
	ServiceXDS        = "crossfade-xds"
)

// FullName is the DNS name of one of its Services that can be looked up from everywhere in the
// cluster.
func (o AuthorityOptions) FullName(service string) string {
	return service + "." + o.Namespace + ".svc." + o.ClusterDomain
}

// serverNames are the DNS names of the control plane's certificate.
func (o AuthorityOptions) serverNames() []string {
	var out []string
	for _, service := range []string{ServiceController, ServiceXDS} {
		out = append(out, service+"."+o.Namespace+".svc", o.FullName(service), service+"."+o.Namespace)
	}
	return out
}

// Identity is all of the control plane that has to do with who is who.
type Identity struct {
	// Authority signs, and has the control plane's own certificate.
	Authority *Authority
	// Admit is the xDS server's option of that name.
	Admit func(ctx context.Context, node *corev3.Node) error
	// Credentials are those of the xDS server's transport.
	Credentials credentials.TransportCredentials
}

// The rights of what is set up here. A rule for create cannot name the object, so
// the other verbs have rules of their own that do.
//
// +kubebuilder:rbac:groups="",namespace=crossfade-system,resources=secrets,verbs=create
// +kubebuilder:rbac:groups="",namespace=crossfade-system,resources=secrets,resourceNames=crossfade-ca;crossfade-signer,verbs=get;update
// +kubebuilder:rbac:groups="",namespace=crossfade-system,resources=pods,verbs=patch
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=create
// +kubebuilder:rbac:groups="",resources=configmaps,resourceNames=crossfade-trust,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create

// SetupIdentity wires the authority into a manager: the loop over its Secrets, the
// trust bundles, the endpoint for certificates, and the leader's label.
func SetupIdentity(mgr ctrl.Manager, o AuthorityOptions) (*Identity, error) {
	log := mgr.GetLogger().WithName("identity")
	authority := newAuthority(o)
	meters, err := newAuthorityMeters(crmetrics.Registry, authority)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	bundles := &trustLoop{cache: mgr.GetClient(), client: mgr.GetClient(), authority: authority, system: o.Namespace}
	if err := setupBundles(mgr, bundles); err != nil {
		return nil, fmt.Errorf("set up trust bundles: %w", err)
	}
	pods := &podBinding{
		cache: mgr.GetClient(), live: mgr.GetAPIReader(), client: mgr.GetClient(), authority: authority,
		gateway: o.Gateway, meters: meters, log: log,
	}
	runnables := []manager.Runnable{
		&authorityLoop{
			authority: authority, client: mgr.GetClient(), live: mgr.GetAPIReader(), namespace: o.Namespace,
			every: lookEvery, leads: mgr.Elected(), published: bundles.published, log: log,
		},
		&certificateServer{address: o.Address, log: log, authority: authority, handler: certificates.NewEndpoint(certificates.Options{
			Logger: log, Now: o.Now, Authenticate: pods.authenticate, Sign: authority.sign, Observe: meters.request,
		})},
	}
	if o.Pod != "" {
		runnables = append(runnables, leaderLabel{
			live: mgr.GetAPIReader(), api: mgr.GetClient(), self: types.NamespacedName{Namespace: o.Namespace, Name: o.Pod}, log: log,
		})
	}
	for _, r := range runnables {
		if err := mgr.Add(r); err != nil {
			return nil, fmt.Errorf("add %T: %w", r, err)
		}
	}
	return &Identity{Authority: authority, Admit: pods.Admit, Credentials: authority.credentials(log, meters)}, nil
}

// certificateServer serves the endpoint for certificates, at every replica.
type certificateServer struct {
	address   string
	log       logr.Logger
	authority *Authority
	handler   http.Handler
}

// NeedLeaderElection is false: a pod that starts must not wait for a leader.
func (s *certificateServer) NeedLeaderElection() bool { return false }

// Start serves until ctx ends.
func (s *certificateServer) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listen for requests for certificates: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST "+certificates.Path, s.handler)
	h := &http.Server{
		Handler: mux, TLSConfig: s.authority.ServerConfig(),
		// One short request and its answer; who is slower than that is no agent of ours.
		ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10,
		// Handshakes that fail are everyday affairs: port scans, and agents that have an older root.
		ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(s.log), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = h.Close() })
	defer stop()
	if err := h.ServeTLS(server.Limit(ctx, listener, server.ListenLimits{}), "", ""); ctx.Err() == nil {
		return fmt.Errorf("serve certificates: %w", err)
	}
	return nil
}
