package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Settings are settings of the whole machine and their values: files below
// /proc/sys, and controllers of the unified cgroup tree, "+name" or "-name".
type Settings map[string]string

// with returns the settings with others laid over them.
func (s Settings) with(others Settings) Settings {
	both := Settings{}
	maps.Copy(both, s)
	maps.Copy(both, others)
	return both
}

// inotifyLimit is shared by all nodes, and each has about 20 inotify instances.
// Debian allows 128: the kubelet of the seventh node ended with "too many open
// files".
const inotifyLimit = "/proc/sys/fs/inotify/max_user_instances"

// controllers are those that the kubelet asks for.
var controllers = []string{"cpu", "cpuset", "memory", "pids"}

// thisMachine is a host with these minimums.
type thisMachine map[string]int

func (m thisMachine) settings() (Settings, error) {
	now := Settings{}
	for path, minimum := range m {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read setting: %w", err)
		}
		value := strings.TrimSpace(string(content))
		if number, err := strconv.Atoi(value); err != nil || number < minimum {
			now[path] = value
		}
	}
	control, err := subtreeControl()
	if err != nil || control == "" {
		return now, err
	}
	content, err := os.ReadFile(control)
	if err != nil {
		return nil, fmt.Errorf("read cgroup controllers: %w", err)
	}
	for _, c := range controllers {
		if !slices.Contains(strings.Fields(string(content)), c) {
			now[control+" "+c] = "-" + c
		}
	}
	return now, nil
}

func (m thisMachine) change(now Settings) error {
	for name := range now {
		path, controller, _ := strings.Cut(name, " ")
		value := "+" + controller
		if minimum, ok := m[path]; ok {
			value = strconv.Itoa(minimum)
		}
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			return fmt.Errorf("change setting %s to %s: %w", name, value, err)
		}
	}
	return nil
}

func (thisMachine) restore(ctx context.Context, before Settings) {
	forgetRoutes(ctx)
	before.write()
}

// write gives the settings their values, as far as that is possible.
func (s Settings) write() {
	for name, value := range s {
		path, _, _ := strings.Cut(name, " ")
		// A controller that somebody else uses by now cannot be disabled, and
		// then it stays.
		_ = os.WriteFile(path, []byte(value), 0)
	}
}

// subtreeControl is the file that enables controllers on a machine with the
// unified tree only, and empty on others.
func subtreeControl() (string, error) {
	trees, err := hierarchies()
	if err != nil || len(trees) > 1 || !trees[0].unified {
		return "", err
	}
	control := filepath.Join(trees[0].path, "cgroup.subtree_control")
	if _, err := os.Stat(control); errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("the root of the cgroup tree is not visible here: run on the machine itself, not in a container")
	}
	return control, nil
}
