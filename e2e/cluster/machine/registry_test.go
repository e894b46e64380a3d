package machine

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

// fakeHost has a setting that is too low until it is changed.
type fakeHost struct {
	changed  int
	restored []Settings
}

func (h *fakeHost) settings() (Settings, error) {
	if h.changed > 0 {
		return nil, nil
	}
	return Settings{"limit": "128"}, nil
}

func (h *fakeHost) change(Settings) error {
	h.changed++
	return nil
}

func (h *fakeHost) restore(_ context.Context, before Settings) {
	h.restored = append(h.restored, before)
}

func TestRegistryTakesSharedThingsBackWithTheLastInstance(t *testing.T) {
	dir, host := t.TempDir(), &fakeHost{}
	r := Registry{folder: filepath.Join(dir, "registry"), host: host}
	ours, theirs := filepath.Join(dir, "var", "lib"), filepath.Join(dir, "there")
	if err := os.Mkdir(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{3, 7} {
		e := Entry{Root: "/checkout", Instance: layout.Instance{Number: n, Nodes: 2}}
		if err := r.Add(t.Context(), e, []string{ours, theirs}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.List()
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{Root: "/checkout", Instance: layout.Instance{Number: 3, Nodes: 2}},
		{Root: "/checkout", Instance: layout.Instance{Number: 7, Nodes: 2}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}

	if err := r.Remove(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(ours); err != nil || len(host.restored) > 0 {
		t.Errorf("shared things were taken back while instance 7 is up: %v, %v", err, host.restored)
	}
	if err := r.Remove(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Settings{{"limit": "128"}}, host.restored); diff != "" {
		t.Errorf("restored settings (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "var")); !os.IsNotExist(err) {
		t.Error("a folder that was made, or its parent, is left")
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Error("a folder that was there before is gone")
	}
	// Removing what is not there is how an interrupted removal ends.
	if err := r.Remove(t.Context(), 7); err != nil {
		t.Errorf("second Remove: %v", err)
	}
	unlock, err := r.LockInstance(t.Context(), 7, func() {})
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if _, err := os.Stat(r.folder); !os.IsNotExist(err) {
		t.Error("the folder of an empty registry is left")
	}
}

func TestLockLetsOneInAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "lock")
	var inside, worst atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				unlock, err := Lock(t.Context(), path, func() {})
				if err != nil {
					t.Error(err)
					return
				}
				worst.Store(max(worst.Load(), inside.Add(1)))
				inside.Add(-1)
				unlock()
			}
		})
	}
	group.Wait()
	if worst.Load() != 1 {
		t.Errorf("%d had the lock at once", worst.Load())
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("the lock file is left")
	}
}

func TestLockWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), path, func() { t.Error("a free lock was waited for") })
	if err != nil {
		t.Fatal(err)
	}
	waits := 0
	again, err := Lock(t.Context(), path, func() { waits++; unlock() })
	if err != nil {
		t.Fatal(err)
	}
	again()
	if waits != 1 {
		t.Errorf("told %d times that it waits, want once", waits)
	}
}

func TestLockOnARemovedFileIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), path, func() {})
	if err != nil {
		t.Fatal(err)
	}
	// A second one opens the file, the first removes it, a third makes another.
	late, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = late.Close() }()
	unlock()
	third, err := Lock(t.Context(), path, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer third()
	if err := take(late, path); err == nil {
		t.Error("two have the lock, on two files")
	}
}
