package v1alpha1_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// goodSchedule is a schedule with every field.
const goodSchedule = `
timeZone: Europe/Berlin
allow:
- {cron: "0 9 * * MON-FRI", duration: 8h}
- {cron: "*/30 22-23,0 1-7 jan,FEB ?", duration: 1h30m, timeZone: America/Argentina/Buenos_Aires}
deny:
- {cron: "0 12 * * 5", duration: 30m, timeZone: Etc/GMT+3}
holds: {start: true, step: false, promote: true}
`

// testScheduleValidation asks a real API server.
func testScheduleValidation(t *testing.T, c client.Client) {
	const cron, zone, lasts = "must be cron's five fields", "must be the IANA name of a time zone", "must be a duration such as 30m"
	for name, tc := range map[string]struct{ reason, schedule, want string }{
		"everything":            {"every field with a good value", goodSchedule, ""},
		"smallest":              {"only what is required", `{deny: [{cron: "* * * * *", duration: 1m}]}`, ""},
		"a year":                {"the longest window", `{allow: [{cron: "0 0 1 1 *", duration: 8784h}]}`, ""},
		"that never fires":      {"CEL cannot know; the condition says it", `{allow: [{cron: "0 9 30 2 *", duration: 1h}]}`, ""},
		"of an unknown zone":    {"CEL cannot know; the condition says it", `{timeZone: Europe/Berlim, allow: [{cron: "0 9 * * *", duration: 1h}]}`, ""},
		"nothing":               {"", `{timeZone: UTC}`, "a schedule without windows says nothing"},
		"no windows":            {"", `{allow: []}`, "should have at least 1 items"},
		"without cron":          {"", `{allow: [{duration: 1h}]}`, "cron: Required value"},
		"without duration":      {"", `{allow: [{cron: "0 9 * * *"}]}`, "duration: Required value"},
		"four fields":           {"", `{allow: [{cron: "0 9 * *", duration: 1h}]}`, cron},
		"six fields":            {"", `{allow: [{cron: "0 0 9 * * *", duration: 1h}]}`, cron},
		"descriptor":            {"", `{allow: [{cron: "@midnight", duration: 1h}]}`, cron},
		"zone in the cron":      {"", `{allow: [{cron: "TZ=UTC 0 9 * *", duration: 1h}]}`, cron},
		"commands":              {"", `{deny: [{cron: "0 9 * * $(id)", duration: 1h}]}`, cron},
		"seconds":               {"", `{deny: [{cron: "0 9 * * *", duration: 59s}]}`, lasts},
		"more than a year":      {"", `{deny: [{cron: "0 9 * * *", duration: 8785h}]}`, lasts},
		"days":                  {"", `{deny: [{cron: "0 9 * * *", duration: 1d}]}`, lasts},
		"Local":                 {"whose?", `{timeZone: Local, deny: [{cron: "0 9 * * *", duration: 1h}]}`, zone},
		"path":                  {"", `{deny: [{cron: "0 9 * * *", duration: 1h, timeZone: ../../etc/passwd}]}`, zone},
		"holds nothing":         {"", `{deny: [{cron: "0 9 * * *", duration: 1h}], holds: {start: false, step: false, promote: false}}`, "nothing would be held"},
		"holds by default":      {"what is left out is true", `{deny: [{cron: "0 9 * * *", duration: 1h}], holds: {start: false, step: false}}`, ""},
		"a window of something": {"", `{windows: [{cron: "0 9 * * *", duration: 1h}]}`, `unknown field "spec.schedule.windows"`},
	} {
		t.Run(name, func(t *testing.T) {
			u := parsed(t, good)
			schedule := map[string]any{}
			if err := yaml.Unmarshal([]byte(tc.schedule), &schedule); err != nil {
				t.Fatal(err)
			}
			set(u.Object["spec"].(map[string]any), schedule, "schedule")
			refused(t, c, u, tc.reason, tc.want)
		})
	}
}

// testFreezeValidation asks a real API server.
func testFreezeValidation(t *testing.T, c client.Client) {
	const either = "set either from, to or both"
	for name, tc := range map[string]struct{ reason, spec, want string }{
		"from to":                   {"", `{namespaceSelector: {matchLabels: {tier: production}}, from: "2026-12-21T17:00:00+01:00", to: "2027-01-04T08:00:00Z", reason: holidays}`, ""},
		"by cron":                   {"", `{cron: "0 18 * * FRI", duration: 62h, timeZone: Europe/Berlin, holds: {promote: false}, reason: weekend}`, ""},
		"from":                      {"until it is deleted", `{from: "2026-12-21T17:00:00Z", reason: incident}`, ""},
		"to":                        {"from its creation", `{to: "2026-12-21T17:00:00Z", reason: incident}`, ""},
		"selector with expressions": {"", `{namespaceSelector: {matchExpressions: [{key: a, operator: In, values: [b]}, {key: c, operator: DoesNotExist}]}, to: "2026-12-21T17:00:00Z", reason: x}`, ""},
		"no time":                   {"for ever, by mistake", `{reason: incident}`, either},
		"both kinds of time":        {"", `{from: "2026-12-21T17:00:00Z", cron: "0 0 * * *", duration: 1h, reason: x}`, either},
		"cron alone":                {"", `{cron: "0 0 * * *", reason: x}`, "cron and duration go together"},
		"duration alone":            {"", `{from: "2026-12-21T17:00:00Z", duration: 1h, reason: x}`, "cron and duration go together"},
		"backwards":                 {"", `{from: "2026-12-21T17:00:00Z", to: "2026-12-21T17:00:00Z", reason: x}`, "to must be later than from"},
		"zone of from":              {"", `{from: "2026-12-21T17:00:00Z", timeZone: Europe/Berlin, reason: x}`, "timeZone is for cron"},
		"no reason":                 {"", `{from: "2026-12-21T17:00:00Z"}`, "reason: Required value"},
		"empty reason":              {"", `{from: "2026-12-21T17:00:00Z", reason: "  "}`, "say in one line why"},
		"two lines":                 {"", `{from: "2026-12-21T17:00:00Z", reason: "a\nb"}`, "say in one line why"},
		"no date":                   {"", `{from: tomorrow, reason: x}`, "must be of type date-time"},
		"operator":                  {"", `{namespaceSelector: {matchExpressions: [{key: a, operator: Like, values: [b]}]}, to: "2026-12-21T17:00:00Z", reason: x}`, "needs an operator: In or NotIn"},
		"In without values":         {"", `{namespaceSelector: {matchExpressions: [{key: a, operator: In}]}, to: "2026-12-21T17:00:00Z", reason: x}`, "needs an operator: In or NotIn"},
		"cron of four":              {"", `{cron: "0 0 * *", duration: 1h, reason: x}`, "must be cron's five fields"},
		"holds nothing":             {"", `{to: "2026-12-21T17:00:00Z", reason: x, holds: {start: false, step: false, promote: false}}`, "nothing would be held"},
	} {
		t.Run(name, func(t *testing.T) {
			u := parsed(t, "apiVersion: crossfade.dev/v1alpha1\nkind: Freeze\nmetadata: {name: f}\nspec: "+tc.spec)
			refused(t, c, u, tc.reason, tc.want)
		})
	}
}

func parsed(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

// refused says that creating an object is refused with some words; with none, that it
// is not.
func refused(t *testing.T, c client.Client, u *unstructured.Unstructured, reason, want string) {
	t.Helper()
	err := c.Create(t.Context(), u, client.DryRunAll)
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: refused: %v", reason, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: want a refusal with %q, got %v", reason, want, err)
	}
}
