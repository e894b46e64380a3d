package release

import (
	"strings"
	"testing"
)

func TestSkew(t *testing.T) {
	tests := map[string]struct{ client, controller, want string }{
		"same":           {"v0.5.0", "v0.5.0", ""},
		"older plugin":   {"v0.4.9", "v0.5.0", "the plugin is older"},
		"newer plugin":   {"v0.10.0", "v0.9.0", "the plugin is newer"},
		"commits apart":  {"v0.5.0-3-gabcdef0", "v0.5.0-9-g1234567", "the two differ"},
		"no versions":    {"dev", "v0.5.0", "the two differ"},
		"a dirty tree":   {"c327711-dirty", "c327711", "the two differ"},
		"both unnamed":   {"dev", "dev", ""},
		"an image's tag": {"v0.5.0", "latest", "the two differ"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := skew(tt.client, tt.controller)
			if (tt.want == "") != (got == "") || !strings.HasPrefix(got, tt.want) {
				t.Errorf("plugin %s, controller %s: %q, want %q", tt.client, tt.controller, got, tt.want)
			}
		})
	}
}

func TestTag(t *testing.T) {
	tests := map[string]string{
		"crossfade.local/crossfade:dev": "dev", "registry.example:5000/team/crossfade:v0.5.0": "v0.5.0",
		"registry.example:5000/crossfade": "unknown", "crossfade:v1@sha256:00": "v1", "crossfade@sha256:00": "unknown",
	}
	for image, want := range tests {
		if got := tag(image); got != want {
			t.Errorf("the tag of %s is %q, want %q", image, got, want)
		}
	}
}

func TestInfoVersion(t *testing.T) {
	page := "# TYPE go_goroutines gauge\ngo_goroutines 9\n# TYPE crossfade_controller_info gauge\ncrossfade_controller_info{version=\"v0.5.0\"} 1\n"
	if got := infoVersion(strings.NewReader(page)); got != "v0.5.0" {
		t.Errorf("got %q", got)
	}
	for _, none := range []string{"", "not a page", "go_goroutines 9\n"} {
		if got := infoVersion(strings.NewReader(none)); got != "" {
			t.Errorf("%q is no version of %q", got, none)
		}
	}
}
