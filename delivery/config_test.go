package delivery

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// TestConfigChanged: what is changed in place is told once for each change, and the
// condition stays until the delivery ends.
func TestConfigChanged(t *testing.T) {
	began := []v1alpha1.ConfigVersion{{Kind: "ConfigMap", Name: "settings", Version: "1"}, {Kind: "Secret", Name: "keys", Version: "1"}}
	for name, tc := range map[string]struct {
		reason string
		record []v1alpha1.ConfigVersion
		seen   []Config
		known  bool
		want   []v1alpha1.ConfigVersion
		events int
		stands bool
	}{
		"captured":   {"what the canary starts with", nil, []Config{{"ConfigMap", "settings", "1"}}, true, began[:1], 0, false},
		"none used":  {"nothing to remember", nil, nil, true, nil, 0, false},
		"not known":  {"nobody can say", began, []Config{{"ConfigMap", "settings", "2"}}, false, began, 0, false},
		"as it was":  {"nothing happened", began, []Config{{"ConfigMap", "settings", "1"}, {"Secret", "keys", "1"}}, true, began, 0, false},
		"changed":    {"one of them", began, []Config{{"ConfigMap", "settings", "1"}, {"Secret", "keys", "2"}}, true, []v1alpha1.ConfigVersion{began[0], {Kind: "Secret", Name: "keys", Version: "2", Changed: true}}, 1, true},
		"gone":       {"a deletion is a change", began[:1], []Config{{"ConfigMap", "settings", ""}}, true, []v1alpha1.ConfigVersion{{Kind: "ConfigMap", Name: "settings", Changed: true}}, 1, true},
		"told":       {"not told again", []v1alpha1.ConfigVersion{{Kind: "Secret", Name: "keys", Version: "2", Changed: true}}, []Config{{"Secret", "keys", "2"}}, true, []v1alpha1.ConfigVersion{{Kind: "Secret", Name: "keys", Version: "2", Changed: true}}, 0, true},
		"once more":  {"another change is told", []v1alpha1.ConfigVersion{{Kind: "Secret", Name: "keys", Version: "2", Changed: true}}, []Config{{"Secret", "keys", "3"}}, true, []v1alpha1.ConfigVersion{{Kind: "Secret", Name: "keys", Version: "3", Changed: true}}, 1, true},
		"not before": {"what was not used at the start is compared with nothing", began[:1], []Config{{"ConfigMap", "other", "9"}, {"ConfigMap", "settings", "1"}}, true, began[:1], 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := holding()
			record(o).Config, o.Config, o.ConfigKnown = tc.record, tc.seen, tc.known
			plan := Decide(*o)
			if d := cmp.Diff(tc.want, plan.Status.Record.Config); d != "" {
				t.Errorf("%s\nrecord: -want +got\n%s", tc.reason, d)
			}
			told, stands := 0, false
			for _, e := range plan.Events {
				if e.Reason == EventConfigChanged {
					told++
				}
			}
			for _, c := range plan.Status.Conditions {
				stands = stands || c.Type == v1alpha1.ConditionConfigChanged
			}
			if told != tc.events || stands != tc.stands {
				t.Errorf("%s: %d events, condition %v", tc.reason, told, stands)
			}
		})
	}
}
