// Package rollouts reads Rollouts and what belongs to them: the Deployment, its
// ReplicaSets and their pods. Objects stay as the API server serves them; what is
// shown of them is read leniently, so that a plugin that is older or newer than the
// controller still shows all that it knows.
package rollouts

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Read is what this plugin knows of a Rollout. strange names the fields that it
// could not read, because the controller writes them in another form; empty mostly.
// Members are read one by one, so that a strange one hides no other.
func Read(object *unstructured.Unstructured) (r *v1alpha1.Rollout, strange string) {
	r = &v1alpha1.Rollout{}
	r.Name, r.Namespace, r.UID = object.GetName(), object.GetNamespace(), object.GetUID()
	r.Generation, r.ResourceVersion = object.GetGeneration(), object.GetResourceVersion()
	r.CreationTimestamp, r.DeletionTimestamp = object.GetCreationTimestamp(), object.GetDeletionTimestamp()
	r.Labels, r.Annotations = object.GetLabels(), object.GetAnnotations()
	fields := readMembers(object.Object, "spec", &r.Spec)
	fields = append(fields, readMembers(object.Object, "status", &r.Status)...)
	return r, strings.Join(fields, ", ")
}

// readMembers fills a struct from the object's member of that name and returns the
// paths of what it could not read.
func readMembers(object map[string]any, name string, into any) []string {
	members, ok := object[name].(map[string]any)
	if !ok {
		return nil
	}
	var strange []string
	for _, key := range slices.Sorted(maps.Keys(members)) {
		raw, err := json.Marshal(map[string]any{key: members[key]})
		if err == nil {
			err = json.Unmarshal(raw, into)
		}
		if err != nil {
			strange = append(strange, fmt.Sprintf("%s.%s", name, key))
		}
	}
	return strange
}
