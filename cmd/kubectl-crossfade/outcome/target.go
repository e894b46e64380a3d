package outcome

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
)

// Target says whose outcome is waited for. At most one field is set; with none it is
// the template that the Deployment has at the first look.
type Target struct {
	// Revision is a pod-template-hash.
	Revision string
	// Image is that of one of the containers.
	Image string
	// Generation is the Deployment's, as it was after the change: what a client prints
	// that has just written it.
	Generation int64
}

// check refuses a target that means two things.
func (t Target) check() error {
	var set []string
	if t.Revision != "" {
		set = append(set, "--revision")
	}
	if t.Image != "" {
		set = append(set, "--image")
	}
	if t.Generation != 0 {
		set = append(set, "--generation")
	}
	switch {
	case len(set) > 1:
		return fmt.Errorf("%s: each of them names the revision to wait for; use one", strings.Join(set, " and "))
	case t.Generation < 0:
		return fmt.Errorf("--generation %d: want metadata.generation of the Deployment after the change, 1 or more", t.Generation)
	}
	return nil
}

// bind finds the template that the target means, nil while there is none.
func (t Target) bind(f *rollouts.Family) map[string]any {
	template := rollouts.Template(f.Deployment)
	switch {
	case t.Revision != "":
		if r := f.Revision(t.Revision); r != nil {
			return r.Template
		}
		return nil
	case t.Image != "" && !slices.Contains(rollouts.Images(template), t.Image):
		return nil
	case t.Generation != 0 && (f.Deployment == nil || f.Deployment.GetGeneration() < t.Generation):
		return nil
	}
	return template
}

// unbound says what is waited for while the target means nothing yet.
func (t Target) unbound(f *rollouts.Family) string {
	name := rollouts.WorkloadName(f.Rollout)
	switch {
	case f.Deployment == nil:
		return fmt.Sprintf("there is no Deployment %s yet", name)
	case t.Revision != "":
		return fmt.Sprintf("Deployment %s has no revision %s yet (kubectl crossfade history %s -n %s lists those it has)", name, t.Revision, f.Rollout.Name, f.Rollout.Namespace)
	case t.Image != "":
		return fmt.Sprintf("Deployment %s does not have image %s yet: it has %s", name, t.Image, images(f.Deployment))
	default:
		return fmt.Sprintf("Deployment %s has generation %d, not yet %d", name, f.Deployment.GetGeneration(), t.Generation)
	}
}

func images(deployment *unstructured.Unstructured) string {
	all := rollouts.Images(rollouts.Template(deployment))
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}
