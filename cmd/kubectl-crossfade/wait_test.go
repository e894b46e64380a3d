package main

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestGoldenWait types `wait` for a revision that ends in each of the ways in which
// one can end.
func TestGoldenWait(t *testing.T) {
	isolate(t)
	tests := map[string]struct {
		reason string
		file   string
		args   string
		code   int
	}{
		"wait-promoted":   {reason: "Code 0.", file: "promoted.yaml", args: "wait payments -n shop --for promoted", code: 0},
		"wait-rolledback": {reason: "Code 2, with check, value and query.", file: "rolledback.yaml", args: "wait payments -n shop", code: 2},
		"wait-rolledback-json": {
			reason: "The same for machines.", file: "rolledback.yaml", args: "wait payments -n shop -o json", code: 2,
		},
		"wait-timeout":    {reason: "Code 3, with what it hung on.", file: "stepping.yaml", args: "wait payments -n shop --timeout 300ms", code: 3},
		"wait-person":     {reason: "Code 4, with the command.", file: "paused.yaml", args: "wait payments -n shop", code: 4},
		"wait-superseded": {reason: "Code 5, with what came instead.", file: "stepping.yaml", args: "wait payments -n shop --revision 6c5d9f7b64", code: 5},
		"wait-image":      {reason: "Code 0, by its image.", file: "promoted.yaml", args: "wait payments -n shop --image crossfade.local/shop:v2", code: 0},
		"wait-none":       {reason: "Code 1: there is no such Rollout.", file: "stepping.yaml", args: "wait orders -n shop", code: 1},
		"wait-two":        {reason: "Code 1: two targets.", file: "stepping.yaml", args: "wait payments -n shop --image a --revision b", code: 1},
		"wait-for":        {reason: "Code 1: there is nothing else to wait for.", file: "stepping.yaml", args: "wait payments -n shop --for deletion", code: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, tt.file)
			args := strings.Fields(tt.args)
			out, errOut, code := c.run(args...)
			if code != tt.code {
				t.Errorf("%s: exit code %d, want %d", tt.reason, code, tt.code)
			}
			golden(t, name+".golden", transcript(args, out, errOut, code))
		})
	}
}

// TestWaitFollows: a wait tells each change in a line, and ends soon after the end.
func TestWaitFollows(t *testing.T) {
	isolate(t)
	c := newCluster(t, "stepping.yaml")
	// The second look is the wake of a watch that has begun; then the promotion comes.
	var looks atomic.Int32
	c.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("watch") != "" {
			time.AfterFunc(50*time.Millisecond, func() { c.becomes("promoted.yaml") })
		} else if strings.Contains(r.URL.Path, "/rollouts/") {
			looks.Add(1)
		}
		return false
	}
	began := time.Now()
	out, errOut, code := c.run("wait", "payments", "-n", "shop", "--timeout", "30s")
	if code != 0 || strings.Count(out, "\n") != 2 || errOut != "" {
		t.Errorf("exit code %d after %d looks, want 0, a change and the end:\n%s%s", code, looks.Load(), out, errOut)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the end was seen after %s: the watch did not wake it", took)
	}
}

