package machine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSettings(t *testing.T) {
	cases := map[string]struct {
		reason string
		before string
		want   string // while an instance is up
	}{
		"TooLow":  {"A limit that is too low is raised.", "128\n", "4096"},
		"HighToo": {"A limit that is high enough is the user's own business.", "8192\n", "8192\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "limit")
			if err := os.WriteFile(path, []byte(tc.before), 0o644); err != nil {
				t.Fatal(err)
			}
			host := thisMachine{path: 4096}
			before, err := host.settings()
			if err != nil {
				t.Fatal(err)
			}
			if err := host.change(before); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, read(t, path)); diff != "" {
				t.Errorf("%s\nvalue while up (-want +got):\n%s", tc.reason, diff)
			}
			// What a second instance finds must not become what is restored.
			again, err := host.settings()
			if err != nil {
				t.Fatal(err)
			}
			again.with(before).write()
			if got := read(t, path); got != tc.before && got+"\n" != tc.before {
				t.Errorf("%s\nvalue after = %q, want %q", tc.reason, got, tc.before)
			}
		})
	}
}

func TestSettingsKeepTheFirstValue(t *testing.T) {
	got := Settings{"limit": "4096", "other": "1"}.with(Settings{"limit": "128"})
	if diff := cmp.Diff(Settings{"limit": "128", "other": "1"}, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
