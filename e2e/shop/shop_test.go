package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/e2e/load"
)

func TestFromEnvironment(t *testing.T) {
	cases := map[string]struct {
		reason  string
		env     map[string]string
		want    settings
		problem string
	}{
		"Nothing": {
			reason: "It runs without any setting.",
			want:   settings{version: "dev", pod: "shop", address: ":8080", stopAfter: 3 * time.Second},
		},
		"All": {
			reason: "Each setting is read.",
			env:    map[string]string{"VERSION": "v2", "HOSTNAME": "pod-1", "ADDRESS": ":1", "ERROR_RATE": "0.25", "DELAY": "50ms", "STOP_AFTER": "1s"},
			want: settings{
				version: "v2", pod: "pod-1", address: ":1", stopAfter: time.Second,
				fault: fault{Errors: 0.25, Delay: 50 * time.Millisecond},
			},
		},
		"Rate":  {reason: "A percentage is not meant.", env: map[string]string{"ERROR_RATE": "25"}, problem: "ERROR_RATE"},
		"NaN":   {reason: "NaN is no share.", env: map[string]string{"ERROR_RATE": "NaN"}, problem: "ERROR_RATE"},
		"Delay": {reason: "A delay has a unit.", env: map[string]string{"DELAY": "50"}, problem: "DELAY"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := fromEnvironment(func(key string) string { return tc.env[key] })
			if tc.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tc.problem) {
					t.Fatalf("%s\nwant an error about %s, got %v", tc.reason, tc.problem, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(settings{})); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func ask(t *testing.T, h http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w
}

func TestAnswers(t *testing.T) {
	h := newShop(settings{version: "v2", pod: "pod-1"})
	if w := ask(t, h, http.MethodGet, "/any"); w.Code != 200 || w.Header().Get("x-version") != "v2" || !strings.Contains(w.Body.String(), `"version":"v2"`) {
		t.Errorf("want 200 of v2, got %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := ask(t, h, http.MethodPost, "/fault?errors=1"); w.Code != 200 || strings.TrimSpace(w.Body.String()) != "errors=1&delay=0s" {
		t.Errorf("set errors: got %d %s", w.Code, w.Body)
	}
	if w := ask(t, h, http.MethodGet, "/any"); w.Code != 500 || w.Header().Get("x-version") != "v2" {
		t.Errorf("at errors=1: want 500 of v2, got %d %v", w.Code, w.Header())
	}
	if w := ask(t, h, http.MethodPost, "/fault?errors=2"); w.Code != 400 {
		t.Errorf("errors=2 has to be refused, got %d", w.Code)
	}
	if w := ask(t, h, http.MethodGet, "/healthz"); w.Code != 200 {
		t.Errorf("a version that fails is ready all the same, got %d", w.Code)
	}
	ask(t, h, http.MethodPost, "/fault?ready=false")
	if w := ask(t, h, http.MethodGet, "/healthz"); w.Code != 503 {
		t.Errorf("told to be unready, it has to be, got %d", w.Code)
	}
	ask(t, h, http.MethodPost, "/fault?ready=true")
	if w := ask(t, h, http.MethodGet, "/healthz"); w.Code != 200 {
		t.Errorf("told to be ready again, it has to be, got %d", w.Code)
	}
	h.stopping.Store(true)
	if w := ask(t, h, http.MethodGet, "/healthz"); w.Code != 503 {
		t.Errorf("one that stops is not ready, got %d", w.Code)
	}
}

func TestLoadCommand(t *testing.T) {
	server := httptest.NewServer(newShop(settings{version: "v1", pod: "pod-1"}))
	t.Cleanup(server.Close)
	var out bytes.Buffer
	if err := loadCommand(t.Context(), []string{"-url", server.URL, "-rate", "500", "-requests", "10"}, &out); err != nil {
		t.Fatal(err)
	}
	var got load.Counts
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if got.Requests != 10 || got.Versions["v1"] != 10 {
		t.Errorf("want 10 answers of v1, got %v", got)
	}
}
