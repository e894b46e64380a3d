package main

import (
	"strings"
	"testing"
)

// TestGoldenAnalyze types `analyze` in all its forms: over files, a cluster, both.
func TestGoldenAnalyze(t *testing.T) {
	isolate(t)
	tests := map[string]struct {
		reason string
		lines  []string
	}{
		"analyze-files": {
			reason: "Files alone need no cluster, and what is not in them is not judged.",
			lines: []string{
				"analyze -f testdata/analyze/mistakes.yaml", "analyze -f testdata/analyze/good.yaml",
				"analyze -f testdata/analyze/good.yaml --fail-on info", "analyze -f testdata/analyze/mistakes.yaml --fail-on warning -o json",
				"analyze -f testdata/analyze/good.yaml -o yaml", "analyze -f testdata/analyze",
			},
		},
		"analyze-cluster": {
			reason: "A live cluster, and files as if they were applied to it.",
			lines: []string{
				"analyze -n shop", "analyze -A -o wide", "analyze -n web", "analyze -f testdata/analyze/mistakes.yaml --cluster",
			},
		},
		"analyze-wrong": {
			reason: "What cannot be read is said with where it is.",
			lines: []string{
				"analyze -f testdata/analyze/absent.yaml", "analyze -f testdata/get-none.golden", "analyze --fail-on bad -f testdata/analyze",
				"analyze --explain XF0208", "analyze --explain XF9999", "analyze payments",
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, "stepping.yaml", "analyze-cluster.yaml")
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
