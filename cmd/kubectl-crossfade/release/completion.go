package release

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

const completionHelp = `Print a script that completes the plugin's verbs, flags, and names of Rollouts.

For "kubectl crossfade" itself, kubectl (with its own completion switched on) asks a
program named kubectl_complete-crossfade in your PATH:

  kubectl crossfade completion kubectl > ~/.local/bin/kubectl_complete-crossfade
  chmod +x ~/.local/bin/kubectl_complete-crossfade

The others are for whoever calls kubectl-crossfade by its own name:

  source <(kubectl-crossfade completion bash)
  kubectl-crossfade completion zsh > "${fpath[1]}/_kubectl-crossfade"
  kubectl-crossfade completion fish > ~/.config/fish/completions/kubectl-crossfade.fish`

// kubectlScript is what kubectl runs for the words after "crossfade".
const kubectlScript = `#!/bin/sh
exec kubectl crossfade __complete "$@"
`

// Completion is `kubectl crossfade completion`.
func Completion(s *session.Session) *cobra.Command {
	return &cobra.Command{
		Use:                   "completion bash|zsh|fish|kubectl",
		Short:                 "Print a script for the shell's completion",
		Long:                  completionHelp,
		Args:                  oneShell,
		ValidArgs:             []string{"bash", "zsh", "fish", "kubectl"},
		DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, args []string) error {
			switch root := c.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(s.Out, true)
			case "zsh":
				return root.GenZshCompletion(s.Out)
			case "fish":
				return root.GenFishCompletion(s.Out, true)
			default:
				_, err := fmt.Fprint(s.Out, kubectlScript)
				return err
			}
		},
	}
}

func oneShell(_ *cobra.Command, args []string) error {
	if len(args) == 1 {
		switch args[0] {
		case "bash", "zsh", "fish", "kubectl":
			return nil
		}
	}
	return fmt.Errorf("say for what: kubectl crossfade completion bash, zsh, fish or kubectl")
}
