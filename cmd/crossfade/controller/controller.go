// Package controller is the subcommand that delivers Rollouts: flags and wiring,
// nothing else.
package controller

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/crossfade-dev/crossfade/controllers"
	"github.com/crossfade-dev/crossfade/controllers/notify"
	"github.com/crossfade-dev/crossfade/controllers/outbound"
	"github.com/crossfade-dev/crossfade/metrics"
	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/server"
)

// Names that the manifests rely on.
const (
	leaderElectionID = "crossfade-controller"
	systemNamespace  = "crossfade-system"
)

// settings are the flags.
type settings struct {
	prometheus             metrics.Options
	gateway                types.NamespacedName
	xdsAddress, debug      string
	metricsAddress, probes string
	leaderElect            bool
	maxConnectionAge       time.Duration
	workers                int
	notify                 string
	identity               identitySettings
	injection              injectionSettings
	collector              ir.Collector
	outbound               outbound.Options
}

// parse reads the flags.
func parse(args []string) (settings, error) {
	var s settings
	var gateway, collector, hosts string
	f := flag.NewFlagSet("crossfade controller", flag.ContinueOnError)
	f.StringVar(&s.prometheus.URL, "prometheus-url", "", "where checks are measured, such as http://prometheus.monitoring:9090; empty: no check ever has a verdict")
	f.StringVar(&s.prometheus.CAFile, "prometheus-ca-file", "", "certificates that Prometheus' own must chain up to (PEM)")
	f.StringVar(&s.prometheus.BearerTokenFile, "prometheus-bearer-token-file", "", "file with the token for Prometheus; read anew for each query")
	f.DurationVar(&s.prometheus.Timeout, "prometheus-timeout", 10*time.Second, "longest time for one query")
	f.StringVar(&gateway, "gateway", "crossfade-system/crossfade", "<namespace>/<name> of the Gateway that is served")
	f.StringVar(&s.xdsAddress, "xds-address", ":15010", "where proxies get their configuration")
	f.StringVar(&s.debug, "debug-address", "127.0.0.1:15014", "where /debug/proxies tells what each proxy has; loopback only; empty: nowhere")
	f.StringVar(&s.metricsAddress, "metrics-address", ":8080", "where /metrics is served")
	f.StringVar(&s.probes, "probe-address", ":8081", "where /healthz and /readyz are served")
	f.BoolVar(&s.leaderElect, "leader-elect", false, "let only one of several replicas act")
	f.DurationVar(&s.maxConnectionAge, "max-connection-age", 30*time.Minute, "after about this time a proxy's stream is ended, so that streams spread over replicas")
	s.identity.flags(f)
	s.injection.flags(f)
	f.StringVar(&collector, "otlp-collector", "", "where sidecars send spans by OTLP over gRPC, HOST:PORT; empty: nothing is traced")
	f.StringVar(&s.notify, "notify-targets", "", "file with the targets that Rollouts can tell of what happens; it may come later. Empty: there are none")
	f.StringVar(&hosts, "hook-hosts", "", "hosts beside Services of its own namespace that a Rollout's hooks may ask, separated by commas: exact, or *.example.com")
	f.StringVar(&s.outbound.CAFile, "hook-ca-file", "", "certificates that those of hosts asked by https may chain up to, beside the system's or the public authorities' (PEM)")
	f.IntVar(&s.workers, "workers", 8, "how many Rollouts are worked on at once")
	err := f.Parse(args)
	if err != nil {
		return s, err
	}
	namespace, name, ok := strings.Cut(gateway, "/")
	if !ok || namespace == "" || name == "" {
		return s, fmt.Errorf("--gateway %q: want <namespace>/<name>", gateway)
	}
	s.gateway = types.NamespacedName{Namespace: namespace, Name: name}
	s.outbound.Hosts = splitList(hosts)
	s.collector, err = parseCollector(collector)
	return s, errors.Join(err, checkLoopback(s.debug), s.identity.validate(), s.injection.validate())
}

// splitList reads a list that is separated by commas.
func splitList(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// parseCollector reads what the administrator named; every sidecar with tracing would
// refuse a cluster without a host or a port.
func parseCollector(address string) (ir.Collector, error) {
	if address == "" {
		return ir.Collector{}, nil
	}
	host, port, err := net.SplitHostPort(address)
	number, notNumber := strconv.ParseUint(port, 10, 16)
	if err != nil || notNumber != nil || host == "" || number == 0 {
		return ir.Collector{}, fmt.Errorf("--otlp-collector %q: want HOST:PORT, such as collector.monitoring.svc.cluster.local:4317", address)
	}
	return ir.Collector{Host: host, Port: uint32(number)}, nil
}

// checkLoopback refuses to show every proxy's configuration to the network.
func checkLoopback(address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--debug-address %q: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--debug-address %q: only a loopback address, such as 127.0.0.1:15014, is allowed", address)
	}
	return nil
}

