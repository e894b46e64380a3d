package controllers

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/delivery"
)

func TestConfigOf(t *testing.T) {
	var template map[string]any
	if err := yaml.Unmarshal([]byte(`
spec:
  imagePullSecrets: [{name: registry}]
  initContainers:
  - env: [{name: A, valueFrom: {secretKeyRef: {name: s1, key: a}}}, {name: B, value: plain}]
  containers:
  - envFrom: [{configMapRef: {name: c1}}, {secretRef: {name: s2}}]
    env: [{name: C, valueFrom: {configMapKeyRef: {name: c2, key: a}}}, {name: D, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
  - envFrom: [{configMapRef: {name: c1}}]
  volumes:
  - {name: a, configMap: {name: c3}}
  - {name: b, secret: {secretName: s3}}
  - {name: c, projected: {sources: [{configMap: {name: c4}}, {secret: {name: s4}}, {serviceAccountToken: {path: x}}]}}
  - {name: d, emptyDir: {}}
`), &template); err != nil {
		t.Fatal(err)
	}
	want := []configRef{
		{kindConfigMap, "c1"},
		{kindConfigMap, "c2"},
		{kindConfigMap, "c3"},
		{kindConfigMap, "c4"},
		{kindSecret, "s1"},
		{kindSecret, "s2"},
		{kindSecret, "s3"},
		{kindSecret, "s4"},
	}
	if d := cmp.Diff(want, configOf(template), cmp.AllowUnexported(configRef{})); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	for name, odd := range map[string]map[string]any{
		"none": nil, "a word": {"spec": "x"}, "words": {"spec": map[string]any{"volumes": []any{"x", map[string]any{"configMap": 3}}}},
	} {
		if got := configOf(odd); len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// configMetadata is a ConfigMap whose data one writer wrote and whose label another.
func configMetadata(change func(*metav1.PartialObjectMetadata)) *metav1.PartialObjectMetadata {
	at := metav1.NewTime(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	m := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "settings", UID: "u1", ResourceVersion: "7",
		ManagedFields: []metav1.ManagedFieldsEntry{
			{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationUpdate, Time: &at, FieldsV1: metav1.NewFieldsV1(`{"f:data":{".":{},"f:COLOUR":{}}}`)},
			{Manager: "kubectl-label", Operation: metav1.ManagedFieldsOperationUpdate, Time: &at, FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:team":{}}}}`)},
		},
	}}
	if change != nil {
		change(m)
	}
	return m
}

func TestConfigVersion(t *testing.T) {
	later := metav1.NewTime(time.Date(2026, 1, 1, 12, 0, 1, 0, time.UTC))
	for name, tc := range map[string]struct {
		reason string
		change func(*metav1.PartialObjectMetadata)
		other  bool
	}{
		"label": {"who labels it changes no content", func(m *metav1.PartialObjectMetadata) { m.ResourceVersion = "8"; m.ManagedFields[1].Time = &later }, false},
		"data":  {"who writes data does", func(m *metav1.PartialObjectMetadata) { m.ManagedFields[0].Time = &later }, true},
		"a key": {"a key more in the same second", func(m *metav1.PartialObjectMetadata) {
			m.ManagedFields[0].FieldsV1 = metav1.NewFieldsV1(`{"f:data":{}}`)
		}, true},
		"recreated": {"another object of the name", func(m *metav1.PartialObjectMetadata) { m.UID = "u2" }, true},
		"no fields": {"without managedFields the resourceVersion has to do", func(m *metav1.PartialObjectMetadata) { m.ManagedFields = nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			if other := configVersion(configMetadata(nil)) != configVersion(configMetadata(tc.change)); other != tc.other {
				t.Errorf("%s: another version %v, want %v", tc.reason, other, tc.other)
			}
		})
	}
}

// syncedInformer has what is in its store.
type syncedInformer struct {
	cache.SharedIndexInformer
	store  cache.Store
	synced bool
}

func (s syncedInformer) HasSynced() bool       { return s.synced }
func (s syncedInformer) GetStore() cache.Store { return s.store }

func TestConfigVersionsAndWakes(t *testing.T) {
	stripped, err := stripConfig(configMetadata(nil))
	if err != nil {
		t.Fatal(err)
	}
	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	if err := store.Add(stripped); err != nil {
		t.Fatal(err)
	}
	woken := 0
	w := &configWatch{
		kinds:   map[string]cache.SharedIndexInformer{kindConfigMap: syncedInformer{store: store, synced: true}, kindSecret: syncedInformer{}},
		changed: func(context.Context, string) { woken++ },
	}
	refs := []configRef{{kindConfigMap, "settings"}, {kindConfigMap, "absent"}, {kindConfigMap, "settings"}}
	got, known := w.versions("shop", refs)
	want := []delivery.Config{{Kind: kindConfigMap, Name: "absent"}, {Kind: kindConfigMap, Name: "settings", Version: configVersion(configMetadata(nil))}}
	if d := cmp.Diff(want, got); d != "" || !known {
		t.Errorf("known %v; -want +got\n%s", known, d)
	}
	if _, known := w.versions("shop", append(refs, configRef{kindSecret, "x"})); known {
		t.Error("Secrets are not watched, and yet all is known")
	}
	h := w.handler(t.Context())
	h.OnAdd(stripped, true)
	h.OnUpdate(stripped, stripped)
	if woken != 0 {
		t.Error("woke for what was there, or did not change")
	}
	other, err := stripConfig(configMetadata(func(m *metav1.PartialObjectMetadata) { m.UID = "u2" }))
	if err != nil {
		t.Fatal(err)
	}
	h.OnAdd(stripped, false)
	h.OnUpdate(stripped, other)
	h.OnDelete(cache.DeletedFinalStateUnknown{Obj: other})
	if woken != 3 {
		t.Errorf("woke %d times for one that came, changed and went", woken)
	}
}
