package controllers

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// configRef names a ConfigMap or Secret in the namespace of the workload.
type configRef struct{ kind, name string }

// The kinds of configuration.
const (
	kindConfigMap = "ConfigMap"
	kindSecret    = "Secret"
)

// configOf are the ConfigMaps and Secrets from which pods of a template get variables
// and files, sorted, each once. What pulls images is none: it changes no pod.
func configOf(template map[string]any) []configRef {
	var refs []configRef
	add := func(kind string, from map[string]any, path ...string) {
		if name, found, err := unstructured.NestedString(from, path...); found && err == nil && name != "" {
			refs = append(refs, configRef{kind, name})
		}
	}
	for _, field := range []string{"containers", "initContainers"} {
		for _, c := range listOf(template, "spec", field) {
			for _, from := range listOf(c, "envFrom") {
				add(kindConfigMap, from, "configMapRef", "name")
				add(kindSecret, from, "secretRef", "name")
			}
			for _, variable := range listOf(c, "env") {
				add(kindConfigMap, variable, "valueFrom", "configMapKeyRef", "name")
				add(kindSecret, variable, "valueFrom", "secretKeyRef", "name")
			}
		}
	}
	for _, volume := range listOf(template, "spec", "volumes") {
		add(kindConfigMap, volume, "configMap", "name")
		add(kindSecret, volume, "secret", "secretName")
		for _, source := range listOf(volume, "projected", "sources") {
			add(kindConfigMap, source, "configMap", "name")
			add(kindSecret, source, "secret", "name")
		}
	}
	return sortedRefs(refs)
}

func sortedRefs(refs []configRef) []configRef {
	slices.SortFunc(refs, func(a, b configRef) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
	})
	return slices.Clip(slices.Compact(refs))
}

// listOf is a list of objects; what is there of another form is no concern of ours.
func listOf(object map[string]any, path ...string) []map[string]any {
	field, found, err := unstructured.NestedFieldNoCopy(object, path...)
	items, isList := field.([]any)
	if !found || err != nil || !isList {
		return nil
	}
	var list []map[string]any
	for _, item := range items {
		if o, isObject := item.(map[string]any); isObject {
			list = append(list, o)
		}
	}
	return list
}
