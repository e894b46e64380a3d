package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

var update = flag.Bool("update", false, "write the golden files anew")

// noon is the time of all tests whose output shows one.
var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// cluster is an API server with the objects of a few files: what the plugin sends to
// it and prints about it is tested whole, from the command line to the wire.
type cluster struct {
	t      *testing.T
	server *httptest.Server

	mu      sync.Mutex
	objects []map[string]any
	// writes are the requests that change something, a line each.
	writes []string
	// answer, if set, may answer in the cluster's place.
	answer func(w http.ResponseWriter, r *http.Request) bool
	// after, if set, is what the cluster's controllers do after a write.
	after func(c *cluster)
	// changed is closed at a change, for those who watch.
	changed chan struct{}
}

func newCluster(t *testing.T, files ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, changed: make(chan struct{})}
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(raw), "\n---\n") {
			object := map[string]any{}
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			c.objects = append(c.objects, object)
		}
	}
	c.server = httptest.NewServer(c)
	t.Cleanup(c.server.Close)
	return c
}

// member walks into an object.
func member(object map[string]any, path ...string) any {
	var at any = object
	for _, key := range path {
		m, _ := at.(map[string]any)
		at = m[key]
	}
	return at
}

// kinds are the resources that this API server has, by kind.
var kinds = map[string]string{
	"rollouts": "Rollout", "rolloutactions": "RolloutAction", "deployments": "Deployment", "replicasets": "ReplicaSet", "pods": "Pod",
	"namespaces": "Namespace", "services": "Service", "meshpolicies": "MeshPolicy", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet",
	"configmaps": "ConfigMap", "resourcequotas": "ResourceQuota", "horizontalpodautoscalers": "HorizontalPodAutoscaler",
	"poddisruptionbudgets": "PodDisruptionBudget", "httproutes": "HTTPRoute", "gateways": "Gateway", "analysistemplates": "AnalysisTemplate",
	"clusteranalysistemplates": "ClusterAnalysisTemplate", "freezes": "Freeze",
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.answer != nil && c.answer(w, r) {
		return
	}
	if r.URL.Query().Get("watch") != "" {
		c.watch(w, r)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	namespace, resource, name := where(r.URL.Path)
	if kinds[resource] == "" {
		fail(w, http.StatusNotFound, "NotFound", "the server could not find the requested resource", "")
		return
	}
	switch r.Method {
	case http.MethodGet:
		c.read(w, namespace, resource, name)
	case http.MethodPost, http.MethodPatch:
		c.write(w, r, namespace, resource, name)
	default:
		fail(w, http.StatusMethodNotAllowed, "MethodNotAllowed", "not here", name)
	}
}

// where takes a path such as /apis/apps/v1/namespaces/shop/deployments/payments apart.
func where(path string) (namespace, resource, name string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	parts = parts[min(len(parts), map[string]int{"api": 2, "apis": 3}[parts[0]]):]
	if len(parts) >= 3 && parts[0] == "namespaces" {
		namespace, parts = parts[1], parts[2:]
	}
	parts = append(parts, "", "")
	return namespace, parts[0], parts[1]
}

func (c *cluster) read(w http.ResponseWriter, namespace, resource, name string) {
	items := []any{}
	for _, object := range c.objects {
		if object["kind"] != kinds[resource] || (namespace != "" && member(object, "metadata", "namespace") != namespace) {
			continue
		}
		if name == member(object, "metadata", "name") {
			reply(w, http.StatusOK, object)
			return
		}
		items = append(items, object)
	}
	if name != "" {
		fail(w, http.StatusNotFound, "NotFound", resource+" \""+name+"\" not found", name)
		return
	}
	reply(w, http.StatusOK, map[string]any{"kind": kinds[resource] + "List", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": "1"}, "items": items})
}

func (c *cluster) write(w http.ResponseWriter, r *http.Request, namespace, resource, name string) {
	body, _ := io.ReadAll(r.Body)
	c.writes = append(c.writes, r.Method+" "+r.URL.Path+" "+string(bytes.TrimSpace(body)))
	object := map[string]any{}
	if r.Method == http.MethodPost {
		_ = json.Unmarshal(body, &object)
		meta, _ := object["metadata"].(map[string]any)
		if prefix, _ := meta["generateName"].(string); prefix != "" {
			meta["name"] = prefix + "x7k2p"
		}
		meta["namespace"] = namespace
		c.objects = append(c.objects, object)
	} else {
		i := slices.IndexFunc(c.objects, func(o map[string]any) bool {
			return o["kind"] == kinds[resource] && member(o, "metadata", "name") == name && member(o, "metadata", "namespace") == namespace
		})
		if i < 0 {
			fail(w, http.StatusNotFound, "NotFound", resource+" \""+name+"\" not found", name)
			return
		}
		object = c.objects[i]
	}
	reply(w, http.StatusOK, object)
	if c.after != nil {
		c.after(c)
	}
}

// watch tells of changes, without saying which.
func (c *cluster) watch(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	for {
		w.(http.Flusher).Flush()
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"type": "MODIFIED", "object": map[string]any{
			"apiVersion": "crossfade.dev/v1alpha1", "kind": "Rollout", "metadata": map[string]any{"name": "payments"},
		}})
	}
}

// becomes replaces all objects by those of a file, and tells those who watch.
func (c *cluster) becomes(file string) {
	next := newCluster(c.t, file)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects = next.objects
	close(c.changed)
	c.changed = make(chan struct{})
}

// set changes an object that the cluster has.
func (c *cluster) set(kind, name string, change func(object map[string]any)) {
	for _, object := range c.objects {
		if object["kind"] == kind && member(object, "metadata", "name") == name {
			change(object)
		}
	}
}

func reply(w http.ResponseWriter, code int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(object)
}

func fail(w http.ResponseWriter, code int, reason, message, name string) {
	reply(w, code, map[string]any{
		"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
		"details": map[string]any{"name": name},
	})
}

// run types a command line and returns what a terminal would show, with the exit
// code.
func (c *cluster) run(args ...string) (out, errOut string, code int) {
	return c.runAt(c.t.Context(), func() time.Time { return noon }, args...)
}

func (c *cluster) runAt(ctx context.Context, now func() time.Time, args ...string) (out, errOut string, code int) {
	return runWith(ctx, now, append(args, "--server", c.server.URL)...)
}

func runWith(ctx context.Context, now func() time.Time, args ...string) (out, errOut string, code int) {
	streams, _, outBuffer, errBuffer := genericiooptions.NewTestIOStreams()
	code = run(ctx, session.New(streams, "v0.5.0", now), args)
	return outBuffer.String(), errBuffer.String(), code
}

// golden compares with a file of testdata, which can be read aloud.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// isolate keeps the developer's own configuration out of a test.
func isolate(t *testing.T) {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("HOME", t.TempDir())
	t.Setenv("NO_COLOR", "")
}

// session is a command line with what it printed, as a golden shows it.
func transcript(args []string, out, errOut string, code int) string {
	b := &strings.Builder{}
	b.WriteString("$ kubectl crossfade " + strings.Join(args, " ") + "\n" + out + errOut)
	if code != 0 {
		b.WriteString("[exit code " + string(rune('0'+code)) + "]\n")
	}
	return b.String()
}
