//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/e2e/live"
	"github.com/crossfade-dev/crossfade/e2e/load"
)

// step is a step of the Rollout; Pause is a duration, "endless", or empty.
type step struct {
	Weight int
	Pause  string
}

// setup says what a scene begins with.
type setup struct {
	Namespace string
	Replicas  int
	Steps     []step
	// Strategy is another one than steps of weight, as YAML on one line.
	Strategy string
	Check    bool
	// Checks are written as they are, one line each, in place of Check's.
	Checks     []string
	AckTimeout string
	Deadline   int
	// Notify is the target that is told of everything.
	Notify string
	// GRPC adds a port and a route for calls; Meshed has them, too.
	GRPC bool
	// Meshed labels the namespace, as the tutorials of meshes do.
	Meshed bool
}

// scene is a namespace with the application, its Rollout, and clients.
type scene struct {
	*testing.T
	setup
	ctx     context.Context
	api     client.WithWatch
	typed   kubernetes.Interface
	rollout *live.Follower[live.Rollout]
	service *live.Follower[corev1.Service]
	pulse   *live.Pulse
	gateway string
	clients []*load.Run
}

// begin sets a scene: the application runs, is reachable through the gateway and is adopted.
func begin(t *testing.T, s setup) *scene {
	t.Helper()
	c := stage(t, s)
	c.adopt()
	return c
}

// stage sets a scene without a Rollout.
func stage(t *testing.T, s setup) *scene {
	t.Helper()
	s.Namespace = "e2e-" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(strings.TrimPrefix(t.Name(), "Test")))
	if s.Replicas == 0 {
		s.Replicas = 4
	}
	if s.Steps == nil {
		s.Steps = []step{{20, "3s"}, {50, "3s"}}
	}
	if s.AckTimeout == "" {
		s.AckTimeout = "60s"
	}
	if s.Deadline == 0 {
		s.Deadline = 300
	}
	// Not t.Context(), which is over when the clean-up begins.
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	t.Cleanup(cancel)
	c := &scene{T: t, setup: s, ctx: ctx, api: connect(t), typed: typed(t)}
	c.kubectl("delete", "namespace", s.Namespace, "--ignore-not-found", patiently)
	t.Cleanup(c.leave)
	c.apply("app.yaml")
	c.kubectl("rollout", "status", "deployment/"+name, patiently)
	c.service = live.Follow[corev1.Service](ctx, c.api, schema.GroupVersionKind{Version: "v1", Kind: "Service"}, c.key())
	c.rollout = live.FollowRollout(ctx, c.api, s.Namespace, name)
	c.gateway = c.gatewayAddress()
	c.pulse = beating(t)
	c.reachable()
	return c
}

// leave ends a scene; of a failed one it keeps what is needed to understand it.
func (s *scene) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.ctx = ctx
	for _, c := range s.clients {
		c.Stop()
	}
	if s.Failed() {
		s.dump()
	}
	if os.Getenv("KEEP_NAMESPACES") == "" {
		_, _ = s.try("delete", "namespace", s.Namespace, "--wait=false")
	}
}

// dump writes the scene's objects, its history and the controller's log below .local/e2e-artifacts.
func (s *scene) dump() {
	dir := filepath.Join(root, ".local", "e2e-artifacts", s.Namespace)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.Log(err)
		return
	}
	write := func(file, text string) {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			s.Log(err)
		}
	}
	for file, args := range map[string][]string{
		"objects.yaml":    {"get", "rollout,deployment,replicaset,service,endpointslice,pod,controllerrevision", "-o", "yaml"},
		"objects.txt":     {"get", "rollout,deployment,replicaset,service,pod", "-o", "wide"},
		"events.txt":      {"get", "events", "--sort-by=.metadata.creationTimestamp"},
		"controller.log":  {"-n", system, "logs", "deployment/crossfade-controller", "--tail=2000"},
		"controller-.log": {"-n", system, "logs", "deployment/crossfade-controller", "--previous", "--tail=500"},
		"gateway.log":     {"-n", system, "logs", "-l", "crossfade.dev/proxy=gateway", "--tail=300", "--prefix"},
		"system.txt":      {"-n", system, "get", "pods,events", "-o", "wide"},
	} {
		out, _ := s.try(args...) // what kubectl says when it fails is worth keeping, too
		write(file, out)
	}
	if s.rollout == nil {
		s.Logf("kept in %s: objects, events, logs", dir)
		return // The application never ran.
	}
	var history strings.Builder
	for _, state := range s.rollout.States() {
		fmt.Fprintf(&history, "%s %v\n", state.At.Format("15:04:05.000"), state.Object)
	}
	write("history.txt", history.String())
	s.Logf("kept in %s: objects, events, logs, the Rollout's history. Its last state: %v", dir, s.rollout.Last().Object)
}

func (s *scene) key() types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: name}
}

// adopt applies the Rollout and waits until it is Healthy. No pod may be touched by that.
func (s *scene) adopt() {
	s.Helper()
	before := s.pods()
	s.rollout.SkipAll()
	s.apply("rollout.yaml")
	s.await("is Healthy", live.Rollout.Healthy)
	s.samePods("adoption", before, s.pods())
}

func (s *scene) gatewayAddress() string {
	s.Helper()
	return strings.TrimSpace(s.kubectl("-n", system, "get", "service", "crossfade-gateway", "-o", "jsonpath={.spec.clusterIP}"))
}

// reachable waits until the gateway serves the scene's host.
func (s *scene) reachable() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	for {
		run, err := load.Start(ctx, load.Options{URL: "http://" + s.gateway + "/", Host: s.Namespace + ".example", Rate: 1, Requests: 1, Protocol: load.NewConnections})
		if err != nil {
			s.Fatal(err)
		}
		<-run.Done()
		samples := run.Stop()
		if len(samples) == 1 && !samples[0].Lost() {
			return
		}
		select {
		case <-ctx.Done():
			s.Fatalf("the gateway does not serve %s.example; the last answer: %s", s.Namespace, load.Describe(samples))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
