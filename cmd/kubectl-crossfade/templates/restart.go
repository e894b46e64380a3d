package templates

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

// annotationRestarted is kubectl's own, so that a template which kubectl has
// restarted and one that the plugin has look alike.
const annotationRestarted = "kubectl.kubernetes.io/restartedAt"

type restart struct {
	*session.Session
	dryRun bool
}

// Restart is `kubectl crossfade restart`.
func Restart(s *session.Session) *cobra.Command {
	r := &restart{Session: s}
	c := &cobra.Command{
		Use:   "restart NAME",
		Short: "Replace all pods by new ones of the same template, delivered step by step",
		Long: "Replace all pods by new ones of the same template: the Deployment's template gets the annotation\n" +
			annotationRestarted + ", and is delivered as any other change. While a canary is on its way,\n" +
			"that one is taken back first, and its template starts anew from step 1.",
		Args:              session.OneName,
		ValidArgsFunction: s.CompleteRollouts,
		RunE:              func(c *cobra.Command, args []string) error { return r.run(c.Context(), args[0]) },
	}
	c.Flags().BoolVar(&r.dryRun, "dry-run", false, "say what would be written, and write nothing")
	return c
}

func (r *restart) run(ctx context.Context, name string) error {
	f, err := gather(ctx, r.Session, name)
	if err != nil {
		return err
	}
	record := f.Rollout.Status.Record
	if record != nil && record.Stage == v1alpha1.StageRolledBack && f.HashOf(rollouts.Template(f.Deployment)) == record.Failed {
		return fmt.Errorf("the Deployment's template is revision %s, which was rolled back: a restart would try it again; "+
			"kubectl crossfade undo %s -n %s goes back to stable's template, kubectl crossfade retry tries the failed one once more",
			record.Failed, f.Rollout.Name, f.Rollout.Namespace)
	}
	patch := map[string]any{
		"metadata": map[string]any{"resourceVersion": f.Deployment.GetResourceVersion()},
		"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{
			annotationRestarted: r.Now().Format(time.RFC3339),
		}}}},
	}
	if err := write(ctx, r.Session, f, types.MergePatchType, patch, r.dryRun); err != nil {
		return err
	}
	fmt.Fprintf(r.Out, "deployment %s: restart written%s; %s\n", f.Deployment.GetName(), suffix(r.dryRun), restartFollows(f))
	return nil
}

func restartFollows(f *rollouts.Family) string {
	text := follows(f, &rollouts.Revision{})
	if record := f.Rollout.Status.Record; record != nil && record.Canary != "" {
		return fmt.Sprintf("canary %s is taken back first; %s", record.Canary, text)
	}
	return text
}
