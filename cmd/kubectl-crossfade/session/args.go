package session

import (
	"fmt"

	"github.com/spf13/cobra"
)

// OneName wants exactly the name of a Rollout.
func OneName(c *cobra.Command, args []string) error {
	if len(args) == 1 && args[0] != "" {
		return nil
	}
	return fmt.Errorf("%s wants the name of one Rollout, got %d: kubectl crossfade get lists them", c.Name(), len(args))
}

// NameIn is the name that AtMostOneName has let through, empty where there is none.
func NameIn(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// AtMostOneName wants the name of a Rollout, or none.
func AtMostOneName(c *cobra.Command, args []string) error {
	if len(args) <= 1 {
		return nil
	}
	return fmt.Errorf("%s wants the name of one Rollout at most, got %d", c.Name(), len(args))
}
