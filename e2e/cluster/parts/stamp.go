package parts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

// stamp is a hash of everything that a part is made from.
func (p Part) stamp(root layout.Root, goVersion string) (string, error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\n%s\n%s\n", p.Name, goVersion, p.recipe)
	for _, source := range p.sources {
		folder := root.Source(source)
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			relative, err := filepath.Rel(folder, path)
			if err != nil {
				return err
			}
			fmt.Fprintf(hash, "%s/%s %d\n%s", source, relative, len(content), content)
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("read sources of %s: %w", p.Name, err)
		}
	}
	return fmt.Sprintf("%x\n", hash.Sum(nil)), nil
}

// done says whether the part is there, made from what the stamp says.
func (p Part) done(root layout.Root, stamp string) bool {
	written, err := os.ReadFile(root.Stamp(p.Name))
	if err != nil || string(written) != stamp {
		return false
	}
	for _, file := range p.outputs {
		if _, err := os.Stat(file); err != nil {
			return false
		}
	}
	return true
}

// Folders are those outside the checkout that a build fills: the caches of go.
func Folders(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("ask for the caches of go: %w", err)
	}
	return strings.Fields(string(out)), nil
}

// goVersion is the version of the go command that will compile, which need not
// be the one that compiled this program.
func goVersion(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return "", fmt.Errorf("ask for the version of go: %w", err)
	}
	return string(bytes.TrimSpace(out)), nil
}
