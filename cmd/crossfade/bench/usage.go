package bench

import (
	"bytes"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Sample is what a proxy has used at one time: Envoy and the agent beside it.
type Sample struct {
	// At is when it was read.
	At time.Time
	// CPU is the time on a processor since it started, in seconds.
	CPU float64
	// Memory is what it has in memory (resident), in bytes.
	Memory float64
}

// Pair is what a proxy had used before a round and after it.
type Pair struct{ Before, After Sample }

// parts of a proxy, as they name their metrics.
var parts = [...]string{"envoy", "crossfade_agent"}

// readSample reads a proxy's metrics. False when they do not tell what it uses:
// one that was injected by an earlier version does not.
func readSample(text []byte, at time.Time) (Sample, bool) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return Sample{}, false
	}
	s := Sample{At: at}
	for _, part := range parts {
		cpu, memory := families[part+"_process_cpu_seconds_total"], families[part+"_process_resident_memory_bytes"]
		if len(cpu.GetMetric()) != 1 || len(memory.GetMetric()) != 1 {
			return Sample{}, false
		}
		s.CPU += cpu.GetMetric()[0].GetCounter().GetValue()
		s.Memory += memory.GetMetric()[0].GetGauge().GetValue()
	}
	return s, true
}

// cores is how many processors were used on average over the pairs. False when
// none can be counted: a process that was restarted in between began at 0 again.
func cores(pairs []Pair) (float64, bool) {
	used, passed := 0.0, 0.0
	for _, p := range pairs {
		if cpu, took := p.After.CPU-p.Before.CPU, p.After.At.Sub(p.Before.At).Seconds(); cpu >= 0 && took > 0 {
			used, passed = used+cpu, passed+took
		}
	}
	return used / max(passed, 1e-9), passed > 0
}
