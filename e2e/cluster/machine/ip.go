package machine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

// IP runs commands of `ip` one after the other and stops at the first that
// fails. A command is written as on the command line, without `ip`.
func IP(ctx context.Context, commands ...string) error {
	var stderr bytes.Buffer
	c := exec.CommandContext(ctx, "ip", "-batch", "-")
	c.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	c.Stderr = &stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("run ip: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// Connect makes the bridge of the instance and the routes to its Services.
func Connect(ctx context.Context, i layout.Instance) error {
	if err := IP(ctx, bridgeCommands(i)...); err != nil {
		return fmt.Errorf("make bridge %s: %w", i.Bridge(), err)
	}
	return nil
}

func bridgeCommands(i layout.Instance) []string {
	return []string{
		// What belongs to no instance must not leave the machine.
		"route replace blackhole " + layout.Supernet + " metric 4096",
		fmt.Sprintf("link add %s type bridge", i.Bridge()),
		fmt.Sprintf("address add %s/%d dev %s", i.HostIP(), i.NodeRange().Bits(), i.Bridge()),
		fmt.Sprintf("link set %s up", i.Bridge()),
		fmt.Sprintf("route add %s via %s", i.ServiceRange(), i.NodeIP(0)),
	}
}

// Plug connects node k, whose process 1 is pid, with the bridge. The node's end
// of the link is called cable.
func Plug(ctx context.Context, i layout.Instance, k, pid int, cable string) error {
	if err := IP(ctx, plugCommands(i, k, pid, cable)...); err != nil {
		return fmt.Errorf("connect %s: %w", i.NodeName(k), err)
	}
	return nil
}

func plugCommands(i layout.Instance, k, pid int, cable string) []string {
	return []string{
		fmt.Sprintf("link add %s type veth peer name %s netns %d", i.Link(k), cable, pid),
		fmt.Sprintf("link set %s master %s up", i.Link(k), i.Bridge()),
		fmt.Sprintf("route add %s via %s", i.PodRange(k), i.NodeIP(k)),
	}
}

// Disconnect removes the links of the instance, and with them their routes and
// addresses. It is not an error if there are none.
func Disconnect(ctx context.Context, i layout.Instance) error {
	links, err := linksOf(i)
	if err != nil {
		return err
	}
	for _, link := range links {
		if err := IP(ctx, "link delete "+link); err != nil && linkExists(link) {
			return fmt.Errorf("remove link %s: %w", link, err)
		}
	}
	return nil
}

// forgetRoutes removes what all instances share in the routing table. It may be
// gone already.
func forgetRoutes(ctx context.Context) {
	_ = IP(ctx, "route delete blackhole "+layout.Supernet+" metric 4096")
}

// BridgeExists says whether there is a link of that name, whoever made it.
func BridgeExists(i layout.Instance) bool { return linkExists(i.Bridge()) }

func linkExists(name string) bool {
	_, err := os.Lstat("/sys/class/net/" + name)
	return err == nil
}

func linksOf(i layout.Instance) ([]string, error) {
	entries, err := os.ReadDir("/sys/class/net")
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var links []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), i.LinkPrefix()) || e.Name() == i.Bridge() {
			links = append(links, e.Name())
		}
	}
	return links, nil
}
