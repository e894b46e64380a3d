package main

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/outcome"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/tree"
)

// FuzzRollout: whatever an older or newer controller writes into a Rollout, the plugin
// shows what it knows of it, loses nothing of the object, and neither panics nor takes
// it for a promotion.
func FuzzRollout(f *testing.F) {
	for _, file := range []string{"stepping.yaml", "rolledback.yaml", "promoted.yaml", "paused.yaml"} {
		raw, err := os.ReadFile("testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		first, _, _ := strings.Cut(string(raw), "\n---\n")
		seed, err := yaml.YAMLToJSON([]byte(first))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Add([]byte(`{"metadata":{"name":"x"},"spec":{"strategy":{"canary":{"steps":"two"}},"comet":[1]},"status":{"phase":7,"weight":{"desired":"a lot"},"record":{"stable":3},"checks":[{"measuredAt":"tomorrow"}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		object := map[string]any{}
		if json.Unmarshal(raw, &object) != nil {
			return
		}
		before, err := json.Marshal(object)
		if err != nil {
			return
		}
		u := &unstructured.Unstructured{Object: object}
		family := &rollouts.Family{Object: u}
		family.Rollout, family.Strange = rollouts.Read(u)
		if err := tree.WriteTree(io.Discard, family, tree.Options{Now: noon}); err != nil {
			t.Error(err)
		}
		_, finding := outcome.Judge{}.Look(outcome.Sight{At: noon, Family: family})
		if finding.Verdict == outcome.Promoted {
			t.Errorf("without a Deployment it is taken for promoted: %s", raw)
		}
		if after, _ := json.Marshal(object); string(after) != string(before) {
			t.Errorf("reading has changed the object:\n%s\n%s", before, after)
		}
	})
}