// TestWaitEndsInTime: whatever the API server does, a wait is over when its time is.
func TestWaitEndsInTime(t *testing.T) {
	isolate(t)
	tests := map[string]struct {
		reason string
		answer func(w http.ResponseWriter, r *http.Request) bool
		code   int
		says   string
	}{
		"never answers": {
			reason: "A connection that is accepted and never answered.",
			answer: func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true },
			code:   3, says: "no outcome within",
		},
		"only errors": {
			reason: "An API server that cannot reach its store.",
			answer: func(w http.ResponseWriter, _ *http.Request) bool {
				fail(w, http.StatusInternalServerError, "InternalError", "etcdserver: request timed out", "")
				return true
			},
			code: 3, says: "etcdserver",
		},
		"kinds not there yet": {
			reason: "An API server that has just started serves no custom kinds for a moment.",
			answer: func(w http.ResponseWriter, _ *http.Request) bool {
				http.Error(w, "404 page not found", http.StatusNotFound)
				return true
			},
			code: 3, says: "could not find the requested resource",
		},
		"watch expired": {
			reason: "Each watch ends at once with 410: it is looked again all the same.",
			answer: func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Get("watch") == "" {
					return false
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"type": "ERROR", "object": map[string]any{
					"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old resource version",
				}})
				return true
			},
			code: 3, says: "holding until 12:03:00",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, "stepping.yaml")
			c.answer = tt.answer
			began := time.Now()
			out, errOut, code := c.run("wait", "payments", "-n", "shop", "--timeout", "1500ms")
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("%s: it took %s", tt.reason, took)
			}
			if code != tt.code || !strings.Contains(out+errOut, tt.says) {
				t.Errorf("%s: exit code %d, want %d and %q:\n%s%s", tt.reason, code, tt.code, tt.says, out, errOut)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		out, errOut, code := runWith(t.Context(), time.Now, "wait", "payments", "-n", "shop", "--timeout", "1500ms", "--server", "http://127.0.0.1:1")
		if code != 3 || !strings.Contains(out, "connection refused") {
			t.Errorf("exit code %d, want 3 and the reason:\n%s%s", code, out, errOut)
		}
	})
}

// TestWaitOutlivesARestart: the API server goes and comes back, and what happened
// meanwhile is seen.
func TestWaitOutlivesARestart(t *testing.T) {
	isolate(t)
	c := newCluster(t, "stepping.yaml")
	var looks atomic.Int32
	c.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/rollouts") {
			return false
		}
		switch n := looks.Add(1); {
		case n < 3:
			return false
		case n < 6:
			hijack(t, w)
			return true
		case n == 6:
			c.becomes("rolledback.yaml")
		}
		return false
	}
	out, errOut, code := c.run("wait", "payments", "-n", "shop", "--timeout", "60s")
	if code != 2 || !strings.Contains(out, "0.377795") {
		t.Errorf("exit code %d, want 2:\n%s%s", code, out, errOut)
	}
}

// hijack ends a connection without an answer, as an API server that is killed does.
func hijack(t *testing.T, w http.ResponseWriter) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_ = connection.Close()
}

// TestGoldenJUnit: the report is well formed, counts what it has, and is a failure
// only when the revision failed.
func TestGoldenJUnit(t *testing.T) {
	isolate(t)
	for name, file := range map[string]string{"junit-promoted": "promoted.yaml", "junit-rolledback": "rolledback.yaml", "junit-person": "paused.yaml"} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, file)
			path := filepath.Join(t.TempDir(), "report.xml")
			c.run("wait", "payments", "-n", "shop", "--junit", path)
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".golden", string(raw))
			var report struct {
				Suites []struct {
					Tests    int `xml:"tests,attr"`
					Failures int `xml:"failures,attr"`
					Errors   int `xml:"errors,attr"`
					Cases    []struct {
						Name    string    `xml:"name,attr"`
						Failure *struct{} `xml:"failure"`
						Error   *struct{} `xml:"error"`
					} `xml:"testcase"`
				} `xml:"testsuite"`
			}
			if err := xml.Unmarshal(raw, &report); err != nil {
				t.Fatalf("it is no XML: %v", err)
			}
			for _, s := range report.Suites {
				failures, errors := 0, 0
				for _, c := range s.Cases {
					if c.Failure != nil {
						failures++
					}
					if c.Error != nil {
						errors++
					}
				}
				if s.Tests != len(s.Cases) || s.Failures != failures || s.Errors != errors {
					t.Errorf("the suite counts %d tests, %d failures and %d errors, and has %d, %d and %d", s.Tests, s.Failures, s.Errors, len(s.Cases), failures, errors)
				}
			}
		})
	}
	t.Run("a file that cannot be written", func(t *testing.T) {
		c := newCluster(t, "promoted.yaml")
		_, errOut, code := c.run("wait", "payments", "-n", "shop", "--junit", filepath.Join(t.TempDir(), "no", "such", "folder.xml"))
		if code != 0 || !strings.Contains(errOut, "warning: write the JUnit report") {
			t.Errorf("exit code %d, %q: a missing report makes no promotion a failure, and is said", code, errOut)
		}
	})
}
