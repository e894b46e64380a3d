//go:build e2e

package e2e

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

//go:embed testdata/*.yaml
var manifests embed.FS

const (
	system = "crossfade-system"
	name   = "payments"
	// margin is what a window of confirmed weight ends earlier than this program sees the next weight written.
	margin = 300 * time.Millisecond
	// patience is the longest wait for anything that no clock of the product explains.
	patience = 90 * time.Second
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

func connect(t *testing.T) client.WithWatch {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	api, err := client.NewWithWatch(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return api
}
