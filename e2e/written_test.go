//go:build e2e

package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// written is an application as its user wrote it, defaults filled in.
type written struct {
	deployment, service string
	image               string
}

// asWritten reads it; the Rollout may be there if nothing is on its way.
func (s *scene) asWritten() *written {
	s.Helper()
	w := &written{image: s.deployment().Spec.Template.Spec.Containers[0].Image}
	w.deployment, w.service = s.readable("deployment"), s.readable("service")
	w.deployment = strings.ReplaceAll(w.deployment, w.image, "IMAGE")
	return w
}

// readable is an object as JSON without what the cluster itself writes and without Crossfade's label.
func (s *scene) readable(kind string) string {
	s.Helper()
	return clean(s.T, s.kubectl("get", kind, name, "-o", "json"))
}

// asFound fails unless the objects are as they were, but for the label while they are delivered.
func (s *scene) asFound(w *written, delivered bool) {
	s.Helper()
	want := map[string]string{"deployment": strings.ReplaceAll(w.deployment, "IMAGE", w.image), "service": w.service}
	for _, kind := range []string{"deployment", "service"} {
		if diff := difference(want[kind], s.readable(kind)); diff != "" {
			s.Errorf("the %s is not as its user wrote it: -want +got:\n%s", kind, diff)
		}
		label := s.kubectl("get", kind, name, "-o", `jsonpath={.metadata.labels.crossfade\.dev/rollout}`)
		if (label == name) != delivered {
			s.Errorf("the %s has the label crossfade.dev/rollout=%q; delivered: %v", kind, label, delivered)
		}
	}
	if out := s.kubectl("get", "controllerrevisions", "-o", "name"); out != "" {
		s.Errorf("ControllerRevisions are left over: %s", out)
	}
}

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
		if len(annotations) == 0 {
			delete(metadata, "annotations")
		}
	}
	out, err := json.MarshalIndent(o, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func difference(want, got string) string { return cmp.Diff(want, got) }
