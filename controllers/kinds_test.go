package controllers

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/server"
)

// TestCachesFilled: a replica is not ready as long as a single kind is missing,
// whichever that is.
func TestCachesFilled(t *testing.T) {
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodGet, "/readyz", nil)
	kinds := watchedKinds()
	if len(kinds) < 15 {
		t.Errorf("only %d kinds are waited for", len(kinds))
	}
	for _, last := range kinds {
		gvk, err := apiutil.GVKForObject(last, scheme)
		if err != nil {
			t.Fatal(err)
		}
		informer := controllertest.NewFakeInformer()
		informers := &informertest.FakeInformers{Scheme: scheme, InformersByGVK: map[schema.GroupVersionKind]cache.SharedIndexInformer{gvk: informer}}
		check := cachesFilled(informers, kinds)
		if err := check(request); err == nil || !strings.Contains(err.Error(), gvk.Kind) {
			t.Errorf("the cache of %s is empty, but the replica says %v", gvk.Kind, err)
		}
		informer.Synced()
		if err := check(request); err != nil {
			t.Errorf("all caches are filled, %s as the last one, but the replica says %v", gvk.Kind, err)
		}
	}
	broken := &informertest.FakeInformers{Scheme: scheme, Error: errors.New("no matches for kind")}
	if err := cachesFilled(broken, kinds)(request); err == nil || !strings.Contains(err.Error(), "no matches for kind") {
		t.Errorf("a kind is not there, but the replica says %v", err)
	}
}

// TestReadyOnceCachesAreFilled: a replica that stands by is ready when it could take
// over, and not as long as the cluster lacks a kind.
func TestReadyOnceCachesAreFilled(t *testing.T) {
	config := startAPIServer(t, envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "config", "crd")}})
	const lease = "taken"
	holder, seconds, now := "another", int32(3600), metav1.NewMicroTime(time.Now())
	if err := newClient(t, config).Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: lease},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now},
	}); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	mgr := startStandby(t, config, ctrl.Options{
		HealthProbeBindAddress: address, Metrics: metricsserver.Options{BindAddress: "0"},
		LeaderElection: true, LeaderElectionID: lease, LeaderElectionNamespace: "default",
	})
	awaitStatus(t, "http://"+address+"/readyz/caches", http.StatusInternalServerError)
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{gatewayAPI(t)}}); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, "http://"+address+"/readyz/caches", http.StatusOK)
	select {
	case <-mgr.Elected():
		t.Error("the replica leads: this says nothing of one that stands by")
	default:
	}
}

// startStandby starts the whole controller but for identity and injection.
func startStandby(t *testing.T, config *rest.Config, o ctrl.Options) ctrl.Manager {
	t.Helper()
	var err error
	if o.Scheme, err = NewScheme(); err != nil {
		t.Fatal(err)
	}
	if o.Cache, err = CacheOptions(); err != nil {
		t.Fatal(err)
	}
	o.Client.Cache = &client.CacheOptions{Unstructured: true}
	mgr, err := ctrl.NewManager(config, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gateway := proxy.DefaultOptions().Gateway
	if err := Setup(ctx, mgr, server.New(server.Options{Now: time.Now}), Options{
		Proxy: proxy.DefaultOptions(), Views: NewViews(gateway), Now: time.Now, Version: "v1",
	}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return mgr
}

// awaitStatus asks until the answer has this status, for a minute at most.
func awaitStatus(t *testing.T, url string, want int) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		response, err := http.Get(url)
		if err != nil {
			last = err.Error()
			continue
		}
		_ = response.Body.Close()
		if last = response.Status; response.StatusCode == want {
			return
		}
	}
	t.Fatalf("%s never said %d; last: %s", url, want, last)
}
