package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/template"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"sigs.k8s.io/yaml"
)

// file is what the administrator writes.
type file struct {
	// Targets are whom Rollouts can tell.
	Targets []target `json:"targets"`
	// Templates word the messages for people, by what has happened; "default" is for
	// all that are not there.
	Templates map[string]string `json:"templates,omitempty"`
}

// target is one of them. Exactly one of its addresses is set.
type target struct {
	Name string `json:"name"`
	// Namespaces may use it; "*" stands for all of them.
	Namespaces []string `json:"namespaces"`
	// URL is one of shoutrrr's, URLFile a file that has it: a Secret's key that is
	// mounted, say. A relative path starts at the folder of the targets' file.
	URL     string `json:"url,omitempty"`
	URLFile string `json:"urlFile,omitempty"`
	// CloudEvents and CloudEventsFile are an http(s) address that takes CloudEvents.
	CloudEvents     string `json:"cloudEvents,omitempty"`
	CloudEventsFile string `json:"cloudEventsFile,omitempty"`
}

// Targets are the administrator's targets, read from his file; it is read anew
// whenever it has changed, as mounted files do.
type Targets struct {
	path  string
	guard Guard

	mu   sync.Mutex
	raw  []byte
	last *book
}

// book is a file that was understood.
type book struct {
	targets   []target
	templates map[string]*template.Template
}

// Guard is what all that is sent goes through, and what of it is refused.
type Guard interface {
	http.RoundTripper
	// CheckHost says whether host:port may be dialled.
	CheckHost(ctx context.Context, address string) error
}

// Open reads the file at path. Without a path, and as long as there is no such file,
// there are no targets. The guard has to be http.DefaultTransport, too: see guardService.
func Open(path string, guard Guard) (*Targets, error) {
	t := &Targets{path: path, guard: guard, last: &book{}}
	if path == "" {
		return t, nil
	}
	if _, err := t.book(); err != nil {
		return nil, err
	}
	return t, nil
}

// book is the file as it is now. A file that has become unreadable is an error until
// it is mended: what it said before may be what somebody wanted to take back.
func (t *Targets) book() (*book, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.path == "" {
		return t.last, nil
	}
	raw, err := os.ReadFile(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return &book{}, nil // The Secret with it is optional, and may come later.
	}
	if err != nil {
		return nil, fmt.Errorf("read targets: %w", err)
	}
	if t.raw != nil && bytes.Equal(raw, t.raw) {
		return t.last, nil
	}
	next, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("read targets from %s: %w", t.path, err)
	}
	t.raw, t.last = raw, next
	return next, nil
}

// parse reads a file, strictly: a misspelt key is an error.
func parse(raw []byte) (*book, error) {
	var f file
	if err := yaml.UnmarshalStrict(raw, &f); err != nil {
		return nil, err
	}
	b := &book{targets: f.Targets, templates: map[string]*template.Template{}}
	seen := map[string]bool{}
	for i := range f.Targets {
		if err := f.Targets[i].check(); err != nil {
			return nil, fmt.Errorf("targets[%d]: %w", i, err)
		}
		if name := f.Targets[i].Name; seen[name] {
			return nil, fmt.Errorf("targets[%d]: there are two targets with the name %s", i, name)
		}
		seen[f.Targets[i].Name] = true
	}
	for name, text := range f.Templates {
		made, err := makeTemplate(name, text)
		if err != nil {
			return nil, fmt.Errorf("templates[%s]: %w", name, err)
		}
		b.templates[name] = made
	}
	return b, nil
}

func (t *target) check() error {
	set := 0
	for _, s := range []string{t.URL, t.URLFile, t.CloudEvents, t.CloudEventsFile} {
		if s != "" {
			set++
		}
	}
	switch {
	case t.Name == "":
		return errors.New("name is missing")
	case len(t.Namespaces) == 0:
		return fmt.Errorf("%s: namespaces is missing: name those that may use it, or \"*\"", t.Name)
	case set != 1:
		return fmt.Errorf("%s: set exactly one of url, urlFile, cloudEvents and cloudEventsFile", t.Name)
	case t.URL != "":
		return checkService(t.Name, t.URL)
	case t.CloudEvents != "":
		return checkHTTP(t.Name, t.CloudEvents)
	}
	return nil
}

// checkService says whether shoutrrr knows the service. More is known only when
// something is sent: some services log in to find out.
func checkService(name, address string) error {
	scheme, _, found := strings.Cut(address, ":")
	scheme, _, _ = strings.Cut(scheme, "+")
	if !found || !slices.Contains((&router.ServiceRouter{}).ListServices(), scheme) {
		return fmt.Errorf("%s: its url is not one of shoutrrr's services, such as slack://, teams://, discord://, smtp:// or generic://", name)
	}
	return nil
}

func checkHTTP(name, address string) error {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("%s: want an http or https address for CloudEvents", name)
	}
	return nil
}

// address is where to send, and whether as a CloudEvent.
func (t *target) address(folder string) (address string, event bool, err error) {
	name := t.URLFile + t.CloudEventsFile
	if name == "" {
		return t.URL + t.CloudEvents, t.CloudEvents != "", nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(folder, name)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return "", false, fmt.Errorf("read the address of target %s: %w", t.Name, err)
	}
	address = strings.TrimSpace(string(raw))
	if t.CloudEventsFile != "" {
		return address, true, checkHTTP(t.Name, address)
	}
	return address, false, checkService(t.Name, address)
}

// find is the target of a name, if a namespace may use it. Whoever may not is told
// the same as if there were none: names of others' targets are no business of his.
func (b *book) find(name, namespace string) (*target, error) {
	for i := range b.targets {
		t := &b.targets[i]
		if t.Name == name && (slices.Contains(t.Namespaces, namespace) || slices.Contains(t.Namespaces, "*")) {
			return t, nil
		}
	}
	return nil, fmt.Errorf("%w: the administrator has no target %s for namespace %s", ErrNoTarget, name, namespace)
}
