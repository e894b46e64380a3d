package v1alpha1_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// testHooks asks a real API server about what is said of hooks.
func testHooks(t *testing.T, c client.Client) {
	many := strings.TrimSuffix(strings.Repeat("{name: nN, at: BeforeStep, http: {url: 'http://x'}},", 21), ",")
	for i := range 21 {
		many = strings.Replace(many, "nN", "n"+string(rune('a'+i)), 1)
	}
	cases := map[string]struct {
		reason, hooks string
		// want is what the refusal must say; empty when it must be accepted.
		want string
	}{
		"everything":         {reason: "every field with a good value", hooks: `{name: a, at: BeforeStep, steps: [1, 5], http: {serviceRef: {name: gate, port: 8080}, path: "/ask?a=b%20c", timeout: 500ms, retries: 0}}`},
		"every moment":       {hooks: `{name: a, at: BeforeStart, http: {url: "http://x"}}, {name: b, at: DuringStep, http: {url: "http://x"}}, {name: c, at: BeforePromotion, http: {url: "http://x"}}, {name: d, at: AfterPromotion, http: {url: "http://x"}}, {name: e, at: AfterRollback, http: {url: "http://x"}}`},
		"url":                {hooks: `{name: a, at: BeforeStart, http: {url: "https://deploys.example.com:8443/x?y=z"}}`},
		"url and path":       {hooks: `{name: a, at: BeforeStart, http: {url: "https://deploys.example.com", path: /x}}`},
		"url of an address":  {hooks: `{name: a, at: BeforeStart, http: {url: "http://[2001:db8::1]:80/"}}`},
		"job":                {hooks: `{name: a, at: BeforeStart, job: {template: {metadata: {labels: {a: b}}, spec: {backoffLimit: 0, template: {spec: {containers: [{name: x, image: y}]}}}}}}`},
		"neither":            {hooks: `{name: a, at: BeforeStart}`, want: "exactly one of http and job must be set"},
		"both":               {hooks: `{name: a, at: BeforeStart, http: {url: "http://x"}, job: {template: {spec: {}}}}`, want: "exactly one of http and job must be set"},
		"twice":              {hooks: `{name: a, at: BeforeStart, http: {url: "http://x"}}, {name: a, at: BeforeStep, http: {url: "http://x"}}`, want: "Duplicate value"},
		"21":                 {hooks: many, want: "must have at most 20 items"},
		"bad name":           {hooks: `{name: A_b, at: BeforeStart, http: {url: "http://x"}}`, want: "must be lower-case letters"},
		"no moment":          {hooks: `{name: a, http: {url: "http://x"}}`, want: "at: Required value"},
		"other moment":       {hooks: `{name: a, at: Later, http: {url: "http://x"}}`, want: "supported values"},
		"steps of a start":   {hooks: `{name: a, at: BeforeStart, steps: [1], http: {url: "http://x"}}`, want: "for BeforeStep and DuringStep only"},
		"step 0":             {hooks: `{name: a, at: BeforeStep, steps: [0], http: {url: "http://x"}}`, want: "greater than or equal to 1"},
		"step of none":       {hooks: `{name: a, at: BeforeStep, steps: [6], http: {url: "http://x"}}`, want: "a hook names a step that there is not"},
		"no steps":           {hooks: `{name: a, at: BeforeStep, steps: [], http: {url: "http://x"}}`, want: "should have at least 1 items"},
		"nobody":             {hooks: `{name: a, at: BeforeStep, http: {path: /x}}`, want: "exactly one of serviceRef and url must be set"},
		"two":                {hooks: `{name: a, at: BeforeStep, http: {url: "http://x", serviceRef: {name: b, port: 80}}}`, want: "exactly one of serviceRef and url must be set"},
		"two paths":          {hooks: `{name: a, at: BeforeStep, http: {url: "http://x/y", path: /z}}`, want: "url has a path already"},
		"password":           {hooks: `{name: a, at: BeforeStep, http: {url: "http://u:p@x"}}`, want: "without user, password and fragment"},
		"fragment":           {hooks: `{name: a, at: BeforeStep, http: {url: "http://x/#y"}}`, want: "without user, password and fragment"},
		"file":               {hooks: `{name: a, at: BeforeStep, http: {url: "file:///etc/passwd"}}`, want: "must be http:// or https://"},
		"no URL":             {hooks: `{name: a, at: BeforeStep, http: {url: "deploys.example.com"}}`, want: "must be http:// or https://"},
		"relative path":      {hooks: `{name: a, at: BeforeStep, http: {url: "http://x", path: yy}}`, want: "must begin with '/'"},
		"blank in the path":  {hooks: `{name: a, at: BeforeStep, http: {url: "http://x", path: "/a b"}}`, want: "must begin with '/'"},
		"broken escape":      {hooks: `{name: a, at: BeforeStep, http: {url: "http://x", path: "/%zz"}}`, want: "must begin with '/'"},
		"port 0":             {hooks: `{name: a, at: BeforeStep, http: {serviceRef: {name: b, port: 0}}}`, want: "greater than or equal to 1"},
		"no port":            {hooks: `{name: a, at: BeforeStep, http: {serviceRef: {name: b}}}`, want: "port: Required value"},
		"elsewhere":          {reason: "only the own namespace's", hooks: `{name: a, at: BeforeStep, http: {serviceRef: {name: b.other, port: 80}}}`, want: "must be the name of a Service"},
		"timeout of an hour": {hooks: `{name: a, at: BeforeStep, http: {url: "http://x", timeout: 1h}}`, want: "from 100ms to 60s"},
		"101 retries":        {hooks: `{name: a, at: BeforeStep, http: {url: "http://x", retries: 101}}`, want: "less than or equal to 100"},
		"job of nothing":     {hooks: `{name: a, at: BeforeStep, job: {}}`, want: "template: Required value"},
		"job without spec":   {hooks: `{name: a, at: BeforeStep, job: {template: {}}}`, want: "spec: Required value"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u := rollout(t)
			var hooks []any
			if err := yaml.Unmarshal([]byte("["+tc.hooks+"]"), &hooks); err != nil {
				t.Fatal(err)
			}
			set(u.Object, hooks, "spec", "hooks")
			err := c.Create(t.Context(), u, client.DryRunAll)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%s: refused: %v", tc.reason, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%s: %v, want %q", tc.reason, err, tc.want)
			}
		})
	}
}
