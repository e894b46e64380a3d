package controllers

import (
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/server"
)

// TestIdleReconcileAsksNothing holds that a pass over a Rollout with nothing to do
// is answered from the caches alone.
func TestIdleReconcileAsksNothing(t *testing.T) {
	idle := startIdle(t, 2)
	for range 10 {
		idle.pass(t)
	}
	if n := idle.requests.Load(); n != 0 {
		t.Errorf("10 passes over an idle Rollout sent %d requests to the API server", n)
	}
	idle.testLive(t)
}

// testLive holds that what is read live, while ownership changes hands, is seen as
// what is cached.
func (l *idleLoop) testLive(t *testing.T) {
	ro := &v1alpha1.Rollout{}
	if err := l.client.Get(t.Context(), l.request.NamespacedName, ro); err != nil {
		t.Fatal(err)
	}
	cached, live := &observed{}, &observed{}
	cached.Rollout, live.Rollout = ro, ro
	if err := l.observer.workload(t.Context(), l.observer.cache, cached); err != nil {
		t.Fatal(err)
	}
	if err := l.observer.workload(t.Context(), l.observer.live, live); err != nil {
		t.Fatal(err)
	}
	if cached.Deployment == nil || len(cached.ReplicaSets) != 1 || l.requests.Load() == 0 {
		t.Fatalf("cached %+v, with %d requests for what is live", cached, l.requests.Load())
	}
	if diff := cmp.Diff(cached.Observation, live.Observation); diff != "" {
		t.Errorf("(-cached +live)\n%s", diff)
	}
}

// BenchmarkReconcileIdle is one pass over an idle Rollout, one of a hundred in its
// namespace, with the real caches of a real API server.
func BenchmarkReconcileIdle(b *testing.B) {
	idle := startIdle(b, 100)
	b.ReportAllocs()
	for b.Loop() {
		idle.pass(b)
	}
	b.ReportMetric(float64(idle.requests.Load())/float64(b.N), "requests/op")
}

// idleLoop is the rollout loop over a cluster in which nothing happens.
type idleLoop struct {
	*rolloutLoop
	request  ctrl.Request
	requests atomic.Int64
	config   *rest.Config // an administrator's
}

func (l *idleLoop) pass(t testing.TB) {
	t.Helper()
	result, err := l.Reconcile(t.Context(), l.request)
	if err != nil || !result.IsZero() {
		t.Fatalf("an idle pass: %+v, %v", result, err)
	}
}

// startIdle wires a rollout loop to the caches as Setup does, and passes over one
// of n Rollouts until it is adopted.
func startIdle(t testing.TB, n int) *idleLoop {
	t.Helper()
	log.SetLogger(logr.Discard())
	config := startAPIServer(t, envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "config", "crd"), gatewayAPI(t)}})
	crowd{client: newClient(t, config)}.populate(t, 0, n)
	out := &idleLoop{config: config, request: ctrl.Request{NamespacedName: types.NamespacedName{Namespace: namespaceOf(0), Name: nameOf(0)}}}
	counted := rest.CopyConfig(config)
	// The policies know the controller by its name; what it may is tested elsewhere.
	counted.Impersonate = rest.ImpersonationConfig{UserName: ourUser, Groups: []string{"system:masters"}}
	counted.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{next, &out.requests} })
	mgr := startCaches(t, counted)
	gateway := proxy.DefaultOptions().Gateway
	x := server.New(server.Options{Now: time.Now})
	meters, err := newMeters(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	wake := func(types.NamespacedName) {}
	beside := besides{jobs: &jobs{cache: mgr.GetClient(), api: mgr.GetClient()}, samples: newSampler(nil, nil, time.Now, wake), notices: newNotifier(nil, time.Now, wake), hooks: newAsker(nil, nil, mgr.GetAPIReader(), time.Now, wake)}
	w := newWorld(gateway, NewViews(gateway))
	w.published(nil, proxy.Output{}) // The mesh loop's first pass, over a cluster without proxies.
	out.rolloutLoop = newRolloutLoop(t.Context(), mgr, newProxyWatch(mgr.GetClient(), x, w, "v1"), beside, newProber(mgr.GetClient(), time.Now))
	out.meters = meters
	out.settle(t)
	return out
}

// settle passes until three passes on end had nothing to ask.
func (l *idleLoop) settle(t testing.TB) {
	t.Helper()
	quiet := 0
	for deadline := time.Now().Add(time.Minute); quiet < 3; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the Rollout is not idle after a minute")
		}
		l.requests.Store(0)
		result, err := l.Reconcile(t.Context(), l.request)
		if err != nil {
			t.Fatal(err)
		}
		ro := &v1alpha1.Rollout{}
		if err := l.client.Get(t.Context(), l.request.NamespacedName, ro); err != nil {
			t.Fatal(err)
		}
		if result.IsZero() && ro.Status.Phase == v1alpha1.PhaseHealthy && l.requests.Load() == 0 {
			quiet++
		} else {
			quiet = 0
		}
	}
	l.requests.Store(0)
}

// startCaches starts a manager of caches alone: no controller acts.
func startCaches(t testing.TB, config *rest.Config) ctrl.Manager {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	caches, err := CacheOptions()
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Cache: caches, Client: client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := prepareCaches(t.Context(), mgr); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if !mgr.GetCache().WaitForCacheSync(t.Context()) {
		t.Fatal("the caches do not fill")
	}
	return mgr
}

// counter counts what is sent to an API server, but for watches: these are the
// caches' own.
type counter struct {
	next http.RoundTripper
	n    *atomic.Int64
}

// RoundTrip sends a request.
func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("watch") == "" {
		c.n.Add(1)
	}
	return c.next.RoundTrip(r)
}
