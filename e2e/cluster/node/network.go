package node

import (
	"context"
	"fmt"
	"os"

	"github.com/crossfade-dev/crossfade/e2e/cluster/machine"
)

// Cable is the node's end of the link to the host's bridge.
const Cable = "kn0"

// connect sets up the node's network namespace.
func (n Node) connect(ctx context.Context) error {
	if err := machine.IP(ctx, n.networkCommands()...); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"/proc/sys/net/ipv4/ip_forward": "1",
		// Pods of one node talk through its bridge. Without this the answer to
		// a connection through a ClusterIP would not be translated back.
		"/proc/sys/net/bridge/bridge-nf-call-iptables": "1",
	} {
		if err := os.WriteFile(name, []byte(value), 0); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// networkCommands are for `ip`. There is no default route: what is not in the
// cluster cannot be reached.
func (n Node) networkCommands() []string {
	commands := []string{
		"link set lo up",
		fmt.Sprintf("address add %s/%d dev %s", n.NodeIP(n.Number), n.NodeRange().Bits(), Cable),
		"link set " + Cable + " up",
		"route add unreachable default metric 4096",
		// The look-up of a route comes before the translation of a ClusterIP,
		// so processes of the node itself (the API server calling a webhook)
		// need some route to it.
		fmt.Sprintf("route add %s dev %s", n.ServiceRange(), Cable),
	}
	for k := range n.Nodes {
		if k != n.Number {
			commands = append(commands, fmt.Sprintf("route add %s via %s", n.PodRange(k), n.NodeIP(k)))
		}
	}
	return commands
}
