package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/cluster/kube"
	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
	"github.com/crossfade-dev/crossfade/e2e/cluster/machine"
	"github.com/crossfade-dev/crossfade/e2e/cluster/node"
	"github.com/crossfade-dev/crossfade/e2e/cluster/parts"
)

const (
	// upDeadline is for the whole start, on a busy machine.
	upDeadline = 3 * time.Minute
	// upDisk keeps the kubelet from evicting pods from the first minute on.
	upDisk = 2 * machine.GiB
	// pollInterval is between two questions to the API server.
	pollInterval = 100 * time.Millisecond
)

//go:embed coredns.yaml
var coreDNSManifest string

func up(ctx context.Context, v *invocation) error {
	number, nodes := v.instanceFlag(), v.flags.Int("nodes", 1, "number of nodes")
	if err := v.parseWithoutArguments(); err != nil {
		return err
	}
	instance := layout.Instance{Number: *number, Nodes: *nodes}
	if err := instance.Validate(); err != nil {
		return err
	}
	if err := machine.CheckRoot(); err != nil {
		return err
	}
	if err := checkForeign(v.root, instance); err != nil {
		return err
	}
	if err := v.ensure(ctx, parts.ForCluster()); err != nil {
		return err
	}
	unlock, err := machine.ThisRegistry().LockInstance(ctx, instance.Number, func() {
		v.printf("instance %d is being started or stopped by another command: waiting for it", instance.Number)
	})
	if err != nil {
		return err
	}
	defer unlock()

	ctx, cancel := context.WithTimeout(ctx, upDeadline)
	defer cancel()
	s := &starter{invocation: v, Instance: instance, asked: v.given("nodes"), state: v.root.State(instance), began: time.Now()}
	return s.up(ctx)
}

// checkForeign refuses to touch what another checkout, or somebody else,
// started.
func checkForeign(root layout.Root, i layout.Instance) error {
	e, err := machine.ThisRegistry().Get(i.Number)
	if err != nil {
		return err
	}
	if e == nil {
		if machine.BridgeExists(i) {
			return fmt.Errorf("there is a link %s that this program did not make: remove it or use another -instance", i.Bridge())
		}
		return nil
	}
	if e.Root != root && isRoot(string(e.Root)) {
		return fmt.Errorf("instance %d is up from %s: use another -instance or take it down there", i.Number, e.Root)
	}
	return nil
}

// starter is the start of one instance.
type starter struct {
	*invocation
	layout.Instance
	asked bool // for this number of nodes: else one that is up is taken as it is
	state layout.State
	began time.Time
}

func (s *starter) up(ctx context.Context) error {
	// Again, now that nobody else can start it.
	if err := checkForeign(s.root, s.Instance); err != nil {
		return err
	}
	e, err := machine.ThisRegistry().Get(s.Number)
	if err != nil {
		return err
	}
	if e != nil {
		// What a checkout that is gone started is nobody's: start anew.
		healthy := e.Root == s.root && checkHealth(ctx, *e) == nil
		switch {
		case healthy && (e.Nodes == s.Nodes || !s.asked):
			s.printf("instance %d is up: export KUBECONFIG=%s", s.Number, s.kubeconfig())
			return nil
		case healthy:
			return fmt.Errorf("instance %d is up with %d node(s), not %d: take it down first", s.Number, e.Nodes, s.Nodes)
		}
		s.printf("instance %d was left half up: cleaning up", s.Number)
		if err := remove(ctx, *e); err != nil {
			return err
		}
	}
	if err := machine.CheckKernel(ctx); err != nil {
		return err
	}
	if err := machine.CheckDisk(s.root.Local(), upDisk); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.await(ctx); err != nil {
		return fmt.Errorf("%w%s\nthe logs are in %s; `up` again cleans up and starts anew", err, s.trouble(), s.state.Logs(0))
	}
	s.printf("instance %d is up: export KUBECONFIG=%s", s.Number, s.kubeconfig())
	return nil
}

// kubeconfig is the file to tell the user about.
func (s *starter) kubeconfig() string {
	if s.Number == 0 {
		return s.root.Kubeconfig()
	}
	return s.state.Kubeconfig()
}

// start makes the instance and leaves it running. What is left when it is
// killed half-way is found by the registry's entry and the names of links,
// cgroups and processes.
func (s *starter) start(ctx context.Context) error {
	s.printf("instance %d: starting %d node(s)", s.Number, s.Nodes)
	entry := machine.Entry{Root: s.root, Instance: s.Instance}
	if err := machine.ThisRegistry().Add(ctx, entry, node.MountPoints()); err != nil {
		return err
	}
	if err := s.write(); err != nil {
		return err
	}
	if err := machine.Connect(ctx, s.Instance); err != nil {
		return err
	}
	for k := range s.Nodes {
		if err := machine.MakeCgroups(s.Instance, k); err != nil {
			return err
		}
		if err := s.startNode(ctx, k); err != nil {
			return fmt.Errorf("start %s: %w", s.NodeName(k), err)
		}
	}
	return nil
}

