// Package templates has the verbs about a Deployment's template: back to an earlier
// one, the same one with new pods, and which ones there were. kubectl's own refuse a
// Deployment that is held, since it is paused; these work then, too.
package templates

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

type undo struct {
	*session.Session
	to     string
	dryRun bool
}

// Undo is `kubectl crossfade undo`.
func Undo(s *session.Session) *cobra.Command {
	u := &undo{Session: s}
	c := &cobra.Command{
		Use:   "undo NAME",
		Short: "Give the Deployment an earlier template, whether it is held or not",
		Long: "Give the Deployment the template of an earlier revision. While a canary is on its way, or after a\n" +
			"rollback, that is stable's: the requests go back at once, and nothing restarts. Otherwise it is the\n" +
			"revision before the stable one, which is delivered like any other change, step by step.\n\n" +
			"Where the Deployment is written by a GitOps tool, revert the commit instead: the tool would write\n" +
			"its template again.",
		Example:           "  kubectl crossfade undo payments\n  kubectl crossfade undo payments --to-revision 3\n  kubectl crossfade undo payments --to-revision 8695bf8868",
		Args:              session.OneName,
		ValidArgsFunction: s.CompleteRollouts,
		RunE:              func(c *cobra.Command, args []string) error { return u.run(c.Context(), args[0]) },
	}
	c.Flags().StringVar(&u.to, "to-revision", "", "the revision, by its number or its hash, as kubectl crossfade history shows them")
	c.Flags().BoolVar(&u.dryRun, "dry-run", false, "say what would be written, and write nothing")
	return c
}

func (u *undo) run(ctx context.Context, name string) error {
	f, err := gather(ctx, u.Session, name)
	if err != nil {
		return err
	}
	target, err := earlier(f, u.to)
	if err != nil {
		return err
	}
	if rollouts.SameTemplate(rollouts.Template(f.Deployment), target.Template) {
		fmt.Fprintf(u.Out, "deployment %s: it has the template of revision %s already; nothing to undo\n", f.Deployment.GetName(), target.Hash)
		return nil
	}
	patch := []map[string]any{
		// Whoever has written the Deployment since it was looked at wanted something: that
		// is to be looked at first.
		{"op": "replace", "path": "/metadata/resourceVersion", "value": f.Deployment.GetResourceVersion()},
		{"op": "replace", "path": "/spec/template", "value": target.Template},
	}
	if err := write(ctx, u.Session, f, types.JSONPatchType, patch, u.dryRun); err != nil {
		return err
	}
	fmt.Fprintf(u.Out, "deployment %s: template of revision %s written (%s)%s; %s\n",
		f.Deployment.GetName(), target.Hash, strings.Join(target.Images, ", "), suffix(u.dryRun), follows(f, target))
	return nil
}

func suffix(dryRun bool) string {
	if dryRun {
		return " (dry run)"
	}
	return ""
}

// follows says what the controller will do.
func follows(f *rollouts.Family, target *rollouts.Revision) string {
	record := f.Rollout.Status.Record
	follow := fmt.Sprintf("follow with: kubectl crossfade watch %s -n %s", f.Rollout.Name, f.Rollout.Namespace)
	switch {
	case record == nil:
		return "the Rollout has not adopted the Deployment: it is a plain rolling update"
	case target.Hash == record.Stable:
		return "stable serves everybody again, nothing restarts; " + follow
	default:
		return "it is delivered step by step; " + follow
	}
}

func gather(ctx context.Context, s *session.Session, name string) (*rollouts.Family, error) {
	client, err := s.Client()
	if err != nil {
		return nil, err
	}
	namespace, err := s.Namespace()
	if err != nil {
		return nil, err
	}
	object, err := rollouts.Get(ctx, client, namespace, name)
	if err != nil {
		return nil, err
	}
	f, err := rollouts.GatherWorkload(ctx, client, object)
	if err != nil {
		return nil, err
	}
	if f.Deployment == nil {
		return nil, fmt.Errorf("there is no Deployment %s in namespace %s: create it, or correct spec.workloadRef of Rollout %s", rollouts.WorkloadName(f.Rollout), namespace, name)
	}
	return f, nil
}

func write(ctx context.Context, s *session.Session, f *rollouts.Family, kind types.PatchType, patch any, dryRun bool) error {
	client, err := s.Client()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("encode the patch: %w", err)
	}
	options := metav1.PatchOptions{FieldManager: "kubectl-crossfade"}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	name := f.Deployment.GetName()
	if _, err := client.Resource(session.Deployments).Namespace(f.Rollout.Namespace).Patch(ctx, name, kind, raw, options); err != nil {
		return fmt.Errorf("patch Deployment %s: %w", name, err)
	}
	return nil
}

// earlier is the revision to go back to.
func earlier(f *rollouts.Family, to string) (*rollouts.Revision, error) {
	list := fmt.Sprintf("kubectl crossfade history %s -n %s lists them", f.Rollout.Name, f.Rollout.Namespace)
	if to != "" {
		if r := named(f, to); r != nil {
			return r, nil
		}
		return nil, fmt.Errorf("there is no revision %s of Deployment %s: %s", to, f.Deployment.GetName(), list)
	}
	stable := ""
	if record := f.Rollout.Status.Record; record != nil {
		stable = record.Stable
	}
	now := f.Current()
	if r := f.Revision(stable); r != nil && (now == nil || now.Hash != stable) {
		return r, nil
	}
	if r := previous(f, now); r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("there is no revision before the present one of Deployment %s: %s", f.Deployment.GetName(), list)
}

// named finds a revision by its hash, or else by its number.
func named(f *rollouts.Family, to string) *rollouts.Revision {
	if r := f.Revision(to); r != nil {
		return r
	}
	number, err := strconv.ParseInt(to, 10, 64)
	if err != nil || number <= 0 {
		return nil
	}
	if i := slices.IndexFunc(f.Revisions, func(r rollouts.Revision) bool { return r.Number == number }); i >= 0 {
		return &f.Revisions[i]
	}
	return nil
}

// previous is the revision with the highest number but for the present one: it was
// stable, since only those have numbers.
func previous(f *rollouts.Family, now *rollouts.Revision) *rollouts.Revision {
	var candidates []*rollouts.Revision
	for i := range f.Revisions {
		if r := &f.Revisions[i]; r.Number > 0 && (now == nil || r.Hash != now.Hash) {
			candidates = append(candidates, r)
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	return slices.MaxFunc(candidates, func(a, b *rollouts.Revision) int { return cmp.Compare(a.Number, b.Number) })
}

// roleOf is the part that a revision has in the Rollout; empty for history.
func roleOf(r *v1alpha1.Rollout, hash string) string {
	record := r.Status.Record
	switch {
	case record == nil || hash == "":
		return ""
	case hash == record.Canary:
		return "canary"
	case hash == record.Stable:
		return "stable"
	case hash == record.Failed:
		return "failed"
	case hash == record.Old:
		return "was stable, warm"
	}
	return ""
}
