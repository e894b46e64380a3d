package rollouts

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
	"github.com/crossfade-dev/crossfade/delivery/checks"
)

// Check is the spec of a check, nil when the Rollout has none of that name.
func Check(r *v1alpha1.Rollout, name string) *v1alpha1.Check {
	if r.Spec.Analysis == nil {
		return nil
	}
	for i := range r.Spec.Analysis.Checks {
		if c := &r.Spec.Analysis.Checks[i]; c.Name == name {
			return c
		}
	}
	return nil
}

// Limits is what a check has to keep to, in words: the controller's, or, of one that
// does not say it, the range of its spec.
func Limits(r *v1alpha1.Rollout, c v1alpha1.CheckStatus) string {
	if c.Expected != "" {
		return c.Expected
	}
	spec := Check(r, c.Name)
	if spec == nil {
		return ""
	}
	var words []string
	if spec.Min != nil {
		words = append(words, "min "+*spec.Min)
	}
	if spec.Max != nil {
		words = append(words, "max "+*spec.Max)
	}
	return strings.Join(words, ", ")
}

// Value is the number that was measured last, with its unit.
func Value(c v1alpha1.CheckStatus) string {
	if c.Value == "" || c.Unit == "" {
		return c.Value
	}
	if c.Unit == "%" || c.Unit == "/s" {
		return c.Value + c.Unit
	}
	return c.Value + " " + c.Unit
}

// Query is what a check asks about a revision, with the names in it; empty for a
// check that asks no query, and for one whose template cannot be read.
func Query(ctx context.Context, client dynamic.Interface, r *v1alpha1.Rollout, name, hash string) string {
	spec := Check(r, name)
	if spec == nil {
		return ""
	}
	resolved, refusal := checks.Resolve([]v1alpha1.Check{*spec}, func(ref v1alpha1.TemplateRef) *v1alpha1.AnalysisTemplateSpec {
		return template(ctx, client, r.Namespace, ref)
	})
	if refusal != nil || len(resolved) != 1 || !checks.Measurable(&resolved[0]) {
		return ""
	}
	asked, err := checks.Parse(&resolved[0])
	if err != nil {
		return ""
	}
	service, stable := r.Spec.ServiceRef.Name, ""
	if r.Status.Record != nil {
		service, stable = r.Status.Record.Service, r.Status.Record.Stable
	}
	queries, err := asked.Render(checks.Args(r, &resolved[0], service, stable, hash), stable)
	if err != nil || len(queries) == 0 {
		return ""
	}
	return strings.TrimSpace(queries[0].Text)
}

func template(ctx context.Context, client dynamic.Interface, namespace string, ref v1alpha1.TemplateRef) *v1alpha1.AnalysisTemplateSpec {
	what := session.Rollouts.GroupVersion().WithResource("analysistemplates")
	if ref.Kind == "ClusterAnalysisTemplate" {
		what, namespace = session.Rollouts.GroupVersion().WithResource("clusteranalysistemplates"), ""
	}
	object, err := client.Resource(what).Namespace(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	spec := &v1alpha1.AnalysisTemplateSpec{}
	readMembers(object.Object, "spec", spec)
	return spec
}