func (s *starter) await(ctx context.Context) error {
	client, err := kube.New(s.state.PKI(), s.APIURL())
	if err != nil {
		return err
	}
	if err := s.until(ctx, "API ready", func() error { return client.Ready(ctx) }); err != nil {
		return err
	}
	// Loaded before the Deployment is there: the kubelet looks for an image, and
	// when it is missing looks again only after a back-off of 10 s and more.
	if err := s.until(ctx, "images loaded", func() error {
		return loadInto(ctx, s.root, s.Instance, []string{s.root.Image("coredns")})
	}); err != nil {
		return err
	}
	if err := s.applyCoreDNS(ctx); err != nil {
		return err
	}
	for _, name := range s.NodeNames() {
		if err := s.until(ctx, name+" ready", func() error { return client.NodeReady(ctx, name) }); err != nil {
			return err
		}
	}
	if err := s.until(ctx, "default ServiceAccount there", func() error {
		return client.Exists(ctx, "/api/v1/namespaces/default/serviceaccounts/default")
	}); err != nil {
		return err
	}
	return s.until(ctx, "DNS available", func() error {
		return client.DeploymentAvailable(ctx, "kube-system", "coredns")
	})
}

// until waits for a condition and tells when it holds. It gives up early when
// a node is gone.
func (s *starter) until(ctx context.Context, what string, check func() error) error {
	for told := time.Now(); ; {
		err := check()
		if err == nil {
			s.printf("  %5.1f s  %s", time.Since(s.began).Seconds(), what)
			return nil
		}
		if running, lost := machine.Nodes(s.root, s.Number); lost == nil && len(running) < s.Nodes {
			return fmt.Errorf("wait for %q: %d of %d nodes ended: %w", what, s.Nodes-len(running), s.Nodes, err)
		}
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			s.printf("  %5.1f s  waiting for: %s%s", time.Since(s.began).Seconds(), what, s.trouble())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %q: %w", what, errors.Join(ctx.Err(), err))
		case <-time.After(pollInterval):
		}
	}
}

// trouble is the last word of the nodes' own logs, when it is about a program
// that ended.
func (s *starter) trouble() string {
	for k := range s.Nodes {
		content, err := os.ReadFile(filepath.Join(s.state.Logs(k), "node.log"))
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(content)), "\n")
		if last := lines[len(lines)-1]; strings.Contains(last, " ended: ") {
			return fmt.Sprintf(" (%s: %s)", s.NodeName(k), last)
		}
	}
	return ""
}

func (s *starter) applyCoreDNS(ctx context.Context) error {
	t, err := template.New("coredns").Parse(coreDNSManifest)
	if err != nil {
		return fmt.Errorf("parse manifest of CoreDNS: %w", err)
	}
	var manifest bytes.Buffer
	if err := t.Execute(&manifest, map[string]any{
		"Domain": layout.ClusterDomain, "Image": layout.CoreDNSImage, "IP": s.DNSServiceIP(),
	}); err != nil {
		return fmt.Errorf("render manifest of CoreDNS: %w", err)
	}
	c := exec.CommandContext(ctx, s.root.Program("kubectl"), "--kubeconfig", s.state.Kubeconfig(),
		"apply", "--server-side", "--validate=false", "-f", "-")
	c.Stdin = &manifest
	// The cache of kubectl goes with the instance, and no proxy is between here
	// and this machine.
	c.Env = append(os.Environ(), "HOME="+string(s.state), "NO_PROXY=*", "no_proxy=*")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("apply CoreDNS: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// checkHealth returns nil when all of the instance works.
func checkHealth(ctx context.Context, e machine.Entry) error {
	running, err := machine.Nodes(e.Root, e.Number)
	if err != nil {
		return err
	}
	if len(running) != e.Nodes {
		return fmt.Errorf("%d of %d nodes are running", len(running), e.Nodes)
	}
	client, err := kube.New(e.Root.State(e.Instance).PKI(), e.APIURL())
	if err != nil {
		return err
	}
	if err := client.Ready(ctx); err != nil {
		return err
	}
	for _, name := range e.NodeNames() {
		if err := client.NodeReady(ctx, name); err != nil {
			return err
		}
	}
	return client.Exists(ctx, "/apis/apps/v1/namespaces/kube-system/deployments/coredns")
}
