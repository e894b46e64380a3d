package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// used are the metrics of a process that are told. What it sends and receives is
// the whole pod's in the kernel's books, and memory that is only promised says
// nothing about a cost.
var used = []string{"_cpu_seconds_total", "_resident_memory_bytes", "_open_fds"}

// usage is what the proxy itself takes, from the kernel: CPU time, memory and
// files of Envoy (envoy_process_*) and of the agent (crossfade_agent_process_*).
// Envoy counts neither its CPU time nor its memory as the kernel sees it, and
// asking the kubelet takes rights that a team rarely has.
type usage struct {
	envoy    atomic.Int64 // Envoy's process, 0 while there is none
	gatherer prometheus.Gatherer
}

func newUsage() *usage {
	u := &usage{}
	registry := prometheus.NewRegistry()
	// Without a process there is nothing to tell; an error that is not reported
	// leaves its series out.
	registry.MustRegister(
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{Namespace: "envoy", PidFn: u.pid}),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{Namespace: "crossfade_agent", PidFn: func() (int, error) { return os.Getpid(), nil }}),
	)
	u.gatherer = registry
	return u
}

// follow says which process Envoy is; 0 for none.
func (u *usage) follow(pid int) { u.envoy.Store(int64(pid)) }

func (u *usage) pid() (int, error) {
	pid := int(u.envoy.Load())
	if pid == 0 {
		return 0, errors.New("no Envoy runs")
	}
	return pid, nil
}

// write writes it as Prometheus reads it.
func (u *usage) write(w io.Writer) error {
	families, err := u.gatherer.Gather()
	if err != nil {
		return fmt.Errorf("gather usage: %w", err)
	}
	for _, f := range families {
		if !slices.ContainsFunc(used, func(end string) bool { return strings.HasSuffix(f.GetName(), end) }) {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return fmt.Errorf("write usage: %w", err)
		}
	}
	return nil
}
