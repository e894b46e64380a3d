package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/e2e/cluster/image"
	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

func TestComplete(t *testing.T) {
	cases := map[string]struct {
		reason     string
		spec       image.Spec
		entrypoint string
		files      []string
		want       image.Spec
		err        string
	}{
		"All": {
			reason:     "A path may have an equals sign; the first one divides.",
			spec:       image.Spec{User: "65532", Env: []string{"A=b=c", "EMPTY="}},
			entrypoint: `["/app", "-v"]`,
			files:      []string{"bin/app=/app", "x=/a=b"},
			want: image.Spec{
				User: "65532", Env: []string{"A=b=c", "EMPTY="}, Entrypoint: []string{"/app", "-v"},
				Files: []image.File{{Source: "bin/app", Path: "/app"}, {Source: "x", Path: "/a=b"}},
			},
		},
		"NamedUser":    {reason: "runAsNonRoot needs a number.", spec: image.Spec{User: "nobody"}, err: "-user nobody: write a number"},
		"Shell":        {reason: "There is no shell in these images.", entrypoint: "/app -v", err: "write a JSON array"},
		"NoPath":       {reason: "Where to is not said.", files: []string{"app"}, err: "write SOURCE=PATH"},
		"RelativePath": {reason: "Relative to what is not said.", files: []string{"app=app"}, err: "absolute path"},
		"NoValue":      {reason: "A variable without a value is a typing error.", spec: image.Spec{Env: []string{"A"}}, err: "-env A: write NAME=VALUE"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := tc.spec
			err := complete(&got, tc.entrypoint, tc.files)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("%s\ncomplete() = %v, want an error with %q", tc.reason, err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nspec (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestFindRoot(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(root, "e2e", "cluster", "parts")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "e2e", "cluster", "go.mod"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason string
		dir    string
		flag   string
		fails  bool
	}{
		"FromBelow":   {"`go run -C` starts below the root.", deep, "", false},
		"ByFlag":      {"A flag works from anywhere.", "/", root, false},
		"ByLink":      {"One checkout has one name, or it would be another's instance.", "/", link, false},
		"FlagTooDeep": {"A wrong flag is not guessed right.", "/", deep, true},
		"Outside":     {"There is no checkout.", "/", "", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Chdir(tc.dir)
			got, err := findRoot(tc.flag)
			if tc.fails {
				if err == nil {
					t.Errorf("%s\nfindRoot() = %s, want an error", tc.reason, got)
				}
				return
			}
			if err != nil || got != layout.Root(root) {
				t.Errorf("%s\nfindRoot() = %s, %v, want %s", tc.reason, got, err, root)
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
		want   string // in the error, when it is no usage error
	}{
		"NoCommand":       {"Usage is shown.", nil, ""},
		"UnknownCommand":  {"Usage is shown.", []string{"start"}, ""},
		"UnknownFlag":     {"Usage is shown.", []string{"up", "-size", "3"}, ""},
		"Argument":        {"A number without its flag is not ignored.", []string{"up", "3"}, `up takes no arguments, got "3"`},
		"WrongInstance":   {"It has no addresses.", []string{"up", "-instance", "15"}, "use 0 to 14"},
		"NothingToLoad":   {"Loading nothing is a mistake.", []string{"load"}, "load needs image archives"},
		"ImageNowhere":    {"An image needs a name and a place.", []string{"image", "a=/a"}, "image needs -o and -name"},
		"UnknownPart":     {"A typing error is told.", []string{"build", "envyo"}, `there is no part "envyo"`},
		"NodeByAPerson":   {"The hidden command needs what `up` gives.", []string{"node"}, "want 4 arguments"},
		"ArchiveNotThere": {"It is said before anything is asked.", []string{"load", "/nowhere.tar"}, "/nowhere.tar"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), tc.args, io.Discard)
			if tc.want == "" {
				if !errors.Is(err, errUsage) {
					t.Errorf("%s\nrun() = %v, want the usage", tc.reason, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\nrun() = %v, want an error with %q", tc.reason, err, tc.want)
			}
		})
	}
}