// Run serves until ctx ends; version is this program's.
func Run(ctx context.Context, version string, args []string) error {
	s, err := parse(args)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	log := zap.New(zap.UseDevMode(false))
	ctrl.SetLogger(log)
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	mgr, err := newManager(config, s)
	if err != nil {
		return err
	}
	guards, err := controllers.NewGuards(mgr.GetClient(), s.outbound)
	if err != nil {
		return err
	}
	// Most services that notices go to take no client of ours and use this one.
	http.DefaultTransport = guards.Targets
	targets, err := notify.Open(s.notify, guards.Targets)
	if err != nil {
		return fmt.Errorf("read --notify-targets: %w", err)
	}
	options := proxy.DefaultOptions()
	options.Gateway = s.gateway
	options.TrustDomain = s.identity.trustDomain
	options.Collector = s.collector
	views := controllers.NewViews(s.gateway)
	plane := s.identity.options(s.gateway)
	who, err := controllers.SetupIdentity(mgr, plane)
	if err != nil {
		return fmt.Errorf("set up identity: %w", err)
	}
	if err := mgr.AddReadyzCheck("certificates", func(*http.Request) error { return who.Authority.Ready() }); err != nil {
		return fmt.Errorf("add readiness of certificates: %w", err)
	}
	if err := s.injection.setup(mgr, who.Authority, plane); err != nil {
		return err
	}
	xdsServer := server.New(server.Options{Logger: log.WithName("xds"), Now: time.Now, Admit: who.Admit, ViewOf: views.Of})
	if err := controllers.Setup(ctx, mgr, xdsServer, controllers.Options{
		Proxy: options, Views: views, Prometheus: s.prometheus, Guards: guards, Version: version, Notify: targets, Workers: s.workers, Now: time.Now,
	}); err != nil {
		return err
	}
	if err := mgr.Add(serveXDS(s, xdsServer, who)); err != nil {
		return fmt.Errorf("add xDS server: %w", err)
	}
	if s.debug != "" {
		if err := mgr.Add(serveDebug(s.debug, xdsServer)); err != nil {
			return fmt.Errorf("add debug server: %w", err)
		}
	}
	return mgr.Start(ctx)
}

// newManager makes a manager whose caches hold only what is used, and whose
// client sends as fast as the API server takes it: fairness is the server's.
func newManager(config *rest.Config, s settings) (manager.Manager, error) {
	config.QPS, config.Burst = -1, -1
	scheme, err := controllers.NewScheme()
	if err != nil {
		return nil, err
	}
	caches, err := controllers.CacheOptions()
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Cache: caches,
		Client:                        client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Metrics:                       metricsserver.Options{BindAddress: s.metricsAddress},
		HealthProbeBindAddress:        s.probes,
		LeaderElection:                s.leaderElect,
		LeaderElectionID:              leaderElectionID,
		LeaderElectionNamespace:       systemNamespace,
		LeaderElectionReleaseOnCancel: true,
		// Ten thousand Rollouts on a busy node take longer than the default of two
		// minutes, and who gives up then begins anew. Readiness says what is missing.
		Controller: ctrlconfig.Controller{CacheSyncTimeout: 10 * time.Minute},
	})
	if err != nil {
		return nil, fmt.Errorf("make manager: %w", err)
	}
	for name, add := range map[string]func(string, healthz.Checker) error{"healthz": mgr.AddHealthzCheck, "readyz": mgr.AddReadyzCheck} {
		if err := add(name, healthz.Ping); err != nil {
			return nil, fmt.Errorf("add %s: %w", name, err)
		}
	}
	return mgr, nil
}

// serveXDS listens once this replica leads: until replicas tell each other what
// was acked, only the leader may know proxies.
func serveXDS(s settings, x *server.Server, who *controllers.Identity) manager.Runnable {
	return manager.RunnableFunc(func(ctx context.Context) error {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.xdsAddress)
		if err != nil {
			return fmt.Errorf("listen for proxies: %w", err)
		}
		g := grpc.NewServer(append(server.GRPCOptions(s.maxConnectionAge), grpc.Creds(who.Credentials))...)
		x.Register(g)
		go func() {
			<-ctx.Done()
			g.Stop() // Streams never end by themselves; proxies keep what they have.
		}()
		return g.Serve(server.Limit(ctx, listener, server.ListenLimits{}))
	})
}

func serveDebug(address string, x *server.Server) manager.Runnable {
	return manager.RunnableFunc(func(ctx context.Context) error {
		mux := http.NewServeMux()
		mux.Handle("GET /debug/proxies", x.Debug())
		h := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
		go func() {
			<-ctx.Done()
			_ = h.Close() // Nothing is lost: it only reads.
		}()
		if err := h.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve debug endpoint: %w", err)
		}
		return nil
	})
}
