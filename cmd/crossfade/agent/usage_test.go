package agent

import (
	"os"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	u := newUsage()
	names := func() map[string]bool {
		t.Helper()
		var b strings.Builder
		if err := u.write(&b); err != nil {
			t.Fatal(err)
		}
		out := map[string]bool{}
		for line := range strings.Lines(b.String()) {
			name, _, _ := strings.Cut(line, " ")
			out[name] = true
		}
		return out
	}
	const envoy, agent = "envoy_process_cpu_seconds_total", "crossfade_agent_process_cpu_seconds_total"
	if got := names(); got[envoy] || !got[agent] {
		t.Errorf("before Envoy runs there is the agent alone, got %v", got)
	}
	u.follow(os.Getpid()) // Any process.
	if got := names(); !got[envoy] || !got[agent] || !got["envoy_process_resident_memory_bytes"] || got["envoy_process_network_receive_bytes_total"] {
		t.Errorf("with Envoy there are both, without the whole pod's bytes, got %v", got)
	}
	u.follow(1 << 30)
	if got := names(); got[envoy] || !got[agent] {
		t.Errorf("an Envoy that has just ended is left out, got %v", got)
	}
}
