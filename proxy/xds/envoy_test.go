package xds_test

import (
	"os"
	"path/filepath"
	"testing"
)

// findEnvoy returns the real Envoy's program: the one in CROSSFADE_ENVOY, or the
// one that make test puts into .local/bin.
func findEnvoy(t *testing.T) string {
	t.Helper()
	for _, candidate := range []string{os.Getenv("CROSSFADE_ENVOY"), "../../.local/bin/envoy"} {
		if path, err := filepath.Abs(candidate); candidate != "" && err == nil {
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
	}
	t.Skip("there is no Envoy to ask: set CROSSFADE_ENVOY, or run make test")
	return ""
}
