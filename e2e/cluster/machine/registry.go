package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

// Registry records which checkout has which instance up, and what the first
// instance changed for all.
type Registry struct {
	folder string
	host   host
}

// host is the machine as far as all instances share it.
type host interface {
	// settings are those that the nodes need changed, as they are now.
	settings() (Settings, error)
	// change makes the settings as the nodes need them.
	change(Settings) error
	// restore makes them as they were, and removes the routes of all instances.
	restore(ctx context.Context, before Settings)
}

// ThisRegistry is the one of this machine. Every checkout knows its folder.
func ThisRegistry() Registry {
	return Registry{folder: "/run/crossfade-cluster", host: thisMachine{inotifyLimit: 4096}}
}

// Entry is one instance that is up, half up or half down.
type Entry struct {
	Root layout.Root `json:"root"`
	layout.Instance
}

// shared is what instances changed for all and the last one takes back.
type shared struct {
	Folders []string `json:"folders"` // that were made as mount points
	Before  Settings `json:"before"`  // of the machine, as they were
}

// LockInstance keeps other processes from starting or stopping the instance.
func (r Registry) LockInstance(ctx context.Context, number int, waiting func()) (func(), error) {
	unlock, err := Lock(ctx, filepath.Join(r.folder, strconv.Itoa(number)+".lock"), waiting)
	if err != nil {
		return nil, err
	}
	return func() {
		unlock()
		_ = os.Remove(r.folder) // Fails, as it should, while it holds anything.
	}, nil
}

// Get returns the entry of an instance, or nil when there is none.
func (r Registry) Get(number int) (*Entry, error) {
	content, err := os.ReadFile(r.entry(number))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read registry: %w", err)
	}
	var e Entry
	if err := json.Unmarshal(content, &e); err != nil {
		return nil, fmt.Errorf("read registry entry %s: %w", r.entry(number), err)
	}
	return &e, nil
}

// List returns all entries in the order of their numbers.
func (r Registry) List() ([]Entry, error) {
	var entries []Entry
	for number := range layout.MaxInstance + 1 {
		e, err := r.Get(number)
		if err != nil {
			return nil, err
		}
		if e != nil {
			entries = append(entries, *e)
		}
	}
	return entries, nil
}

// Add records an instance before anything of it is made, and prepares what all
// instances share: folders, which the nodes cover with mounts of their own.
func (r Registry) Add(ctx context.Context, e Entry, folders []string) error {
	unlock, err := r.lockShared(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.share(folders); err != nil {
		return err
	}
	return write(r.entry(e.Number), e)
}

// Remove ends the record of an instance, and with the last one takes back what
// all shared.
func (r Registry) Remove(ctx context.Context, number int) error {
	unlock, err := r.lockShared(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(r.entry(number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove registry entry: %w", err)
	}
	left, err := r.List()
	if err != nil || len(left) > 0 {
		return err
	}
	return r.unshare(ctx)
}

// share writes down what it is about to change before it does: killed in
// between, the next removal of a last instance still takes it back.
func (r Registry) share(folders []string) error {
	s, err := r.readShared()
	if err != nil {
		return err
	}
	for _, folder := range folders {
		s.Folders = append(s.Folders, absent(folder)...)
	}
	now, err := r.host.settings()
	if err != nil {
		return err
	}
	s.Before = now.with(s.Before)
	if err := write(r.shared(), s); err != nil {
		return err
	}
	for _, folder := range folders {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("make mount point: %w", err)
		}
	}
	return r.host.change(now)
}

func (r Registry) unshare(ctx context.Context) error {
	s, err := r.readShared()
	if err != nil {
		return err
	}
	r.host.restore(ctx, s.Before)
	slices.Reverse(s.Folders)
	for _, folder := range s.Folders {
		_ = os.Remove(folder) // Stays if somebody uses it by now.
	}
	if err := os.Remove(r.shared()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove shared record: %w", err)
	}
	return nil
}

// absent returns the path and its parents as far as they are not there,
// outermost first.
func absent(path string) []string {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return append(absent(filepath.Dir(path)), path)
}

func (r Registry) readShared() (shared, error) {
	var s shared
	content, err := os.ReadFile(r.shared())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read shared record: %w", err)
	}
	if err := json.Unmarshal(content, &s); err != nil {
		return s, fmt.Errorf("read shared record %s: %w", r.shared(), err)
	}
	return s, nil
}

func (r Registry) lockShared(ctx context.Context) (func(), error) {
	return Lock(ctx, filepath.Join(r.folder, "shared.lock"), func() {})
}

func (r Registry) entry(number int) string {
	return filepath.Join(r.folder, strconv.Itoa(number)+".json")
}

func (r Registry) shared() string { return filepath.Join(r.folder, "shared.json") }

// write replaces a file in one step: a reader never sees half of it.
func write(path string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if err := os.WriteFile(path+".new", content, 0o644); err != nil {
		return fmt.Errorf("write registry: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write registry: %w", err)
	}
	return nil
}
