package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

// Process1 is the name under which process 1 of every node runs. Nodes are
// found by their command lines, not by a PID file: nothing has to be written
// in time, so a start that was killed at any moment leaves no unknown node.
const Process1 = "crossfade-node"

// NodeArgs is the command line of process 1 of node k.
func NodeArgs(root layout.Root, i layout.Instance, k int) []string {
	return []string{Process1, "node", strconv.Itoa(i.Number), strconv.Itoa(i.Nodes), strconv.Itoa(k), string(root)}
}

// ParseNodeArgs reads what NodeArgs wrote, the first two words left out.
func ParseNodeArgs(args []string) (root layout.Root, i layout.Instance, k int, err error) {
	if len(args) != 4 {
		return "", i, 0, fmt.Errorf("node: want 4 arguments, got %d", len(args))
	}
	var numbers [3]int
	for n := range numbers {
		if numbers[n], err = strconv.Atoi(args[n]); err != nil {
			return "", i, 0, fmt.Errorf("node: argument %d: %w", n+1, err)
		}
	}
	i = layout.Instance{Number: numbers[0], Nodes: numbers[1]}
	return layout.Root(args[3]), i, numbers[2], i.Validate()
}

// Nodes are the PIDs of process 1 of each running node of the instance, by
// node number.
func Nodes(root layout.Root, number int) (map[int]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	nodes := map[int]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// Empty for kernel threads and for zombies, which are gone already.
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		if len(args) < 2 || args[0] != Process1 {
			continue
		}
		r, i, k, err := ParseNodeArgs(args[2:])
		if err == nil && r == root && i.Number == number {
			nodes[k] = pid
		}
	}
	return nodes, nil
}

// KillNodes ends the nodes of the instance and everything in them, and waits
// until the kernel has cleared them away.
func KillNodes(ctx context.Context, root layout.Root, number int) error {
	killed := map[int]bool{}
	for {
		nodes, err := Nodes(root, number)
		if err != nil {
			return err
		}
		if len(nodes) == 0 {
			awaitReaped(ctx, killed)
			return nil
		}
		for k, pid := range nodes {
			killed[pid] = true
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill node %d: %w", k, err)
			}
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("wait for the end of %d nodes: %w", len(nodes), err)
		}
	}
}

// awaitReaped waits until the machine's init has taken note of the dead, at
// most two seconds: a slow init does no harm.
func awaitReaped(ctx context.Context, pids map[int]bool) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for pid := range pids {
		for syscall.Kill(pid, 0) == nil && pause(ctx) == nil {
			continue
		}
	}
}

// pause is the time between two looks at what the kernel does by itself.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}
