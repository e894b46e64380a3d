package controllers

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	crmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/controllers/notify"
	"github.com/crossfade-dev/crossfade/delivery/advice"
	"github.com/crossfade-dev/crossfade/metrics"
	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/inject"
	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/server"
)

// Options are the administrator's choices.
type Options struct {
	// Proxy names the Gateway and GatewayClass that are served.
	Proxy proxy.Options
	// Views says which proxy gets what; the xDS server has to ask the same one.
	Views *Views
	// Prometheus is where checks are measured. With an empty URL every check waits
	// without a verdict.
	Prometheus metrics.Options
	// Notify are the targets that Rollouts can tell of what happens.
	Notify *notify.Targets
	// Guards stand before all that leaves.
	Guards Guards
	// Version is this program's, with which those of proxies are compared.
	Version string
	// Workers is how many Rollouts are reconciled at once; 0 stands for 8.
	Workers int
	// Now is the clock.
	Now func() time.Time
}

const defaultWorkers = 8

// NewScheme knows every kind that this package reads or writes.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, gatewayv1.Install} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("build scheme: %w", err)
		}
	}
	return scheme, nil
}

// workloadObject is a Deployment or ReplicaSet as the caches' informers receive
// it; what they hold of it is a workload.
func workloadObject(kind schema.GroupVersionKind) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	return u
}

// CacheOptions say what the informers hold: only what is used.
func CacheOptions() (cache.Options, error) {
	ours, err := labels.NewRequirement(v1alpha1.LabelRollout, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, fmt.Errorf("select holders: %w", err)
	}
	return cache.Options{
		DefaultTransform: stripManaged,
		ByObject: map[client.Object]cache.ByObject{
			workloadObject(deploymentKind):           {Transform: stripWorkload},
			workloadObject(replicaSetKind):           {Transform: stripWorkload},
			&appsv1.ControllerRevision{}:             {Label: labels.NewSelector().Add(*ours)},
			&batchv1.Job{}:                           {Label: labels.NewSelector().Add(*ours), Transform: stripJob},
			&corev1.Pod{}:                            {Transform: stripPod},
			&corev1.ConfigMap{}:                      {Field: fields.OneTermEqualSelector("metadata.name", inject.Trust)},
			&discoveryv1.EndpointSlice{}:             {Transform: stripSlice},
			&autoscalingv2.HorizontalPodAutoscaler{}: {Transform: stripAutoscaler},
			&policyv1.PodDisruptionBudget{}:          {Transform: stripBudget},
		},
	}, nil
}

// Setup wires both loops into a manager. The server's Serve is the caller's.
func Setup(ctx context.Context, mgr ctrl.Manager, xdsServer *server.Server, o Options) error {
	if err := prepareCaches(ctx, mgr); err != nil {
		return err
	}
	meters, err := newMeters(crmetrics.Registry)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if err := registerProxyMeters(crmetrics.Registry, xdsServer, o.Version); err != nil {
		return fmt.Errorf("register metrics of proxies: %w", err)
	}
	queries, err := newSource(o, meters)
	if err != nil {
		return err
	}
	wake := make(chan event.GenericEvent, 1024)
	waker := func(key types.NamespacedName) {
		ro := &v1alpha1.Rollout{}
		ro.Namespace, ro.Name = key.Namespace, key.Name
		select {
		case wake <- event.GenericEvent{Object: ro}:
		case <-ctx.Done():
		}
	}
	w := newWorld(o.Proxy.Gateway, o.Views)
	policies := newProber(mgr.GetClient(), o.Now)
	runs, err := newJobs(mgr, policies)
	if err != nil {
		return err
	}
	hooks := newAsker(meteredPoster{o.Guards.Hooks, meters.beside, o.Now}, runs, mgr.GetAPIReader(), o.Now, waker)
	beside := besides{jobs: runs, samples: newSampler(queries, runs, o.Now, waker), notices: newNotifier(meteredSender{o.Notify, meters.beside}, o.Now, waker), hooks: hooks}
	rollouts := newRolloutLoop(ctx, mgr, newProxyWatch(mgr.GetClient(), xdsServer, w, o.Version), beside, policies)
	rollouts.meters = meters
	if rollouts.observer.config, err = newConfigWatch(mgr.GetConfig(), usersOfConfig(mgr.GetClient(), waker)); err != nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	if err := mgr.Add(rollouts.observer.config); err != nil {
		return fmt.Errorf("add watch of configuration: %w", err)
	}
	owners, err := setupPolicies(ctx, mgr, xdsServer, w, o.Now)
	if err != nil {
		return err
	}
	owners.traces = o.Proxy.Collector != (ir.Collector{})
	mesh := &meshLoop{
		cache: mgr.GetClient(), options: o.Proxy, publish: xdsServer, world: w,
		statuses: &gatewayStatuses{client: mgr.GetClient(), now: o.Now}, policies: owners, wake: waker,
	}
	if err := mgr.Add(ackPump{server: xdsServer, mapper: mapper{cache: mgr.GetClient()}, wake: waker}); err != nil {
		return fmt.Errorf("add ack pump: %w", err)
	}
	if err := setupRollouts(mgr, rollouts, wake, o); err != nil {
		return fmt.Errorf("set up rollout loop: %w", err)
	}
	if err := setupFreezes(mgr, o.Now); err != nil {
		return err
	}
	if err := setupMesh(mgr, mesh); err != nil {
		return fmt.Errorf("set up mesh loop: %w", err)
	}
	if err := mgr.AddReadyzCheck("caches", cachesFilled(mgr.GetCache(), watchedKinds())); err != nil {
		return fmt.Errorf("add readiness of caches: %w", err)
	}
	return nil
}

