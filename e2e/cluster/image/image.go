// Package image makes container images from files, without a daemon, a
// registry or a base image. Equal files make equal bytes: there are no times
// in an image but the epoch, and its entries are sorted.
package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// users are the names that images of this project know, so that `id` and the
// like work in them: root, the uid of a proxy, and nobody.
const users = `root:x:0:0:root:/:/none
proxy:x:1337:1337:proxy:/:/none
nonroot:x:65532:65532:nonroot:/:/none
nobody:x:65534:65534:nobody:/:/none
`

const groups = `root:x:0:
proxy:x:1337:
nonroot:x:65532:
nogroup:x:65534:
`

// File is a file or folder of the host and its absolute path in the image.
type File struct {
	Source string
	Path   string
}

// Spec says what an image holds. Besides its files every image has
// /etc/passwd, /etc/group and an empty /tmp that everybody may write to.
type Spec struct {
	Name       string   // with host and tag: crossfade.local/shop:1
	User       string   // a number, so that runAsNonRoot can be checked; empty is root
	Entrypoint []string // empty: the Pod has to give a command
	Env        []string // NAME=value
	Files      []File
	LibsOf     []string // programs of the host whose shared libraries are added
}

// entry is one file or folder of the layer.
type entry struct {
	mode    fs.FileMode
	content []byte
}

// Write makes the image and writes it to out as an archive that `docker load`
// and `ctr images import` read.
func Write(out string, s Spec) error {
	tag, err := parseName(s.Name)
	if err != nil {
		return err
	}
	image, err := build(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	// Renamed when complete: a load at the same time sees the one or the other.
	if err := tarball.WriteToFile(out+".new", tag, image); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	if err := os.Rename(out+".new", out); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// parseName refuses short names: each tool would complete them in its own way.
func parseName(s string) (name.Tag, error) {
	tag, err := name.NewTag(s, name.StrictValidation)
	if err != nil {
		return name.Tag{}, fmt.Errorf("image name %q: write HOST/NAME:TAG, for example crossfade.local/shop:1: %w", s, err)
	}
	return tag, nil
}

func build(s Spec) (v1.Image, error) {
	entries, err := collect(s)
	if err != nil {
		return nil, err
	}
	content, err := pack(entries)
	if err != nil {
		return nil, err
	}
	// Not compressed: the archive never leaves the machine, and packing and
	// unpacking 100 MB would be most of the time that loading takes.
	layer := static.NewLayer(content, types.DockerUncompressedLayer)
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("add layer: %w", err)
	}
	withLayer, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	image, err = mutate.ConfigFile(image, configure(withLayer, s))
	if err != nil {
		return nil, fmt.Errorf("add configuration: %w", err)
	}
	return image, nil
}

func configure(withLayer *v1.ConfigFile, s Spec) *v1.ConfigFile {
	file := withLayer.DeepCopy()
	file.OS, file.Architecture = "linux", "amd64"
	file.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	file.Config = v1.Config{
		User: s.User, Entrypoint: s.Entrypoint, WorkingDir: "/",
		Env: append([]string{"PATH=/usr/local/bin:/usr/bin:/bin:/"}, s.Env...),
	}
	return file
}

// collect reads all files of the image, by their paths in it without the
// leading slash.
func collect(s Spec) (map[string]entry, error) {
	entries := map[string]entry{
		"etc/passwd": {0o644, []byte(users)},
		"etc/group":  {0o644, []byte(groups)},
		"tmp":        {fs.ModeDir | fs.ModeSticky | 0o777, nil},
	}
	files := slices.Clone(s.Files)
	for _, program := range s.LibsOf {
		libraries, err := Libraries(program)
		if err != nil {
			return nil, fmt.Errorf("find libraries of %s: %w", program, err)
		}
		files = append(files, libraries...)
	}
	for _, f := range files {
		if err := add(entries, f); err != nil {
			return nil, fmt.Errorf("add %s: %w", f.Source, err)
		}
	}
	for p := range maps.Clone(entries) {
		addParents(entries, p)
	}
	return entries, nil
}

func add(entries map[string]entry, f File) error {
	if !path.IsAbs(f.Path) {
		return fmt.Errorf("the path %q in the image must be absolute", f.Path)
	}
	// Links are followed: what they point to is elsewhere in an image.
	source, err := filepath.EvalSymlinks(f.Source)
	if err != nil {
		return err
	}
	return filepath.Walk(source, func(p string, info fs.FileInfo, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(source, p)
		if err != nil {
			return err
		}
		target := strings.TrimPrefix(path.Join(f.Path, filepath.ToSlash(relative)), "/")
		switch {
		case info.IsDir():
			entries[target] = entry{fs.ModeDir | 0o755, nil}
			return nil
		case !info.Mode().IsRegular():
			return errors.New(p + " is neither a file nor a folder")
		}
		content, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		entries[target] = entry{fileMode(info.Mode()), content}
		return nil
	})
}

// fileMode keeps only whether a file is a program: the rest depends on the
// umask of whoever made it.
func fileMode(m fs.FileMode) fs.FileMode {
	if m&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

func addParents(entries map[string]entry, p string) {
	for dir := path.Dir(p); dir != "." && dir != "/"; dir = path.Dir(dir) {
		if _, ok := entries[dir]; !ok {
			entries[dir] = entry{fs.ModeDir | 0o755, nil}
		}
	}
}

func pack(entries map[string]entry) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	// Sorted by name, a folder comes before what is in it.
	for _, p := range slices.Sorted(maps.Keys(entries)) {
		e := entries[p]
		h := &tar.Header{
			Name: p, Mode: int64(e.mode.Perm()), Size: int64(len(e.content)),
			Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0), Format: tar.FormatPAX,
		}
		if e.mode&fs.ModeSticky != 0 {
			h.Mode |= 0o1000
		}
		if e.mode.IsDir() {
			h.Typeflag, h.Name = tar.TypeDir, p+"/"
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("pack %s: %w", p, err)
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", p, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack layer: %w", err)
	}
	return out.Bytes(), nil
}
