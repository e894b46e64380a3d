//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The whole product is taken out while one Deployment is Healthy and another one is held mid-way, and put in
// again. Nobody's pods are touched but by the held Deployment's own rolling update.
func TestUninstall(t *testing.T) {
	healthy := stage(t, setup{Replicas: 2})
	wrote, pods := healthy.asWritten(), healthy.pods()
	healthy.adopt()
	t.Run("held", func(t *testing.T) {
		held := stage(t, setup{Replicas: 2, Steps: []step{{50, "endless"}}})
		heldWrote := held.asWritten()
		held.adopt()
		held.plain()
		held.atWeight(held.change("v2"), 50)
		begin := time.Now()
		healthy.script("uninstall")
		t.Logf("uninstalled in %s", time.Since(begin).Round(time.Second))
		held.kubectl("rollout", "status", "deployment/"+name, patiently)
		heldWrote.image = "crossfade.local/shop:v2"
		held.asFound(heldWrote, false)
		if plain := held.plainCounts(); plain.Lost > 0 || plain.Versions["v2"] == 0 {
			t.Errorf("the client of the plain Service has to go on, and to get v2 in the end: %v", plain)
		}
	})
	healthy.asFound(wrote, false)
	healthy.samePods("uninstalling", pods, healthy.pods())
	if out, err := healthy.try("get", "rollouts"); err == nil {
		t.Errorf("Rollouts are still known: %s", out)
	}
	begin := time.Now()
	healthy.script("install")
	t.Logf("installed again in %s", time.Since(begin).Round(time.Second))
	healthy.adopt()
	healthy.samePods("installing again", pods, healthy.pods())
}

// script runs one of the project's scripts, which takes the cluster from the environment.
func (s *scene) script(script string) {
	s.Helper()
	c := exec.CommandContext(s.ctx, filepath.Join(root, ".ci", script))
	if out, err := c.CombinedOutput(); err != nil {
		s.Fatalf("run .ci/%s: %v\n%s", script, err, out)
	}
}
