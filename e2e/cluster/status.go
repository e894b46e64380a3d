package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/crossfade-dev/crossfade/e2e/cluster/machine"
)

func status(ctx context.Context, v *invocation) error {
	if err := v.parseWithoutArguments(); err != nil {
		return err
	}
	entries, err := machine.ThisRegistry().List()
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		v.printf("no instance is up")
		return nil
	}
	table := tabwriter.NewWriter(v.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "INSTANCE\tSTATE\tNODES\tPIDS\tKUBECONFIG")
	for _, e := range entries {
		state := "up"
		if err := checkHealth(ctx, e); err != nil {
			state = "broken (" + err.Error() + ")"
		}
		running, err := machine.Nodes(e.Root, e.Number)
		if err != nil {
			return err
		}
		pids := make([]string, 0, len(running))
		for _, k := range slices.Sorted(maps.Keys(running)) {
			pids = append(pids, fmt.Sprint(running[k]))
		}
		fmt.Fprintf(table, "%d\t%s\t%d/%d\t%s\t%s\n", e.Number, state, len(running), e.Nodes,
			strings.Join(pids, ","), e.Root.State(e.Instance).Kubeconfig())
	}
	return table.Flush()
}
