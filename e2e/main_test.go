//go:build e2e

package e2e

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

//go:embed testdata/*.yaml
var manifests embed.FS

const (
	system = "crossfade-system"
	name   = "payments"
	// margin is what a window of confirmed weight ends earlier than the next state may have been written.
	margin = 200 * time.Millisecond
	// patience is the longest wait for anything that no clock of the product explains: long enough for a machine with
	// ten times the work that it can do. Who waits for a condition loses nothing by it.
	patience = 3 * time.Minute
	// patiently is that for kubectl.
	patiently = "--timeout=3m"
)

// root is the checkout.
var root = func() string {
	dir, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return dir
}()

func TestMain(m *testing.M) {
	if os.Getenv("KUBECONFIG") == "" {
		fmt.Fprintln(os.Stderr, "the end-to-end tests need a cluster with the product: make e2e, or set KUBECONFIG and INSTANCE")
		os.Exit(2)
	}
	images := exec.Command(filepath.Join(root, ".ci", "shop"))
	images.Stdout, images.Stderr = os.Stdout, os.Stderr
	if err := images.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bring the sample service's images into the cluster:", err)
		os.Exit(1)
	}
	log.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// beating is the pulse that all tests share: each its own would be load.
func beating(t *testing.T) *live.Pulse {
	t.Helper()
	p, err := startPulse()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// startPulse begins at the first call, and ends with the process.
var startPulse = sync.OnceValues(func() (*live.Pulse, error) {
	api, err := dial()
	if err != nil {
		return nil, err
	}
	return live.StartPulse(context.Background(), api, types.NamespacedName{Namespace: "default", Name: "crossfade-e2e"})
})

func connect(t *testing.T) client.WithWatch {
	t.Helper()
	api, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func dial() (client.WithWatch, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	return client.NewWithWatch(config, client.Options{})
}

// typed is a client for what has no object, such as a container's log.
func typed(t *testing.T) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return api
}
