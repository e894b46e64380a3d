package rollouts

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/crossfade-dev/crossfade/delivery/podtemplate"
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

// Template is the Deployment's, nil when there is none.
func Template(deployment *unstructured.Unstructured) map[string]any {
	if deployment == nil {
		return nil
	}
	template, _, _ := unstructured.NestedMap(deployment.Object, "spec", "template")
	return template
}

// Hash names a template as the controller does; empty for none.
func Hash(template map[string]any) string {
	if template == nil {
		return ""
	}
	hash, err := podtemplate.Hash(template)
	if err != nil {
		return ""
	}
	return hash
}

// SameTemplate says whether two templates are one revision.
func SameTemplate(a, b map[string]any) bool { return Hash(a) == Hash(b) }

// HashOf finds the revision of a template: by its ReplicaSet, and where there is none,
// as of a canary that has failed, or is about to be made, by the record's own hash of
// its template. Empty when nobody has begun with it.
func (f *Family) HashOf(template map[string]any) string {
	if template == nil {
		return ""
	}
	for i := range f.Revisions {
		if SameTemplate(f.Revisions[i].Template, template) {
			return f.Revisions[i].Hash
		}
	}
	switch record, hash := f.Rollout.Status.Record, Hash(template); {
	case record == nil:
	case record.CanaryTemplate == hash && record.Canary != "":
		return record.Canary
	case record.FailedTemplate == hash:
		return record.Failed
	}
	return ""
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
