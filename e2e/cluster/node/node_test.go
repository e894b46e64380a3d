package node

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden shows a node as the one page that a person would want to read:
// its network, its files, its command lines.
func TestGolden(t *testing.T) {
	cases := map[string]struct {
		reason string
		node   Node
	}{
		"control-plane": {"The first node runs everything.", Node{layout.Instance{Number: 0, Nodes: 1}, 0}},
		"worker":        {"A second node has the first one's pods behind it.", Node{layout.Instance{Number: 14, Nodes: 2}, 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := describe(t, tc.node)
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s\nnode (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func describe(t *testing.T, n Node) string {
	t.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "# network\n%s\n", strings.Join(n.networkCommands(), "\n"))
	programs := []program{containerd(), n.kubelet(), n.proxy()}
	if n.Number == 0 {
		programs = append(programs, store(), n.apiServer(), n.controllerManager(), scheduler())
	}
	for _, p := range programs {
		fmt.Fprintf(&out, "\n# program %s\n%s\n", p.name, strings.ReplaceAll(strings.Join(p.args, " "), " --", " \\\n  --"))
	}
	config, err := n.Config()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(config)) {
		fmt.Fprintf(&out, "\n# file %s\n%s", path, config[path])
	}
	return out.String()
}

func TestSupervisor(t *testing.T) {
	// One for all: two would take each other's children.
	dir := t.TempDir()
	s := newSupervisor(t.Context(), dir)
	cases := map[string]struct {
		reason string
		script string
		want   string
	}{
		"Success": {"A program that ends well is no error.", "echo out; echo err >&2", ""},
		"Failure": {"The log of the node must say why a program ended.", "exit 3", "p: exit status 3"},
		"Signal":  {"So must it for one that was killed.", "kill -9 $$", "p: killed"},
		"Orphan":  {"A child left behind, reaped first, is not taken for the program.", "(exit 7) & exit 0", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := s.once(program{"p", []string{"sh", "-c", tc.script}}); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nerror (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
	if err := s.once(program{"q", []string{"no-such-program"}}); err == nil || !strings.Contains(err.Error(), "start q") {
		t.Errorf("once() of no program = %v, want an error that names it", err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "p.log"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("out\nerr\n", string(got)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}
