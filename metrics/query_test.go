package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testArgs() QueryArgs {
	return QueryArgs{
		Namespace: "shop", Rollout: "cart", Service: "cart.v2", Stable: "6b9c", Canary: "7d4f_1", Interval: 90 * time.Second,
	}
}

func TestQuery(t *testing.T) {
	cases := map[string]struct {
		reason string
		text   string
		want   string
	}{
		"AllFields": {
			reason: "Every field of the API is inserted, the interval as Prometheus writes durations.",
			text:   "{{.Namespace}}/{{.Rollout}}/{{.Service}}/{{.Stable}}/{{.Canary}}[{{.Interval}}]",
			want:   "shop/cart/cart.v2/6b9c/7d4f_1[1m30s]",
		},
		"TrimAndComment": {
			reason: "Trim markers and comments are Go template syntax and do no harm.",
			text:   "{{/* errors */}}sum( {{- .Canary -}} )",
			want:   "sum(7d4f_1)",
		},
		"BracesOfPromQL": {
			reason: "A single brace is PromQL's, also right before an action.",
			text:   `x{revision="{{.Canary}}"}`,
			want:   `x{revision="7d4f_1"}`,
		},
		"NoFields": {
			reason: "A query need not insert anything.",
			text:   "vector(1)",
			want:   "vector(1)",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q, err := ParseQuery(tc.text)
			if err != nil {
				t.Fatalf("%s\nParseQuery(%q): %v", tc.reason, tc.text, err)
			}
			got, err := q.Render(testArgs())
			if err != nil {
				t.Fatalf("%s\nRender: %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nRender (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestParseQueryRefuses(t *testing.T) {
	cases := map[string]struct {
		reason string
		text   string
		want   string // Part of the error, besides the list of fields.
	}{
		"UnknownField":   {reason: "A typing error is named.", text: "{{.Canry}}", want: "unknown field .Canry"},
		"LowerCase":      {reason: "Fields are case sensitive.", text: "{{.canary}}", want: "unknown field .canary"},
		"FieldOfField":   {reason: "A field has no fields.", text: "{{.Canary.Name}}", want: "unknown field .Canary.Name"},
		"MissingDot":     {reason: "A bare word is a function to Go.", text: "{{Canary}}", want: `"Canary" not defined`},
		"Unclosed":       {reason: "Bad syntax.", text: "{{.Canary", want: "unclosed action"},
		"UnclosedIf":     {reason: "Bad syntax.", text: "{{if .Canary}}x", want: "unexpected EOF"},
		"Range":          {reason: "A loop over a number would take all memory.", text: "{{range 1000000000}}x{{end}}", want: "not supported"},
		"Printf":         {reason: "A wide verb would take all memory.", text: `{{printf "%999999999d" 1}}`, want: `"printf" not defined`},
		"Call":           {reason: "Functions are refused.", text: `{{call .Canary}}`, want: `"call" not defined`},
		"Pipe":           {reason: "Functions are refused behind a pipe too.", text: `{{.Canary | len}}`, want: `"len" not defined`},
		"PipeToField":    {reason: "A field takes no input.", text: `{{.Canary | .Stable}}`, want: "not supported"},
		"TwoFields":      {reason: "A field takes no argument.", text: `{{.Canary .Stable}}`, want: "not supported"},
		"Define":         {reason: "A definition would be dropped without a word.", text: `up{{define "a"}}x{{end}}`, want: "defines another template"},
		"OnlyDefine":     {reason: "The same with nothing else in it.", text: `{{define "a"}}x{{end}}`, want: "defines another template"},
		"DefineItself":   {reason: "A definition may not replace the query.", text: `{{define "query"}}{{range 9}}x{{end}}{{end}}`, want: "not supported"},
		"If":             {reason: "Conditions are refused.", text: `{{if .Canary}}x{{end}}`, want: "not supported"},
		"Variable":       {reason: "Variables are refused.", text: `{{$x := .Canary}}up`, want: "not supported"},
		"Dot":            {reason: "The whole of the values is no text.", text: `{{.}}`, want: "not supported"},
		"Empty":          {reason: "Nothing to ask.", text: "", want: "it is empty"},
		"OnlyWhitespace": {reason: "Nothing to ask.", text: " \n\t{{/* x */}}", want: "it is empty"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseQuery(tc.text)
			if err == nil {
				t.Fatalf("%s\nParseQuery(%q): no error", tc.reason, tc.text)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\nParseQuery(%q): %q lacks %q", tc.reason, tc.text, err, tc.want)
			}
			if !strings.Contains(err.Error(), validFields) && tc.want != "it is empty" {
				t.Errorf("ParseQuery(%q): %q does not list the valid fields", tc.text, err)
			}
		})
	}
}

func TestRenderRefuses(t *testing.T) {
	cases := map[string]struct {
		reason string
		text   string
		change func(*QueryArgs)
		want   string // The error's text, or empty for none.
	}{
		"DoubleQuote": {
			reason: "It would end the string.", text: "{{.Canary}}",
			change: func(a *QueryArgs) { a.Canary = `a"} or vector(0)` },
			want:   `render the query: .Canary is "a\"} or vector(0)", which may not stand in a query`,
		},
		"SingleQuote": {
			reason: "It would end the string.", text: "{{.Service}}",
			change: func(a *QueryArgs) { a.Service = "a'b" },
			want:   `render the query: .Service is "a'b", which may not stand in a query`,
		},
		"Backquote": {
			reason: "It would end the string.", text: "{{.Namespace}}",
			change: func(a *QueryArgs) { a.Namespace = "a`b" },
			want:   "render the query: .Namespace is \"a`b\", which may not stand in a query",
		},
		"Backslash": {
			reason: "It would keep the string open.", text: "{{.Rollout}}",
			change: func(a *QueryArgs) { a.Rollout = `a\` },
			want:   `render the query: .Rollout is "a\\", which may not stand in a query`,
		},
		"Newline": {
			reason: "It would end a comment.", text: "{{.Stable}}",
			change: func(a *QueryArgs) { a.Stable = "a\nb" },
			want:   `render the query: .Stable is "a\nb", which may not stand in a query`,
		},
		"EmptyUsed": {
			reason: "A match for the empty revision measures everything else.", text: "{{.Stable}}",
			change: func(a *QueryArgs) { a.Stable = "" },
			want:   "render the query: .Stable has no value",
		},
		"EmptyUnused": {
			reason: "What the template does not use may be empty.", text: "{{.Canary}}",
			change: func(a *QueryArgs) { a.Stable = "" },
		},
		"ZeroInterval": {
			reason: "A range of nothing is refused by Prometheus.", text: "{{.Interval}}",
			change: func(a *QueryArgs) { a.Interval = 0 },
			want:   "render the query: .Interval has no value",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q, err := ParseQuery(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			args := testArgs()
			tc.change(&args)
			got := ""
			if _, err := q.Render(args); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nRender error (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func FuzzParseQuery(f *testing.F) {
	for _, seed := range []string{
		"", "up", "{{.Canary}}", "{{.Nope}}", "{{", "}}", "{{define \"query\"}}{{end}}", "{{range 9}}{{end}}",
		"{{/* */}}", "{{- .Interval -}}", "{{((.Canary))}}", "{{`a`}}", "{{break}}", "{{else}}", "{{.Canary}}{{template \"query\"}}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := ParseQuery(text)
		if err != nil {
			return
		}
		// The promises of ParseQuery: what parses renders, and in linear size.
		got, err := q.Render(testArgs())
		if err != nil {
			t.Fatalf("Render(%q): %v", text, err)
		}
		if len(got) > len(text) {
			t.Errorf("Render(%q): %d bytes out of %d: no field's test value is longer than its action", text, len(got), len(text))
		}
	})
}
