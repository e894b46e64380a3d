package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// configWatch knows when ConfigMaps and Secrets change, by their metadata: the API
// server is never asked for a content. It has informers of its own, because those of
// the manager's cache hold ConfigMaps of one name only, and because it does without
// them where somebody took the right to list Secrets away: the others must not wait
// for that.
type configWatch struct {
	kinds map[string]cache.SharedIndexInformer
	// changed wakes the Rollouts that may use an object.
	changed func(ctx context.Context, namespace string)
}

// What pods use is watched by metadata; see config/rbac/configuration.yaml for Secrets.
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=list;watch

// newConfigWatch makes the informers; Start runs them.
func newConfigWatch(config *rest.Config, changed func(context.Context, string)) (*configWatch, error) {
	c, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make metadata client: %w", err)
	}
	w := &configWatch{kinds: map[string]cache.SharedIndexInformer{}, changed: changed}
	for kind, resource := range map[string]string{kindConfigMap: "configmaps", kindSecret: "secrets"} {
		i := metadatainformer.NewFilteredMetadataInformer(c, schema.GroupVersionResource{Version: "v1", Resource: resource},
			metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
		if err := i.SetTransform(stripConfig); err != nil {
			return nil, fmt.Errorf("strip %ss: %w", kind, err)
		}
		w.kinds[kind] = i
	}
	return w, nil
}

// Start runs until ctx ends.
func (w *configWatch) Start(ctx context.Context) error {
	for _, i := range w.kinds {
		if _, err := i.AddEventHandler(w.handler(ctx)); err != nil {
			return fmt.Errorf("watch configuration: %w", err)
		}
		go i.RunWithContext(ctx)
	}
	<-ctx.Done()
	return nil
}

// NeedLeaderElection says that a standby watches, too: it may have to go on at once.
func (w *configWatch) NeedLeaderElection() bool { return false }

// handler wakes for what has changed, not for what was there at the start.
func (w *configWatch) handler(ctx context.Context) cache.ResourceEventHandler {
	wake := func(o any) {
		if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = gone.Obj
		}
		if m, ok := o.(*metav1.PartialObjectMetadata); ok {
			w.changed(ctx, m.Namespace)
		}
	}
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, initial bool) {
			if !initial {
				wake(o)
			}
		},
		UpdateFunc: func(before, after any) {
			was, ok := before.(*metav1.PartialObjectMetadata)
			is, fine := after.(*metav1.PartialObjectMetadata)
			if !ok || !fine || was.GenerateName != is.GenerateName {
				wake(after)
			}
		},
		DeleteFunc: wake,
	}
}

// versions are those of the objects that are named; unknown where a kind of them is
// not watched, or not yet.
func (w *configWatch) versions(namespace string, refs []configRef) ([]delivery.Config, bool) {
	if w == nil {
		return nil, false
	}
	var list []delivery.Config
	for _, ref := range sortedRefs(slices.Clone(refs)) {
		informer := w.kinds[ref.kind]
		if !informer.HasSynced() {
			return nil, false
		}
		c := delivery.Config{Kind: ref.kind, Name: ref.name}
		if o, exists, err := informer.GetStore().GetByKey(namespace + "/" + ref.name); err == nil && exists {
			if m, ok := o.(*metav1.PartialObjectMetadata); ok {
				c.Version = m.GenerateName
			}
		}
		list = append(list, c)
	}
	return list, true
}

// stripConfig reduces metadata to a name and a version, which stands in generateName:
// the one field of an ObjectMeta that a stored object has no use for.
func stripConfig(o any) (any, error) {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return o, nil
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: m.Namespace, Name: m.Name, ResourceVersion: m.ResourceVersion, GenerateName: configVersion(m),
	}}, nil
}

// configVersion changes when the content does, as far as metadata tells. Labels and
// annotations change the resourceVersion, too; who wrote data last, and when, is in
// managedFields, to the second. Where somebody has emptied those the resourceVersion
// has to do.
func configVersion(m *metav1.PartialObjectMetadata) string {
	var writers []string
	for _, entry := range m.ManagedFields {
		if entry.FieldsV1 == nil || entry.Time == nil {
			continue
		}
		if fields := entry.FieldsV1.GetRawString(); strings.Contains(fields, `"f:data"`) || strings.Contains(fields, `"f:binaryData"`) {
			writers = append(writers, fmt.Sprintf("%s %s %d %s", entry.Manager, entry.Operation, entry.Time.Unix(), fields))
		}
	}
	if len(writers) == 0 {
		writers = []string{m.ResourceVersion}
	}
	slices.Sort(writers)
	sum := sha256.Sum256([]byte(string(m.UID) + "\n" + strings.Join(writers, "\n")))
	return hex.EncodeToString(sum[:8])
}

// usersOfConfig wakes the Rollouts of a namespace in which a delivery is on its way:
// nobody else looks at configuration.
func usersOfConfig(reader client.Reader, wake func(types.NamespacedName)) func(context.Context, string) {
	return func(ctx context.Context, namespace string) {
		list := &v1alpha1.RolloutList{}
		if err := reader.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return // Only before the caches run, when nobody is woken anyway.
		}
		for i := range list.Items {
			if record := list.Items[i].Status.Record; record != nil && record.Stage == v1alpha1.StageStepping {
				wake(keyOf(&list.Items[i]))
			}
		}
	}
}
