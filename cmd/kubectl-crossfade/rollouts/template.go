package rollouts

import (
	"maps"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Images are the images of a template's containers, in their order.
func Images(template map[string]any) []string {
	containers, _, _ := unstructured.NestedSlice(template, "spec", "containers")
	var images []string
	for _, c := range containers {
		container, _ := c.(map[string]any)
		if image, _ := container["image"].(string); image != "" {
			images = append(images, image)
		}
	}
	return images
}

// Bare is a template without what a ReplicaSet adds to it: the label that names the
// revision.
func Bare(template map[string]any) map[string]any {
	out := maps.Clone(template)
	meta, _ := out["metadata"].(map[string]any)
	if meta == nil {
		return out
	}
	meta = maps.Clone(meta)
	delete(meta, "creationTimestamp")
	if labels, _ := meta["labels"].(map[string]any); labels != nil {
		labels = maps.Clone(labels)
		delete(labels, labelRevision)
		meta["labels"] = labels
	}
	out["metadata"] = meta
	return out
}

// Template is the Deployment's, nil when there is none.
func Template(deployment *unstructured.Unstructured) map[string]any {
	if deployment == nil {
		return nil
	}
	template, _, _ := unstructured.NestedMap(deployment.Object, "spec", "template")
	return template
}

// SameTemplate says whether two templates are one revision. They are compared as the
// Deployment controller compares them: without the revision's label, and with nil and
// empty members equal.
func SameTemplate(a, b map[string]any) bool {
	return reflect.DeepEqual(prune(Bare(a)), prune(Bare(b)))
}

// prune drops nil and empty members, all the way down.
func prune(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, member := range v {
			if kept := prune(member); kept != nil {
				out[key] = kept
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		if len(v) == 0 {
			return nil
		}
		out := make([]any, len(v))
		for i, member := range v {
			out[i] = prune(member)
		}
		return out
	default:
		return value
	}
}

// Current is the revision of the Deployment's template; nil while the controller has
// not made one of it yet.
func (f *Family) Current() *Revision {
	template := Template(f.Deployment)
	if template == nil {
		return nil
	}
	for i := range f.Revisions {
		if SameTemplate(f.Revisions[i].Template, template) {
			return &f.Revisions[i]
		}
	}
	return nil
}

// Replicas is how many pods the Deployment asks for; 1 where it does not say.
func Replicas(deployment *unstructured.Unstructured) int64 {
	if deployment == nil {
		return 0
	}
	replicas, found, _ := unstructured.NestedInt64(deployment.Object, "spec", "replicas")
	if !found {
		return 1
	}
	return replicas
}
