// Package tree shows Rollouts: as a table, as a tree of one Rollout with its
// revisions, pods, weights and checks, and live.
package tree

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

type get struct {
	*session.Session
	output *session.Output
	all    bool
}

// Get is `kubectl crossfade get`.
func Get(s *session.Session) *cobra.Command {
	g := &get{Session: s}
	c := &cobra.Command{
		Use:     "get [NAME]",
		Aliases: []string{"status", "describe"},
		Short:   "Show Rollouts, or one as a tree: revisions, pods, weights, checks, what it waits for",
		Example: "  kubectl crossfade get\n  kubectl crossfade get payments\n  kubectl crossfade get -A -o wide",
		Args:    session.AtMostOneName,

		ValidArgsFunction: s.CompleteRollouts,
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.output.Check(); err != nil {
				return err
			}
			if len(args) == 0 {
				return g.list(c.Context())
			}
			return g.one(c.Context(), args[0])
		},
	}
	c.Flags().BoolVarP(&g.all, "all-namespaces", "A", false, "of all namespaces")
	g.output = session.AddOutput(c, "json", "yaml", "name", "wide")
	return c
}

func (g *get) list(ctx context.Context) error {
	client, err := g.Client()
	if err != nil {
		return err
	}
	namespace, err := g.Namespace()
	if err != nil {
		return err
	}
	where := "in namespace " + namespace
	if g.all {
		namespace, where = metav1.NamespaceAll, "in any namespace"
	}
	list, err := client.Resource(session.Rollouts).Namespace(namespace).List(ctx, session.ListAll)
	if err != nil {
		return fmt.Errorf("list Rollouts %s: %w", where, err)
	}
	if g.output.Objects() {
		return g.output.Print(g.Out, list)
	}
	if len(list.Items) == 0 {
		hint := "kubectl crossfade get -A looks everywhere"
		if g.all {
			hint = "docs/rollout.md says how to write one"
		}
		fmt.Fprintf(g.ErrOut, "There are no Rollouts %s; %s.\n", where, hint)
		return nil
	}
	return writeTable(g.Out, list.Items, tableOptions{now: g.Now(), namespaces: g.all, wide: g.output.Format == "wide", paint: g.Paint()})
}

func (g *get) one(ctx context.Context, name string) error {
	if g.all {
		return fmt.Errorf("a Rollout is named within one namespace: use -n NAMESPACE instead of -A")
	}
	client, err := g.Client()
	if err != nil {
		return err
	}
	namespace, err := g.Namespace()
	if err != nil {
		return err
	}
	if g.output.Objects() {
		object, err := rollouts.Get(ctx, client, namespace, name)
		if err != nil {
			return err
		}
		return g.output.Print(g.Out, object)
	}
	family, err := rollouts.Gather(ctx, client, namespace, name)
	if err != nil {
		return err
	}
	return WriteTree(g.Out, family, Options{Now: g.Now(), Wide: g.output.Format == "wide", Paint: g.Paint()})
}
