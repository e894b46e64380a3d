package image

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// source makes a program and a data file, as two people with different umasks
// at different times would.
func source(t *testing.T, umask os.FileMode, at time.Time) string {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"app": 0o777, "data/b.txt": 0o666, "data/a.txt": 0o666} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("contents of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode&^umask); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func spec(dir string) Spec {
	return Spec{
		Name: "crossfade.local/app:1", User: "65532", Entrypoint: []string{"/usr/bin/app", "-v"}, Env: []string{"MODE=test"},
		Files: []File{{filepath.Join(dir, "app"), "/usr/bin/app"}, {filepath.Join(dir, "data"), "/data"}},
	}
}

func TestWriteIsReproducible(t *testing.T) {
	var archives []string
	for umask, at := range map[os.FileMode]time.Time{0o022: time.Unix(1e9, 0), 0o077: time.Unix(2e9, 0)} {
		out := filepath.Join(t.TempDir(), "deep", "app.tar")
		if err := Write(out, spec(source(t, umask, at))); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, string(content))
	}
	if archives[0] != archives[1] {
		t.Error("equal files of other times and permissions made another image")
	}
}

func TestWriteContents(t *testing.T) {
	out := filepath.Join(t.TempDir(), "app.tar")
	if err := Write(out, spec(source(t, 0o022, time.Unix(1e9, 0)))); err != nil {
		t.Fatal(err)
	}
	// Read as a stranger would, by the name.
	tag, err := parseName("crossfade.local/app:1")
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(out, &tag)
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{
		User: "65532", Entrypoint: []string{"/usr/bin/app", "-v"}, WorkingDir: "/",
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin:/", "MODE=test"},
	}
	if diff := cmp.Diff(want, file.Config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	wantFiles := []string{
		"drwxr-xr-x data/", "-rw-r--r-- data/a.txt", "-rw-r--r-- data/b.txt", "drwxr-xr-x etc/",
		"-rw-r--r-- etc/group", "-rw-r--r-- etc/passwd", "dtrwxrwxrwx tmp/", "drwxr-xr-x usr/",
		"drwxr-xr-x usr/bin/", "-rwxr-xr-x usr/bin/app",
	}
	if diff := cmp.Diff(wantFiles, list(t, image)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func list(t *testing.T, image v1.Image) []string {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("want one layer, got %d, %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = content.Close() }()
	var files []string
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, h.FileInfo().Mode().String()+" "+h.Name)
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := source(t, 0o022, time.Unix(1e9, 0))
	cases := map[string]struct {
		reason string
		change func(*Spec)
		want   string
	}{
		"NoTag":        {"Who means latest must write it.", func(s *Spec) { s.Name = "crossfade.local/app" }, "HOST/NAME:TAG"},
		"NoHost":       {"Tools complete a short name in different ways.", func(s *Spec) { s.Name = "crossfade/app:1" }, "HOST/NAME:TAG"},
		"RelativePath": {"It is not said relative to what.", func(s *Spec) { s.Files[0].Path = "app" }, "must be absolute"},
		"NoFile":       {"An image without its program is of no use.", func(s *Spec) { s.Files[0].Source = "/nowhere" }, "/nowhere"},
		"NoProgram":    {"A script has no libraries to find.", func(s *Spec) { s.LibsOf = []string{s.Files[0].Source} }, "find libraries of"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := spec(dir)
			tc.change(&s)
			err := Write(filepath.Join(t.TempDir(), "app.tar"), s)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\nWrite() = %v, want an error with %q", tc.reason, err, tc.want)
			}
		})
	}
}

// TestLibraries compares with what the loader itself says. ls needs a library
// that needs another one.
func TestLibraries(t *testing.T) {
	const program = "/bin/ls"
	said, err := exec.Command("ldd", program).Output()
	if err != nil {
		t.Skipf("no ldd on this machine: %v", err)
	}
	var want []string
	for line := range strings.Lines(string(said)) {
		if name := filepath.Base(strings.Fields(line)[0]); !strings.HasPrefix(name, "linux-vdso") {
			want = append(want, name)
		}
	}
	files, err := Libraries(program)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		if _, err := os.Stat(f.Source); err != nil || f.Source != f.Path {
			t.Errorf("library %v: %v, want it where it is on the host", f, err)
		}
		got = append(got, filepath.Base(f.Path))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("libraries of %s (-want +got):\n%s", program, diff)
	}
}