// newRolloutLoop puts a rollout loop together from what it shares with others. Its
// clock is the sampler's; ctx lives as long as the controller does.
func newRolloutLoop(ctx context.Context, mgr ctrl.Manager, proxies *proxyWatch, b besides, policies *prober) *rolloutLoop {
	return &rolloutLoop{
		client: mgr.GetClient(), besides: b, prober: policies, process: ctx,
		events: mgr.GetEventRecorder("crossfade"),
		actor:  &actor{client: mgr.GetClient(), live: mgr.GetAPIReader()},
		observer: &observer{
			cache: mgr.GetClient(), live: mgr.GetAPIReader(), now: b.samples.now,
			proxies: proxies, prober: policies, besides: b, parser: newParser(mgr.GetClient()),
			advice: newPerGeneration(advice.Codes), matches: newPerGeneration(invalidMatch),
		},
	}
}

// prepareCaches makes the informers of the workloads and the indexes.
func prepareCaches(ctx context.Context, mgr ctrl.Manager) error {
	// An informer goes on expecting the type by which it was asked for first, and
	// what the API server sends is no workload yet.
	for _, kind := range []schema.GroupVersionKind{deploymentKind, replicaSetKind} {
		if _, err := mgr.GetCache().GetInformer(ctx, workloadObject(kind)); err != nil {
			return fmt.Errorf("watch %ss: %w", kind.Kind, err)
		}
	}
	return addIndexes(ctx, mgr.GetCache())
}

// newJobs makes what runs Jobs for hooks and checks.
func newJobs(mgr ctrl.Manager, policies *prober) (*jobs, error) {
	typed, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make a client for logs: %w", err)
	}
	logs := func(ctx context.Context, namespace, pod, container string, lines int64) (io.ReadCloser, error) {
		return typed.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{Container: container, TailLines: &lines}).Stream(ctx)
	}
	return &jobs{cache: mgr.GetClient(), api: mgr.GetClient(), logs: logs, guard: policies.jobs}, nil
}

func newSource(o Options, m *meters) (querySource, error) {
	if o.Prometheus.URL == "" {
		return nil, nil
	}
	o.Prometheus.Observe, o.Prometheus.Now, o.Prometheus.Dial = m.query, o.Now, o.Guards.Prometheus.DialContext
	s, err := metrics.New(o.Prometheus)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(o.Prometheus.URL)
	if err == nil {
		err = o.Guards.Prometheus.CheckURL(u)
	}
	if err != nil {
		return nil, fmt.Errorf("check the Prometheus URL: %w", err)
	}
	return s, nil
}

// setupRollouts watches everything that an Observation is made of.
func setupRollouts(mgr ctrl.Manager, l *rolloutLoop, wake <-chan event.GenericEvent, o Options) error {
	workers := o.Workers
	if workers == 0 {
		workers = defaultWorkers
	}
	warm := true // A standby fills its caches, so that taking over takes no list of the cluster.
	m := mapper{cache: mgr.GetClient()}
	b := ctrl.NewControllerManagedBy(mgr).Named("rollout").
		For(&v1alpha1.Rollout{}).
		WatchesRawSource(source.Channel(wake, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, EnableWarmup: &warm})
	for _, w := range m.watches() {
		b = b.Watches(w.kind, on(w.wakes))
	}
	// On a cluster before 1.36 the first two do not exist; the probe says then that
	// nothing is held.
	for _, policy := range policyKinds() {
		gvk, err := mgr.GetClient().GroupVersionKindFor(policy)
		if err != nil {
			return fmt.Errorf("look up %T: %w", policy, err)
		}
		if _, err := mgr.GetRESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version); err != nil {
			continue
		}
		b = b.Watches(policy, on(func(ctx context.Context, obj client.Object) []reconcile.Request {
			l.prober.policiesChanged()
			return m.all(ctx, obj)
		}))
	}
	return b.Complete(l)
}

// setupMesh watches everything that the proxies' configuration is made of. All
// events lead to the same request.
func setupMesh(mgr ctrl.Manager, l *meshLoop) error {
	whole := on(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "mesh"}}}
	})
	warm := true
	b := ctrl.NewControllerManagedBy(mgr).Named("mesh").WithOptions(controller.Options{EnableWarmup: &warm}).
		WatchesRawSource(source.Channel(l.world.views.grpc, whole))
	for _, kind := range meshKinds() {
		b = b.Watches(kind, whole)
	}
	return b.Complete(l)
}

// ackPump wakes the Rollouts that wait for proxies whenever an ack comes in.
type ackPump struct {
	server *server.Server
	mapper mapper
	wake   func(types.NamespacedName)
}

// Start runs until the process ends.
func (p ackPump) Start(ctx context.Context) error {
	changed, cancel := p.server.Subscribe()
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			for _, r := range p.mapper.active(ctx, "") {
				p.wake(r.NamespacedName)
			}
		}
	}
}
