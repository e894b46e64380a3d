package layout

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddresses(t *testing.T) {
	type addresses struct {
		Pods, AllPods, Services, Nodes, Node, Host, API, DNS, URL string
	}
	cases := map[string]struct {
		reason   string
		instance Instance
		node     int
		want     addresses
	}{
		"First": {
			reason:   "The first instance begins with the supernet.",
			instance: Instance{Number: 0, Nodes: 1},
			want: addresses{
				Pods: "198.18.0.0/24", AllPods: "198.18.0.0/21", Services: "198.19.0.0/20", Nodes: "198.18.15.0/24",
				Node: "198.18.15.10", Host: "198.18.15.1", API: "198.19.0.1", DNS: "198.19.0.10",
				URL: "https://198.18.15.10:6443",
			},
		},
		"SecondNode": {
			reason:   "A node differs in its pods and its own address only; the API is on node 0.",
			instance: Instance{Number: 5, Nodes: 2},
			node:     1,
			want: addresses{
				Pods: "198.18.81.0/24", AllPods: "198.18.80.0/21", Services: "198.19.80.0/20", Nodes: "198.18.95.0/24",
				Node: "198.18.95.11", Host: "198.18.95.1", API: "198.19.80.1", DNS: "198.19.80.10",
				URL: "https://198.18.95.10:6443",
			},
		},
		"Last": {
			reason:   "The last instance still fits into one octet.",
			instance: Instance{Number: MaxInstance, Nodes: MaxNodes},
			node:     MaxNodes - 1,
			want: addresses{
				Pods: "198.18.231.0/24", AllPods: "198.18.224.0/21", Services: "198.19.224.0/20", Nodes: "198.18.239.0/24",
				Node: "198.18.239.17", Host: "198.18.239.1", API: "198.19.224.1", DNS: "198.19.224.10",
				URL: "https://198.18.239.10:6443",
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			i := tc.instance
			got := addresses{
				Pods: i.PodRange(tc.node).String(), AllPods: i.PodRanges().String(), Services: i.ServiceRange().String(),
				Nodes: i.NodeRange().String(), Node: i.NodeIP(tc.node).String(), Host: i.HostIP().String(),
				API: i.APIServiceIP().String(), DNS: i.DNSServiceIP().String(), URL: i.APIURL(),
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\naddresses (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestRangesAreDisjoint(t *testing.T) {
	supernet := netip.MustParsePrefix(Supernet)
	owner := map[netip.Prefix]int{}
	for n := range MaxInstance + 1 {
		i := Instance{Number: n, Nodes: MaxNodes}
		for _, p := range []netip.Prefix{i.PodRanges(), i.NodeRange(), i.ServiceRange()} {
			if !supernet.Contains(p.Addr()) {
				t.Errorf("instance %d: %s is outside the black-holed %s", n, p, supernet)
			}
			for other, m := range owner {
				if p.Overlaps(other) {
					t.Errorf("%s of instance %d overlaps %s of instance %d", p, n, other, m)
				}
			}
			owner[p] = n
		}
		for k := range MaxNodes {
			if !i.PodRanges().Overlaps(i.PodRange(k)) {
				t.Errorf("instance %d: the pods of node %d are outside %s", n, k, i.PodRanges())
			}
		}
	}
}

func TestPrefixesTellInstancesApart(t *testing.T) {
	one, ten := Instance{Number: 1, Nodes: 1}, Instance{Number: 10, Nodes: 1}
	for _, names := range [][2]string{
		{one.LinkPrefix(), ten.Link(0)}, {one.CgroupPrefix(), ten.Cgroup(0)},
	} {
		if len(names[1]) >= len(names[0]) && names[1][:len(names[0])] == names[0] {
			t.Errorf("the prefix %s of instance 1 takes %s of instance 10", names[0], names[1])
		}
	}
}

func TestValidate(t *testing.T) {
	cases := map[string]struct {
		reason   string
		instance Instance
		valid    bool
	}{
		"Smallest":       {"The default is possible.", Instance{0, 1}, true},
		"Largest":        {"The limits are possible.", Instance{MaxInstance, MaxNodes}, true},
		"NegativeNumber": {"There is no instance -1.", Instance{-1, 1}, false},
		"NumberTooHigh":  {"Its addresses would be outside the range.", Instance{MaxInstance + 1, 1}, false},
		"NoNode":         {"A cluster without a node has no API server.", Instance{0, 0}, false},
		"TooManyNodes":   {"Their pods would be outside PodRanges.", Instance{0, MaxNodes + 1}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if err := tc.instance.Validate(); (err == nil) != tc.valid {
				t.Errorf("%s\nValidate() = %v, want valid: %t", tc.reason, err, tc.valid)
			}
		})
	}
}
