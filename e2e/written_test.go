//go:build e2e

package e2e

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// clean takes out of an object what the cluster itself writes, and Crossfade's label.
func clean(t *testing.T, text string) string {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	delete(o, "status")
	metadata := o["metadata"].(map[string]any)
	for _, key := range []string{"resourceVersion", "generation", "managedFields", "uid", "creationTimestamp"} {
		delete(metadata, key)
	}
	if labels, is := metadata["labels"].(map[string]any); is {
		delete(labels, "crossfade.dev/rollout")
	}
	if annotations, is := metadata["annotations"].(map[string]any); is {
		delete(annotations, "deployment.kubernetes.io/revision")
		delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
	}
	out, err := json.MarshalIndent(o, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func difference(want, got string) string { return cmp.Diff(want, got) }
