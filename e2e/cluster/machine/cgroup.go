package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

// hierarchy is one mounted cgroup tree.
type hierarchy struct {
	path    string
	cpuset  bool // a v1 tree whose new groups have no CPUs until they are given
	unified bool // the tree of v2
}

// MakeCgroups makes the parent of all pods of node k in every cgroup tree.
func MakeCgroups(i layout.Instance, k int) error {
	trees, err := hierarchies()
	if err != nil {
		return err
	}
	for _, t := range trees {
		group := filepath.Join(t.path, i.Cgroup(k))
		if err := os.MkdirAll(group, 0o755); err != nil {
			return fmt.Errorf("make cgroup: %w", err)
		}
		if !t.cpuset {
			continue
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(t.path, file))
			if err != nil {
				return fmt.Errorf("read %s: %w", file, err)
			}
			if err := os.WriteFile(filepath.Join(group, file), value, 0); err != nil {
				return fmt.Errorf("fill %s: %w", file, err)
			}
		}
	}
	return nil
}

// RemoveCgroups removes all groups of the instance. The kernel may take a
// moment to let go of those whose processes were just killed.
func RemoveCgroups(ctx context.Context, i layout.Instance) error {
	trees, err := hierarchies()
	if err != nil {
		return err
	}
	for {
		var left []string
		for _, t := range trees {
			groups, err := filepath.Glob(filepath.Join(t.path, i.CgroupPrefix()+"*"))
			if err != nil {
				return fmt.Errorf("list cgroups: %w", err)
			}
			for _, group := range groups {
				if removeTree(group) != nil {
					left = append(left, group)
				}
			}
		}
		if len(left) == 0 {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("remove cgroups %s: %w", strings.Join(left, ", "), err)
		}
	}
}

// removeTree removes a group after those in it. Its files go with it.
func removeTree(group string) error {
	var groups []string
	err := filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			groups = append(groups, path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list cgroup: %w", err)
	}
	slices.Reverse(groups)
	for _, g := range groups {
		if err := os.Remove(g); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove cgroup: %w", err)
		}
	}
	return nil
}

// hierarchies are all trees. On a hybrid machine that is the unified one too,
// where runc makes groups beside those of v1.
func hierarchies() ([]hierarchy, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	trees := parseHierarchies(string(info))
	if len(trees) == 0 {
		return nil, errors.New("find cgroups: neither v1 nor v2 is mounted")
	}
	return trees, nil
}

// parseHierarchies reads /proc/self/mountinfo: "36 35 98:0 / /where opts [tags]
// - cgroup source superoptions".
func parseHierarchies(mountinfo string) []hierarchy {
	var trees []hierarchy
	for line := range strings.Lines(mountinfo) {
		where, what, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(where), strings.Fields(what)
		if !ok || len(left) < 5 || len(right) < 3 || left[3] != "/" {
			continue
		}
		switch right[0] {
		case "cgroup":
			trees = append(trees, hierarchy{path: left[4], cpuset: slices.Contains(strings.Split(right[2], ","), "cpuset")})
		case "cgroup2":
			trees = append(trees, hierarchy{path: left[4], unified: true})
		}
	}
	return trees
}
