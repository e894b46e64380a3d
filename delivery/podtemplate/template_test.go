package podtemplate

import (
	"regexp"
	"testing"

	"sigs.k8s.io/yaml"
)

func template(t *testing.T, text string) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestHash(t *testing.T) {
	const base = `{metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "web:1"}]}}`
	cases := map[string]struct {
		reason string
		other  string
		equal  bool
	}{
		"itself":            {reason: "equal bytes", other: base, equal: true},
		"hash label":        {reason: "a ReplicaSet adds its label", other: `{metadata: {labels: {app: web, pod-template-hash: abc}}, spec: {containers: [{name: web, image: "web:1"}]}}`, equal: true},
		"creationTimestamp": {reason: "older servers add a null", other: `{metadata: {creationTimestamp: null, labels: {app: web}}, spec: {containers: [{name: web, image: "web:1"}]}}`, equal: true},
		"empty members":     {reason: "nil and empty are one", other: `{metadata: {annotations: {}, labels: {app: web}}, spec: {volumes: [], containers: [{name: web, image: "web:1", env: null}]}}`, equal: true},
		"other image":       {reason: "a change", other: `{metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "web:2"}]}}`},
		"other label":       {reason: "a change of labels is one", other: `{metadata: {labels: {app: web, tier: a}}, spec: {containers: [{name: web, image: "web:1"}]}}`},
		"unknown field":     {reason: "a field that this client does not know must count", other: `{metadata: {labels: {app: web}}, spec: {novelty: 1, containers: [{name: web, image: "web:1"}]}}`},
		"false":             {reason: "false is a value, not an absence", other: `{metadata: {labels: {app: web}}, spec: {hostIPC: false, containers: [{name: web, image: "web:1"}]}}`},
	}
	want, err := Hash(template(t, base))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Hash(template(t, tc.other))
			if err != nil {
				t.Fatal(err)
			}
			if (got == want) != tc.equal {
				t.Errorf("%s: equal = %v, want %v", tc.reason, got == want, tc.equal)
			}
		})
	}
}

func TestCanaryHashIsNoneOfTheDeploymentControllers(t *testing.T) {
	hash, err := CanaryHash(template(t, `{metadata: {labels: {app: web}}, spec: {}}`))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^x[0-9a-f]{10}$`).MatchString(hash) {
		t.Errorf("hash %q: want x and ten hex digits", hash)
	}
	labelled, err := CanaryHash(template(t, `{metadata: {labels: {app: web, pod-template-hash: abc}}, spec: {}}`))
	if err != nil {
		t.Fatal(err)
	}
	if labelled != hash {
		t.Errorf("the label pod-template-hash changed the hash from %s to %s", hash, labelled)
	}
}
