package manifests

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
	"github.com/crossfade-dev/crossfade/delivery/advice"
)

// kind is one that is judged.
type kind struct {
	name     string
	resource schema.GroupVersionResource
	// everywhere says that it is read of all namespaces, where that is allowed: a
	// route may come from anywhere.
	everywhere bool
	// cluster says that it has no namespace.
	cluster bool
}

func gateway(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: resource}
}

var kinds = []kind{
	{name: "Rollout", resource: session.Rollouts},
	{name: "MeshPolicy", resource: schema.GroupVersionResource{Group: "crossfade.dev", Version: "v1alpha1", Resource: "meshpolicies"}},
	{name: "AnalysisTemplate", resource: schema.GroupVersionResource{Group: "crossfade.dev", Version: "v1alpha1", Resource: "analysistemplates"}},
	{name: "ClusterAnalysisTemplate", resource: schema.GroupVersionResource{Group: "crossfade.dev", Version: "v1alpha1", Resource: "clusteranalysistemplates"}, everywhere: true, cluster: true},
	{name: "Freeze", resource: schema.GroupVersionResource{Group: "crossfade.dev", Version: "v1alpha1", Resource: "freezes"}, everywhere: true, cluster: true},
	{name: "Deployment", resource: session.Deployments},
	{name: "StatefulSet", resource: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}},
	{name: "DaemonSet", resource: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}},
	{name: "Service", resource: schema.GroupVersionResource{Version: "v1", Resource: "services"}},
	{name: "ConfigMap", resource: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}},
	{name: "ResourceQuota", resource: schema.GroupVersionResource{Version: "v1", Resource: "resourcequotas"}},
	{name: "HorizontalPodAutoscaler", resource: schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}},
	{name: "PodDisruptionBudget", resource: schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}},
	{name: "HTTPRoute", resource: gateway("httproutes"), everywhere: true},
	{name: "Gateway", resource: gateway("gateways"), everywhere: true},
	{name: "ReferenceGrant", resource: gateway("referencegrants"), everywhere: true},
	{name: "Namespace", resource: session.Namespaces, everywhere: true, cluster: true},
}

// Cluster is what was read of one.
type Cluster struct {
	Objects []Object
	// Whole are the kinds of which everything was read.
	Whole []advice.Whole
	// Forbidden and Absent are kinds that could not be read: the user may not, or the
	// cluster does not have them.
	Forbidden, Absent []string
}

// page is how many objects are asked for at once.
const page = 500

// Read reads the objects of all kinds that are judged, of some namespaces (no one
// stands for all). A kind that is forbidden, or that the cluster does not have, is
// left out and named.
func Read(ctx context.Context, client dynamic.Interface, namespaces ...string) (*Cluster, error) {
	out := &Cluster{}
	for _, k := range kinds {
		wanted := namespaces
		if k.everywhere || len(wanted) == 0 {
			wanted = []string{metav1.NamespaceAll}
		}
		err := out.list(ctx, client, k, wanted)
		if apierrors.IsForbidden(err) && k.everywhere && (!k.cluster || k.name == "Namespace") && len(namespaces) > 0 {
			err = out.own(ctx, client, k, namespaces)
		}
		switch {
		case apierrors.IsForbidden(err):
			out.Forbidden = append(out.Forbidden, k.name)
		case apierrors.IsNotFound(err):
			out.Absent = append(out.Absent, k.name)
		case err != nil:
			return nil, fmt.Errorf("list %ss: %w", k.name, err)
		}
	}
	return out, nil
}

// own reads of a kind that is read of everywhere what somebody may read who has
// rights in some namespaces only.
func (c *Cluster) own(ctx context.Context, client dynamic.Interface, k kind, namespaces []string) error {
	if !k.cluster {
		return c.list(ctx, client, k, namespaces)
	}
	for _, name := range namespaces {
		o, err := client.Resource(k.resource).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		c.Objects = append(c.Objects, Object{Unstructured: o})
	}
	return nil
}

func (c *Cluster) list(ctx context.Context, client dynamic.Interface, k kind, namespaces []string) error {
	for _, namespace := range namespaces {
		options := metav1.ListOptions{Limit: page}
		for {
			list, err := client.Resource(k.resource).Namespace(namespace).List(ctx, options)
			if err != nil {
				return err
			}
			for i := range list.Items {
				o := &list.Items[i]
				// The items of a list come without their kind where it was read from a cache.
				o.SetGroupVersionKind(k.resource.GroupVersion().WithKind(k.name))
				c.Objects = append(c.Objects, Object{Unstructured: o})
			}
			if options.Continue = list.GetContinue(); options.Continue == "" {
				break
			}
		}
		c.Whole = append(c.Whole, advice.Whole{Kind: k.name, Namespace: namespace})
	}
	return nil
}

// Over puts files over what the cluster has: they are what would be applied. Of two
// files that have the same object, the later one is.
func Over(cluster, files []Object) []Object {
	same := func(a, b Object) bool {
		return a.GroupVersionKind().GroupKind() == b.GroupVersionKind().GroupKind() && a.GetNamespace() == b.GetNamespace() && a.GetName() == b.GetName()
	}
	all := slices.Concat(cluster, files)
	var out []Object
	for i, o := range all {
		from := max(i+1, len(cluster))
		if o.GetName() == "" || !slices.ContainsFunc(all[from:], func(f Object) bool { return same(o, f) }) {
			out = append(out, o)
		}
	}
	return out
}

// clusterScoped says that objects of a kind have no namespace, as far as it is one
// that is judged.
func clusterScoped(kind string) bool {
	for _, k := range kinds {
		if k.name == kind {
			return k.cluster
		}
	}
	return false
}
