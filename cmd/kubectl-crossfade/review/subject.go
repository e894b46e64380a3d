package review

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/manifests"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/schemas"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
	"github.com/crossfade-dev/crossfade/config/crd"
	"github.com/crossfade-dev/crossfade/delivery/advice"
)

// subject is a Rollout that is looked at, with what is known around it.
type subject struct {
	rollout *v1alpha1.Rollout
	// live is the same Rollout in the cluster, nil when it is not there.
	live *v1alpha1.Rollout
	// file says that it came from a file.
	file bool

	world advice.World
	// files are all objects of the files.
	files []manifests.Object
	// client is nil, and missing says why, when no cluster was looked at.
	client  dynamic.Interface
	missing string
}

// clusterTime bounds the wait for a cluster that files can do without.
const clusterTime = 10 * time.Second

// gather reads a Rollout by its name, from files if there are some, and else from
// the cluster. With files the cluster may be away.
func gather(ctx context.Context, s *session.Session, files []string, name string, offline bool) (*subject, error) {
	out := &subject{file: len(files) > 0}
	namespace, err := s.Namespace()
	if err != nil {
		return nil, err
	}
	if out.files, err = manifests.Files(files, s.In, namespace); err != nil {
		return nil, err
	}
	if out.file {
		if namespace, name, err = choose(out.files, name); err != nil {
			return nil, err
		}
	} else if name == "" {
		return nil, errors.New("say which Rollout: NAME of one in the cluster, or -f FILE")
	}
	have := &manifests.Cluster{}
	switch {
	case offline && !out.file:
		return nil, errors.New("--offline needs -f FILE")
	case offline:
		out.missing = "--offline"
	default:
		if have, err = out.readCluster(ctx, s, namespace); err != nil {
			return nil, err
		}
	}
	if err := out.put(have, namespace, name); err != nil {
		return nil, err
	}
	if out.client == nil {
		// A cluster says it itself, and more: see dryRun.
		out.world.Invalid, err = schemas.Judge(ctx, crd.Files, out.files)
	}
	return out, err
}

// choose finds the one Rollout of that name among the files' objects.
func choose(objects []manifests.Object, name string) (namespace, found string, err error) {
	var names []string
	for _, o := range objects {
		if o.GetKind() != "Rollout" || o.GroupVersionKind().Group != v1alpha1.GroupVersion.Group || name != "" && o.GetName() != name {
			continue
		}
		names, namespace, found = append(names, o.GetName()), o.GetNamespace(), o.GetName()
	}
	switch {
	case len(names) == 1:
		return namespace, found, nil
	case len(names) == 0 && name != "":
		return "", "", fmt.Errorf("the files have no Rollout %s", name)
	case len(names) == 0:
		return "", "", errors.New("the files have no Rollout")
	}
	return "", "", fmt.Errorf("the files have %d Rollouts: say which, %s", len(names), strings.Join(names, " or "))
}

func (s *subject) readCluster(ctx context.Context, of *session.Session, namespace string) (*manifests.Cluster, error) {
	client, err := of.Client()
	if err == nil {
		limited, cancel := context.WithTimeout(ctx, clusterTime)
		defer cancel()
		var have *manifests.Cluster
		if have, err = manifests.Read(limited, client, namespace); err == nil {
			s.client = client
			return have, nil
		}
	}
	if !s.file {
		return nil, err
	}
	s.missing = "no cluster: " + session.Explain(err)
	return &manifests.Cluster{}, nil
}

func (s *subject) put(have *manifests.Cluster, namespace, name string) error {
	is := func(ro *v1alpha1.Rollout) bool { return ro.Namespace == namespace && ro.Name == name }
	before, err := manifests.World(have.Objects)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(before.Rollouts, is); i >= 0 {
		s.live = before.Rollouts[i]
	}
	objects := manifests.Over(have.Objects, s.files)
	if s.world, err = manifests.World(objects); err != nil {
		return err
	}
	s.world.Whole = have.Whole
	manifests.Resolve(&s.world, objects, s.world.Knows)
	i := slices.IndexFunc(s.world.Rollouts, is)
	if i < 0 {
		return fmt.Errorf("there is no Rollout %s in namespace %s; kubectl crossfade get -A lists all", name, namespace)
	}
	s.rollout = s.world.Rollouts[i]
	return nil
}

// revisions are stable's and the canary's, as far as the cluster knows them.
func (s *subject) revisions() (stable, canary string) {
	if s.live == nil || s.live.Status.Record == nil {
		return "", ""
	}
	return s.live.Status.Record.Stable, s.live.Status.Record.Canary
}

// replicas is the size of the Deployment, and whether it is known.
func (s *subject) replicas() (n int32, known bool) {
	for _, d := range s.world.Deployments {
		if d.Namespace != s.rollout.Namespace || d.Name != s.rollout.Spec.WorkloadRef.Name {
			continue
		}
		if d.Spec.Replicas == nil {
			return 1, true
		}
		return *d.Spec.Replicas, true
	}
	return 0, false
}

// startup is how long a pod of the Deployment needs at least.
func (s *subject) startup() time.Duration {
	for _, d := range s.world.Deployments {
		if d.Namespace != s.rollout.Namespace || d.Name != s.rollout.Spec.WorkloadRef.Name {
			continue
		}
		late := int32(0)
		for _, c := range d.Spec.Template.Spec.Containers {
			if c.ReadinessProbe != nil {
				late = max(late, c.ReadinessProbe.InitialDelaySeconds)
			}
		}
		return time.Duration(late+d.Spec.MinReadySeconds) * time.Second
	}
	return 0
}

// dryRun asks the API server what it would refuse of the files, with its own
// validation and every admission.
func (s *subject) dryRun(ctx context.Context) []string {
	if s.client == nil {
		return nil
	}
	var refused []string
	for _, o := range s.files {
		resource, ok := manifests.Resource(o)
		if !ok {
			continue
		}
		namespaced := o.GetNamespace()
		_, err := s.client.Resource(resource).Namespace(namespaced).Apply(ctx, o.GetName(), o.Unstructured,
			metav1.ApplyOptions{FieldManager: "kubectl-crossfade", Force: true, DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			refused = append(refused, err.Error())
		}
	}
	return refused
}
