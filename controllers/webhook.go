package controllers

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	crmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/source"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/inject"
)

// The list of all configurations is for Istio's; only our own is written.
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,verbs=get;list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,resourceNames=inject.crossfade.dev,verbs=patch

// webhookName is the MutatingWebhookConfiguration of config/webhook.
const webhookName = "inject.crossfade.dev"

// Paths of the webhook. The API server has chosen one by the labels of the
// namespace, which it knows first-hand: a namespace's first pod may be here
// before any cache of ours has seen the namespace.
const (
	pathNamespace = "/inject"
	pathIstio     = "/inject/istio"
	pathPod       = "/inject/pod"
)

// servingCertificate is what the webhook shows the API server, and by which root
// the API server knows it.
type servingCertificate interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Bundle is PEM, empty while it is not known.
	Bundle() []byte
	// Subscribe returns a channel that gets a signal after each change of the
	// bundle, and a function that ends that.
	Subscribe() (<-chan struct{}, func())
}

// WebhookOptions are what the webhook is to do.
type WebhookOptions struct {
	// Address is where it listens, such as :9443.
	Address string
	// Inject is what pods get. IstioInstalled is found out and need not be set.
	Inject inject.Options
	// Certificate is an Authority.
	Certificate servingCertificate
}

// SetupWebhook serves the webhook on every replica, from its start on, and lets
// the leader tell the API server by which root to know it.
func SetupWebhook(mgr ctrl.Manager, o WebhookOptions) error {
	server, err := newWebhookServer(o)
	if err != nil {
		return err
	}
	meters, err := newInjectionMeters(crmetrics.Registry)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	i := &injector{options: o.Inject, configurations: mgr.GetCache(), meters: meters}
	for path, namespace := range map[string]map[string]string{
		pathNamespace: {v1alpha1.LabelInjection: v1alpha1.InjectionEnabled},
		pathIstio:     {v1alpha1.LabelIstioInjection: v1alpha1.InjectionEnabled},
		pathPod:       nil,
	} {
		server.Register(path, bounded(&admission.Webhook{Handler: i.under(namespace)}))
	}
	if err := mgr.Add(server); err != nil {
		return fmt.Errorf("add webhook server: %w", err)
	}
	if err := mgr.AddReadyzCheck("webhook", server.StartedChecker()); err != nil {
		return fmt.Errorf("add readiness of the webhook: %w", err)
	}
	if err := setupIstioWatch(mgr, meters); err != nil {
		return fmt.Errorf("watch for Istio: %w", err)
	}
	return setupBundle(mgr, o.Certificate)
}

func newWebhookServer(o WebhookOptions) (webhook.Server, error) {
	host, port, err := net.SplitHostPort(o.Address)
	if err != nil {
		return nil, fmt.Errorf("read the webhook's address: %w", err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("read the webhook's port: %w", err)
	}
	return webhook.NewServer(webhook.Options{Host: host, Port: int(number), TLSOpts: []func(*tls.Config){func(c *tls.Config) {
		c.GetCertificate = o.Certificate.GetCertificate
		c.MinVersion = tls.VersionTLS13
	}}}), nil
}

// The largest request has a pod of 1.5 MiB in it, which is what etcd takes; the
// API server waits for 5 s.
const (
	maxReview     = 2 << 20
	reviewTimeout = 5 * time.Second
)

// bounded keeps whoever reaches the port, which anybody in the cluster can, from
// filling the memory.
func bounded(h http.Handler) http.Handler {
	return http.TimeoutHandler(http.MaxBytesHandler(h, maxReview), reviewTimeout, "")
}

// injectionMeters count what the webhook does.
type injectionMeters struct {
	injections *prometheus.CounterVec
	istio      prometheus.Gauge
}

func newInjectionMeters(registry prometheus.Registerer) (*injectionMeters, error) {
	m := &injectionMeters{
		injections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crossfade_injections_total", Help: "Pods that the webhook was asked about, by what became of them: Injected, Refused, Failed, or why they were left alone.",
		}, []string{"result"}),
		istio: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "crossfade_istio_injector", Help: "1 while Istio's injector is installed, which makes ours leave the label istio-injection to it.",
		}),
	}
	if err := registerAll(registry, m.injections, m.istio); err != nil {
		return nil, err
	}
	return m, nil
}

// setupBundle lets the leader keep caBundle right, whoever changes it.
func setupBundle(mgr ctrl.Manager, certificate servingCertificate) error {
	changed := make(chan event.GenericEvent, 1)
	if err := mgr.Add(webhookPump{certificate: certificate, changed: changed}); err != nil {
		return fmt.Errorf("add bundle pump: %w", err)
	}
	err := ctrl.NewControllerManagedBy(mgr).Named("webhook-bundle").
		For(&admissionv1.MutatingWebhookConfiguration{}, builderPredicate(func(o client.Object) bool { return o.GetName() == webhookName })).
		WatchesRawSource(source.Channel(changed, &handler.EnqueueRequestForObject{})).
		Complete(&webhookBundle{client: mgr.GetClient(), certificate: certificate})
	if err != nil {
		return fmt.Errorf("set up bundle loop: %w", err)
	}
	return nil
}

// setupIstioWatch runs on every replica: each has to know by itself.
func setupIstioWatch(mgr ctrl.Manager, m *injectionMeters) error {
	follower := false
	return ctrl.NewControllerManagedBy(mgr).Named("istio").
		WithOptions(controller.Options{NeedLeaderElection: &follower}).
		For(&admissionv1.MutatingWebhookConfiguration{}, builderPredicate(func(client.Object) bool { return true })).
		Complete(&istioWatch{configurations: mgr.GetCache(), meters: m})
}

// webhookPump wakes the bundle loop when the roots change.
type webhookPump struct {
	certificate servingCertificate
	changed     chan<- event.GenericEvent
}

var _ manager.LeaderElectionRunnable = webhookPump{}

// NeedLeaderElection says that only the leader, who writes, needs to know.
func (webhookPump) NeedLeaderElection() bool { return true }

// Start runs until the process ends, or leads no more.
func (p webhookPump) Start(ctx context.Context) error {
	signals, cancel := p.certificate.Subscribe()
	defer cancel()
	for {
		// Once at the start, too: the first change may have been before.
		c := &admissionv1.MutatingWebhookConfiguration{}
		c.Name = webhookName
		select {
		case p.changed <- event.GenericEvent{Object: c}:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-signals:
		case <-ctx.Done():
			return nil
		}
	}
}
