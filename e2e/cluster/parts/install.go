package parts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// install installs Debian packages.
func (b *builder) install(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this machine has no apt-get: install %s yourself", strings.Join(names, ", "))
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("installing %s needs root", strings.Join(names, ", "))
	}
	b.reporter.say("updating the list of packages")
	if err := b.run(apt(ctx, "update")); err != nil {
		return err
	}
	b.reporter.say("installing " + strings.Join(names, " "))
	if err := b.run(apt(ctx, append([]string{"install", "--yes", "--no-install-recommends"}, names...)...)); err != nil {
		return err
	}
	if slices.Contains(names, "containerd") {
		// Debian starts it as a service. Every node runs its own; nothing that
		// was not asked for stays running. There is no systemd everywhere.
		_ = exec.CommandContext(ctx, "systemctl", "disable", "--now", "containerd").Run()
	}
	return nil
}

func apt(ctx context.Context, args ...string) *exec.Cmd {
	// Another apt may run, on a fresh machine often the daily one.
	c := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=300"}, args...)...)
	c.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return c
}
