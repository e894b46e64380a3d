package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/controllers/outbound"
)

// receiver keeps what it was sent and answers with status.
type receiver struct {
	status int
	header http.Header
	body   string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.header, r.body = req.Header, string(body)
	w.WriteHeader(r.status)
}

func receive(t *testing.T, status int) (*receiver, string) {
	t.Helper()
	r := &receiver{status: status}
	return r, serve(t, r)
}

// serve says at which host and port h answers.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func open(t *testing.T, text string) *Targets {
	t.Helper()
	targets, err := Open(write(t, text), beside(t))
	if err != nil {
		t.Fatal(err)
	}
	return targets
}

// beside is a guard that lets out to where the tests' servers are.
func beside(t *testing.T) Guard { return guarded(t, outbound.Options{Loopback: true}) }

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "targets.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func message() Message {
	return Message{
		ID: "78bd5d695/2/RolledBack/1", On: "RolledBack", Namespace: "shop", Rollout: "payments", UID: "u-1",
		Revision: "78bd5d695", Stable: "6d7bd6989", Step: 2, Text: "check errors failed: 0.2 is above max 0.01",
		At: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC),
	}
}

func TestSendWebhook(t *testing.T) {
	r, host := receive(t, http.StatusOK)
	targets := open(t, fmt.Sprintf(`
targets:
- {name: hook, namespaces: [shop], url: "generic://%s/in/?disabletls=yes&template=json"}
templates:
  RolledBack: "{{.Revision}} went back: {{.Text}}"
`, host))
	if err := targets.Send(t.Context(), "hook", message()); err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	want := map[string]string{
		"title": "Rollout shop/payments: rolled back", "message": "78bd5d695 went back: check errors failed: 0.2 is above max 0.01",
		"id": "78bd5d695/2/RolledBack/1", "on": "RolledBack", "namespace": "shop", "rollout": "payments", "revision": "78bd5d695", "at": "2026-01-01T12:00:00Z",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestSendCloudEvent(t *testing.T) {
	r, host := receive(t, http.StatusAccepted)
	targets := open(t, fmt.Sprintf(`targets: [{name: machines, namespaces: ["*"], cloudEvents: "http://%s/events"}]`, host))
	if err := targets.Send(t.Context(), "machines", message()); err != nil {
		t.Fatal(err)
	}
	if got, want := r.header.Get("Content-Type"), "application/cloudevents+json"; got != want {
		t.Errorf("content type %q, want %q", got, want)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"specversion": "1.0", "id": "u-1/78bd5d695/2/RolledBack/1", "type": "dev.crossfade.rollout.rolledback.v1",
		"source": "/apis/crossfade.dev/v1alpha1/namespaces/shop/rollouts/payments", "subject": "78bd5d695",
		"time": "2026-01-01T12:00:00Z", "datacontenttype": "application/json",
		"data": map[string]any{
			"happening": "RolledBack", "namespace": "shop", "rollout": "payments", "uid": "u-1", "revision": "78bd5d695",
			"stable": "6d7bd6989", "step": 2.0, "message": "check errors failed: 0.2 is above max 0.01",
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// TestErrorsNameNoAddress: who knows a webhook's address may write to it.
func TestErrorsNameNoAddress(t *testing.T) {
	_, refusing := receive(t, http.StatusForbidden)
	const secret = "T0PS3CRETTOKEN"
	for name, address := range map[string]string{
		"webhook refuses": `url: "generic://` + refusing + `/` + secret + `?disabletls=yes"`,
		"webhook away":    `url: "generic://127.0.0.1:1/` + secret + `?disabletls=yes"`,
		"events refused":  `cloudEvents: "http://user:` + secret + `@` + refusing + `/` + secret + `"`,
		"events away":     `cloudEvents: "http://127.0.0.1:1/` + secret + `?token=` + secret + `"`,
		"slack's form":    `url: "slack://` + secret + `"`,
		"mail":            `url: "smtp://me:` + secret + `@127.0.0.1:1/?from=a@example.com&to=b@example.com"`,
	} {
		t.Run(name, func(t *testing.T) {
			err := open(t, `targets: [{name: x, namespaces: [shop], `+address+`}]`).Send(t.Context(), "x", message())
			if err == nil {
				t.Fatal("nothing took it, and there is no error")
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

func TestWhoMayUseATarget(t *testing.T) {
	_, host := receive(t, http.StatusOK)
	targets := open(t, fmt.Sprintf(`targets: [{name: x, namespaces: [other], cloudEvents: "http://%s"}]`, host))
	for _, name := range []string{"x", "y"} {
		if err := targets.Send(t.Context(), name, message()); !errors.Is(err, ErrNoTarget) {
			t.Errorf("target %s for namespace shop: %v, want %v", name, err, ErrNoTarget)
		}
	}
	m := message()
	m.Namespace = "other"
	if err := targets.Send(t.Context(), "x", m); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"", "/no/such/file"} {
		none, err := Open(path, beside(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := none.Send(t.Context(), "x", m); !errors.Is(err, ErrNoTarget) {
			t.Errorf("with file %q: %v", path, err)
		}
	}
}

// TestFileChanges: mounted files change while the controller runs, addresses too.
func TestFileChanges(t *testing.T) {
	r, host := receive(t, http.StatusOK)
	path := write(t, `targets: [{name: x, namespaces: [shop], cloudEventsFile: address}]`)
	address := filepath.Join(filepath.Dir(path), "address")
	targets, err := Open(path, beside(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := targets.Send(t.Context(), "x", message()); err == nil {
		t.Error("there is no file with the address, and no error")
	}
	if err := os.WriteFile(address, []byte("http://"+host+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := targets.Send(t.Context(), "x", message()); err != nil || r.body == "" {
		t.Errorf("error %v, received %q", err, r.body)
	}
	if err := os.WriteFile(path, []byte(`targets: [{name: z}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := targets.Send(t.Context(), "x", message()); err == nil || errors.Is(err, ErrNoTarget) {
		t.Errorf("a file that cannot be understood has to be tried again: %v", err)
	}
}

func TestBadFiles(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"misspelt":       {`targets: [{nme: x}]`, `unknown field "nme"`},
		"no name":        {`targets: [{namespaces: ["*"], url: "slack://a"}]`, "name is missing"},
		"no namespaces":  {`targets: [{name: x, url: "slack://a"}]`, "namespaces is missing"},
		"two addresses":  {`targets: [{name: x, namespaces: [a], url: "slack://a", urlFile: b}]`, "exactly one of"},
		"no address":     {`targets: [{name: x, namespaces: [a]}]`, "exactly one of"},
		"service":        {`targets: [{name: x, namespaces: [a], url: "pigeon://a"}]`, "not one of shoutrrr's services"},
		"events":         {`targets: [{name: x, namespaces: [a], cloudEvents: "ftp://a"}]`, "http or https"},
		"twice":          {`targets: [{name: x, namespaces: [a], url: "slack://a"}, {name: x, namespaces: [a], url: "slack://a"}]`, "two targets"},
		"template":       {`templates: {Promoted: "{{.Nope}}"}`, "can't evaluate field Nope"},
		"template name":  {`templates: {Exploded: "x"}`, "no such happening"},
		"template parse": {`templates: {default: "{{"}`, "templates[default]"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(write(t, tc.text), nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}
