package parts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
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
	return b.run(apt(ctx, append([]string{"install", "--yes", "--no-install-recommends"}, names...)...))
}

func apt(ctx context.Context, args ...string) *exec.Cmd {
	// Another apt may run, on a fresh machine often the daily one.
	c := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=300"}, args...)...)
	c.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return c
}
