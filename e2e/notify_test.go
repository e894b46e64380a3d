//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// listeners are whom the controller tells of what happens: they run in the tests' process.
type listeners struct {
	mu     sync.Mutex
	events []heard
	refuse int
}

// heard is what a CloudEvent says of a Rollout.
type heard struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data struct {
		Happening, Namespace, Rollout, Revision, Message string
	} `json:"data"`
}

func (l *listeners) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e heard
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse--; l.refuse >= 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	l.events = append(l.events, e)
}

// told are the happenings that were heard of a revision, in the order of arrival.
func (l *listeners) told(namespace, revision string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for _, e := range l.events {
		if e.Data.Namespace == namespace && e.Data.Revision == revision {
			list = append(list, e.Data.Happening)
		}
	}
	slices.Sort(list)
	return list
}

func (l *listeners) message(revision, happening string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Data.Revision == revision && e.Data.Happening == happening {
			return e.Data.Message
		}
	}
	return ""
}

// listen makes a target of listeners that the scene's namespace may use.
func listen(s *scene, target string) *listeners {
	s.Helper()
	l := &listeners{}
	address := addressForNodes(s.T)
	listener, err := net.Listen("tcp", address+":0")
	if err != nil {
		s.Fatal(err)
	}
	server := httptest.NewUnstartedServer(l)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	s.Cleanup(server.Close)
	file := fmt.Sprintf(`{"targets": [{"name": %q, "namespaces": [%q], "cloudEvents": %q}]}`, target, s.Namespace, server.URL)
	s.kubectl("-n", system, "delete", "secret", "crossfade-notify", "--ignore-not-found")
	s.kubectl("-n", system, "create", "secret", "generic", "crossfade-notify", "--from-literal=targets.yaml="+file)
	s.Cleanup(func() { _, _ = s.try("-n", system, "delete", "secret", "crossfade-notify", "--ignore-not-found") })
	// A changed pod is looked after at once, its mounted Secrets too; else that takes a minute or two.
	s.kubectl("-n", system, "annotate", "pod", "-l", "app.kubernetes.io/name=crossfade-controller", "--overwrite", fmt.Sprintf("e2e/looked-at=%d", time.Now().UnixNano()))
	s.until("the controller has the file", func() (string, bool) {
		for _, pid := range processes(s.T, string(s.leader().UID), "/crossfade") {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/etc/crossfade/notify/targets.yaml", pid))
			return fmt.Sprintf("%s (%v)", text, err), string(text) == file
		}
		return "no process", false
	})
	return l
}

// Everybody who wants to know is told once of everything, in spite of a target that is away at first;
// and what a rollback says names the check, its value and its limit.
func TestNotify(t *testing.T) {
	t.Parallel()
	s := stage(t, setup{Check: true, Steps: []step{{40, "3s"}}, Notify: "team"})
	l := listen(s, "team")
	l.refuse = 2
	s.adopt()
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 40)
	s.promoted(canary)
	want := []string{"Promoted", "Started", "StepStarted", "StepStarted"}
	s.until("the target has heard of the promotion", func() (string, bool) {
		got := l.told(s.Namespace, canary)
		return strings.Join(got, " "), slices.Equal(got, want)
	})
	bad := s.change("v3")
	s.rolledBack("errors")
	s.until("the target has heard of the rollback", func() (string, bool) {
		got := l.told(s.Namespace, bad)
		return strings.Join(got, " "), slices.Equal(got, []string{"RolledBack", "Started", "StepStarted"})
	})
	if m := l.message(bad, "RolledBack"); !strings.Contains(m, "check errors failed") || !strings.Contains(m, "above max 0.05") {
		t.Errorf("what the target heard of the rollback has to name check, value and limit: %q", m)
	}
	f.judge(map[string]string{canary: "v2", bad: "v3"})
}
