package main

import (
	"strings"
	"testing"
)

// TestGoldenGet types `get` in all its forms.
func TestGoldenGet(t *testing.T) {
	isolate(t)
	tests := map[string]struct {
		reason string
		files  []string
		lines  []string
	}{
		"get-stepping": {
			reason: "A rollout under way is a table, a tree, or the whole object.",
			files:  []string{"stepping.yaml"},
			lines: []string{
				"get -n shop", "get -A -o wide", "get payments -n shop", "get payments -n shop -o wide",
				"get payments -n shop -o name", "get -n shop -o name",
			},
		},
		"get-rolledback": {
			reason: "After a rollback the failed check is what is read first.",
			files:  []string{"rolledback.yaml"},
			lines:  []string{"get -n shop", "get payments -n shop"},
		},
		"get-none": {
			reason: "Nothing there is said with what to do next.",
			files:  []string{"stepping.yaml"},
			lines: []string{
				"get", "get orders -n shop", "get payments -n shop -o xml", "get a b", "get payments -A", "frobnicate",
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, tt.files...)
			var all []string
			for _, line := range tt.lines {
				args := strings.Fields(line)
				out, errOut, code := c.run(args...)
				all = append(all, transcript(args, out, errOut, code))
			}
			golden(t, name+".golden", strings.Join(all, "\n"))
		})
	}
}

// TestUnknownFieldsAreKept: what a newer controller writes goes through the plugin
// whole.
func TestUnknownFieldsAreKept(t *testing.T) {
	isolate(t)
	c := newCluster(t, "stepping.yaml")
	c.set("Rollout", "payments", func(o map[string]any) {
		o["spec"].(map[string]any)["comet"] = map[string]any{"tail": int64(3)}
		o["status"].(map[string]any)["comet"] = "Halley"
	})
	for _, format := range []string{"json", "yaml"} {
		for _, args := range [][]string{{"get", "payments"}, {"get"}} {
			out, errOut, code := c.run(append(args, "-n", "shop", "-o", format)...)
			if code != 0 || !strings.Contains(out, "Halley") || !strings.Contains(out, "tail") {
				t.Errorf("%v -o %s: exit code %d, the fields of a newer controller are lost: %s%s", args, format, code, out, errOut)
			}
		}
	}
}
