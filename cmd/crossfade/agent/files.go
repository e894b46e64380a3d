package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Files that Envoy and the agent share. The first three are in a folder of their
// own for each write, and a link is put in its place by one rename: whoever reads
// them reads a certificate and the key that belongs to it, and Envoy, which
// watches for renames, reads them anew.
const (
	certFile = "cert.pem"
	keyFile  = "key.pem"
	rootFile = "root.pem"
	// current is the link to the folder of the last write, named as the kubelet
	// names its own.
	current = "..data"
)

// credentials are what is written together.
type credentials struct {
	cert, key, root []byte
}

// store is the folder with them.
type store struct{ dir string }

// prepare makes the folder, and what in it never changes.
func (s store) prepare() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make folder for certificates: %w", err)
	}
	for _, name := range []string{certFile, keyFile, rootFile} {
		err := os.Symlink(filepath.Join(current, name), filepath.Join(s.dir, name))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	for name, content := range s.secrets() {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// secrets are what Envoy reads to find the files: a secret of its own for each,
// which says in which folder a rename means that they have changed.
func (s store) secrets() map[string]string {
	const secret = "resources:\n- \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret\n"
	fill := strings.NewReplacer("DIR", s.dir)
	return map[string]string{
		"certificate.yaml": fill.Replace(secret + `  name: identity
  tls_certificate:
    certificate_chain: {filename: "DIR/cert.pem"}
    private_key: {filename: "DIR/key.pem"}
    watched_directory: {path: "DIR"}
`),
		"trust.yaml": fill.Replace(secret + `  name: trust
  validation_context:
    trusted_ca: {filename: "DIR/root.pem"}
    watched_directory: {path: "DIR"}
`),
	}
}

// write replaces all of them at once.
func (s store) write(c credentials, now time.Time) error {
	before, err := os.Readlink(filepath.Join(s.dir, current))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read link: %w", err)
	}
	folder, err := os.MkdirTemp(s.dir, now.UTC().Format("..2006_01_02_15_04_05."))
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	for name, content := range map[string][]byte{certFile: c.cert, keyFile: c.key, rootFile: c.root} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	link := filepath.Join(s.dir, current+"_next")
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove link of an earlier try: %w", err)
	}
	if err := os.Symlink(filepath.Base(folder), link); err != nil {
		return fmt.Errorf("make link: %w", err)
	}
	if err := os.Rename(link, filepath.Join(s.dir, current)); err != nil {
		return fmt.Errorf("put link in place: %w", err)
	}
	if before != "" && strings.HasPrefix(before, "..") && !strings.Contains(before, "/") {
		// Envoy may be reading the earlier ones just now: then it fails to load them, and
		// the rename that it has not seen yet makes it read again.
		return os.RemoveAll(filepath.Join(s.dir, before))
	}
	return nil
}

// read returns what an agent before this one has written, if it is whole.
func (s store) read() (credentials, bool) {
	var c credentials
	for name, into := range map[string]*[]byte{certFile: &c.cert, keyFile: &c.key, rootFile: &c.root} {
		content, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return credentials{}, false
		}
		*into = content
	}
	return c, true
}
