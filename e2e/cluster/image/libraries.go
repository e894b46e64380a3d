package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// libraryFolders are where the loader of Debian looks, in its order.
var libraryFolders = []string{
	"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib",
}

// Libraries returns the loader and all shared libraries, direct and indirect,
// that a program needs, from the host. It is empty for a static program.
func Libraries(program string) ([]File, error) {
	loader, queue, err := dynamic(program)
	if err != nil {
		return nil, err
	}
	if loader == "" {
		return nil, nil
	}
	files := []File{{Source: loader, Path: loader}}
	seen := map[string]bool{filepath.Base(loader): true}
	for len(queue) > 0 {
		library := queue[0]
		queue = queue[1:]
		if seen[library] {
			continue
		}
		seen[library] = true
		found, err := findLibrary(library)
		if err != nil {
			return nil, err
		}
		files = append(files, File{Source: found, Path: found})
		_, more, err := dynamic(found)
		if err != nil {
			return nil, err
		}
		queue = append(queue, more...)
	}
	return files, nil
}

// dynamic reads the loader that a program asks for (a library asks for none)
// and the names of the libraries that it needs.
func dynamic(file string) (loader string, libraries []string, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return "", nil, fmt.Errorf("read %s: %w", file, err)
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		content, err := io.ReadAll(p.Open())
		if err != nil {
			return "", nil, fmt.Errorf("read loader of %s: %w", file, err)
		}
		loader = strings.TrimRight(string(content), "\x00")
	}
	libraries, err = f.ImportedLibraries()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return "", nil, fmt.Errorf("read libraries of %s: %w", file, err)
	}
	return loader, libraries, nil
}

func findLibrary(library string) (string, error) {
	for _, folder := range libraryFolders {
		p := filepath.Join(folder, library)
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("library %s is not on this machine", library)
}
