//go:build e2e

package e2e

import (
	"testing"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

// Configuration that is changed in place mid-way is told of, a Secret's too; a label on it is no change, and with the
// delivery the condition ends.
func configChanged(t *testing.T) {
	s := begin(t, setup{Steps: []step{{50, "endless"}}, Replicas: 2})
	f := s.load()
	s.kubectl("create", "configmap", "settings", "--from-literal=COLOUR=blue")
	s.kubectl("create", "secret", "generic", "credentials", "--from-literal=PASSWORD=a")
	canary := s.changed(func() {
		s.kubectl("patch", "deployment", name, "-p", `{"spec":{"template":{"spec":{"containers":[{"name":"payments","image":"crossfade.local/shop:v2",
			"envFrom":[{"configMapRef":{"name":"settings"}},{"secretRef":{"name":"credentials"}}]}]}}}}`)
	})
	s.atWeight(canary, 50)
	told := func(r live.Rollout) bool { return r.Condition("ConfigChanged").Status == "True" }
	s.kubectl("label", "configmap/settings", "team=money")
	s.kubectl("patch", "secret/credentials", "-p", `{"stringData":{"PASSWORD":"b"}}`)
	r := s.await("says that configuration was changed", told)
	if got, want := r.Condition("ConfigChanged").Message, "Secret credentials changed in place"; len(got) < len(want) || got[:len(want)] != want {
		t.Errorf("only the Secret was changed, the ConfigMap got a label: %q", got)
	}
	s.promote(canary)
	s.promoted(canary)
	if told(s.rollout.Last().Object) {
		t.Error("the condition has to end with the delivery")
	}
	f.judge(map[string]string{canary: "v2"})
}
