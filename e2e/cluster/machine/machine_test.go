package machine

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

func TestCommands(t *testing.T) {
	instance := layout.Instance{Number: 5, Nodes: 2}
	cases := map[string]struct {
		reason string
		got    []string
		want   []string
	}{
		"Bridge": {
			reason: "The black hole comes first: nothing may leave the machine, not even for a moment.",
			got:    bridgeCommands(instance),
			want: []string{
				"route replace blackhole 198.18.0.0/15 metric 4096",
				"link add kbr5 type bridge",
				"address add 198.18.95.1/24 dev kbr5",
				"link set kbr5 up",
				"route add 198.19.80.0/20 via 198.18.95.10",
			},
		},
		"Plug": {
			reason: "The cable's far end is made inside the node, so the host never has a link of its name.",
			got:    plugCommands(instance, 1, 4711, "kn0"),
			want: []string{
				"link add k5-1 type veth peer name kn0 netns 4711",
				"link set k5-1 master kbr5 up",
				"route add 198.18.81.0/24 via 198.18.95.11",
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got); diff != "" {
				t.Errorf("%s\ncommands (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestNodeArgs(t *testing.T) {
	root, instance := layout.Root("/home/some one/crossfade"), layout.Instance{Number: 3, Nodes: 2}
	args := NodeArgs(root, instance, 1)
	if args[0] != Process1 || args[1] != "node" {
		t.Fatalf("NodeArgs() begins with %q, want the name that Nodes looks for and the command", args[:2])
	}
	gotRoot, gotInstance, gotNode, err := ParseNodeArgs(args[2:])
	if err != nil {
		t.Fatal(err)
	}
	if gotRoot != root || gotInstance != instance || gotNode != 1 {
		t.Errorf("ParseNodeArgs(NodeArgs()) = %v, %v, %v", gotRoot, gotInstance, gotNode)
	}
}

func TestParseNodeArgsRefuses(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
	}{
		"TooFew":       {"Somebody else's program may have our name.", []string{"1", "2"}},
		"NoNumber":     {"A number is needed to find links and groups.", []string{"one", "1", "0", "/root"}},
		"OutsideRange": {"Such an instance has no addresses.", []string{"99", "1", "0", "/root"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, _, _, err := ParseNodeArgs(tc.args); err == nil {
				t.Errorf("%s\nParseNodeArgs(%q) succeeded", tc.reason, tc.args)
			}
		})
	}
}

func TestJudgeDisk(t *testing.T) {
	cases := map[string]struct {
		reason string
		free   uint64
		want   string
	}{
		"Enough": {"Exactly enough is enough.", 10 * GiB, ""},
		"Less":   {"The user has to know how much to free.", 3*GiB + GiB/2, "too little disk: 3.5 GiB are free at /x, 10 GiB are needed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := judgeDisk("/x", tc.free, 10*GiB); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nerror (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestParseHierarchies(t *testing.T) {
	cases := map[string]struct {
		reason string
		info   string
		want   []hierarchy
	}{
		"Unified": {
			reason: "Debian 12 with systemd.",
			info: "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n" +
				"30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
			want: []hierarchy{{path: "/sys/fs/cgroup", unified: true}},
		},
		"Hybrid": {
			reason: "runc makes groups in the unified tree too, so they must be found there.",
			info: "31 30 0:27 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup rw\n" +
				"32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:6 - cgroup cgroup rw,cpu,cpuacct\n" +
				"33 30 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n",
			want: []hierarchy{
				{path: "/sys/fs/cgroup/unified", unified: true},
				{path: "/sys/fs/cgroup/cpu,cpuacct"},
				{path: "/sys/fs/cgroup/cpuset", cpuset: true},
			},
		},
		"PartOfATree": {
			reason: "A container's bind mount of a subtree is no tree to make groups in.",
			info:   "40 30 0:29 /docker/1 /mnt rw - cgroup cgroup rw,cpuset\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := parseHierarchies(tc.info)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(hierarchy{})); diff != "" {
				t.Errorf("%s\ntrees (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
