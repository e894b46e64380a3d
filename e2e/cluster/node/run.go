package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/cluster/kube"
	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

// startFD is the pipe on which the parent says that the node's cable is there.
const startFD = 3

// Run is the whole life of a node's process 1. It returns only when the node
// could not be made; a program that ends is started again.
func Run(ctx context.Context, n Node, root layout.Root) error {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	if os.Getpid() != 1 {
		return errors.New("run node: this command is for process 1 of a new PID namespace: use `up`")
	}
	if err := awaitStart(); err != nil {
		return err
	}
	if err := n.enter(root); err != nil {
		return fmt.Errorf("set up file system: %w", err)
	}
	if err := n.connect(ctx); err != nil {
		return fmt.Errorf("set up network: %w", err)
	}
	s := newSupervisor(ctx, inNode("log"))
	if err := n.start(ctx, s); err != nil {
		return fmt.Errorf("start programs: %w", err)
	}
	log.Print("all programs started")
	<-ctx.Done()
	return nil
}

// awaitStart ends with an error when the parent is gone: half a node must not
// stay behind.
func awaitStart() error {
	pipe := os.NewFile(startFD, "start")
	defer func() { _ = pipe.Close() }()
	if n, err := io.ReadFull(pipe, make([]byte, 1)); n != 1 {
		return fmt.Errorf("wait for the parent: %w", err)
	}
	return nil
}

// start starts the programs in the order in which they need each other.
func (n Node) start(ctx context.Context, s *supervisor) error {
	s.keep(containerd())
	if n.Number == 0 {
		s.keep(store())
		s.keep(n.apiServer())
	}
	if err := loadPause(ctx, s); err != nil {
		return err
	}
	// Controller manager and scheduler give up without their RBAC rules, which
	// the API server makes before it calls itself ready.
	if err := n.awaitAPI(ctx); err != nil {
		return err
	}
	if n.Number == 0 {
		s.keep(n.controllerManager())
		s.keep(scheduler())
	}
	s.keep(n.kubelet())
	s.keep(n.proxy())
	return nil
}

// loadPause loads the one image that the kubelet needs for every pod.
func loadPause(ctx context.Context, s *supervisor) error {
	load := program{"load", []string{
		"ctr", "--address", layout.ContainerdSocket, "--namespace", "k8s.io",
		"images", "import", layout.InNodeImages + "/pause.tar",
	}}
	return poll(ctx, func() error { return s.once(load) })
}

func (n Node) awaitAPI(ctx context.Context) error {
	client, err := kube.New(layout.InNodePKI, n.APIURL())
	if err != nil {
		return fmt.Errorf("make API client: %w", err)
	}
	return poll(ctx, func() error { return client.Ready(ctx) })
}

// poll tries for as long as the node lives: `up` is the one with a deadline.
func poll(ctx context.Context, try func() error) error {
	for {
		if err := try(); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
