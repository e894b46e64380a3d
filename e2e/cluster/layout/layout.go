// Package layout is the plan of one cluster instance: its numbers, addresses,
// names and paths. It is pure; nothing here touches the machine.
//
// All addresses are in 198.18.0.0/15, the range set aside for benchmarks. It
// is never routed on the Internet, and Supernet is black-holed on the host, so
// a wrong address ends here and not in somebody's network.
package layout

import (
	"fmt"
	"net/netip"
)

const (
	// MaxInstance is the highest instance number: instance n owns the 16
	// third octets from 16n on.
	MaxInstance = 14
	// MaxNodes is the highest number of nodes of an instance: the lower half of
	// its 16 third octets holds their pods, the last one the nodes themselves.
	MaxNodes = 8
	// Supernet holds every address of every instance.
	Supernet = "198.18.0.0/15"
	// APIPort is where the API server of node 0 listens.
	APIPort = 6443
	// ClusterDomain ends the DNS name of every Service.
	ClusterDomain = "cluster.local"
	// PauseImage holds the namespaces of every pod. Its host does not exist:
	// what is not loaded is never pulled from anywhere.
	PauseImage = "crossfade.local/pause:1"
	// CoreDNSImage answers the cluster's DNS.
	CoreDNSImage = "crossfade.local/coredns:1"
)

// Instance is one cluster: a number and how many nodes it has.
type Instance struct {
	Number int `json:"number"` // 0 to MaxInstance
	Nodes  int `json:"nodes"`  // 1 to MaxNodes
}

// Validate returns a sentence for the user when the plan cannot be made.
func (i Instance) Validate() error {
	if i.Number < 0 || i.Number > MaxInstance {
		return fmt.Errorf("-instance %d is not possible: use 0 to %d", i.Number, MaxInstance)
	}
	if i.Nodes < 1 || i.Nodes > MaxNodes {
		return fmt.Errorf("-nodes %d is not possible: use 1 to %d", i.Nodes, MaxNodes)
	}
	return nil
}

// PodRange is the range of the pods on node k.
func (i Instance) PodRange(k int) netip.Prefix { return prefix(18, 16*i.Number+k, 24) }

// PodRanges covers the pods of all nodes that an instance can have, but neither
// the nodes nor the host: what they send to a ClusterIP has to be masqueraded,
// or the answer of a pod on another node bypasses the node that translated.
func (i Instance) PodRanges() netip.Prefix { return prefix(18, 16*i.Number, 21) }

// ServiceRange holds the ClusterIPs.
func (i Instance) ServiceRange() netip.Prefix { return prefix(19, 16*i.Number, 20) }

// NodeRange is the network between the nodes and the host.
func (i Instance) NodeRange() netip.Prefix { return prefix(18, 16*i.Number+15, 24) }

// NodeIP is the address of node k.
func (i Instance) NodeIP(k int) netip.Addr { return address(18, 16*i.Number+15, 10+k) }

// HostIP is the host as the nodes and pods of the instance reach it.
func (i Instance) HostIP() netip.Addr { return address(18, 16*i.Number+15, 1) }

// APIServiceIP is the ClusterIP of the Service kubernetes.default.
func (i Instance) APIServiceIP() netip.Addr { return address(19, 16*i.Number, 1) }

// DNSServiceIP is the ClusterIP of CoreDNS.
func (i Instance) DNSServiceIP() netip.Addr { return address(19, 16*i.Number, 10) }

// APIURL is the API server as everybody, also the host, reaches it.
func (i Instance) APIURL() string {
	return "https://" + netip.AddrPortFrom(i.NodeIP(0), APIPort).String()
}

// Bridge is the host's link that connects the nodes.
func (i Instance) Bridge() string { return fmt.Sprintf("kbr%d", i.Number) }

// Link is the host's end of the cable to node k.
func (i Instance) Link(k int) string { return fmt.Sprintf("%s%d", i.LinkPrefix(), k) }

// LinkPrefix begins the name of every Link of the instance.
func (i Instance) LinkPrefix() string { return fmt.Sprintf("k%d-", i.Number) }

// Cgroup is the parent of all pods of node k in every hierarchy.
func (i Instance) Cgroup(k int) string { return fmt.Sprintf("%s%d", i.CgroupPrefix(), k) }

// CgroupPrefix begins the name of every Cgroup of the instance.
func (i Instance) CgroupPrefix() string { return fmt.Sprintf("kube%d-", i.Number) }

// NodeName is the name of node k in the cluster and its host name.
func (i Instance) NodeName(k int) string { return fmt.Sprintf("node%d", k) }

// NodeNames are the names of all nodes, in order.
func (i Instance) NodeNames() []string {
	names := make([]string, i.Nodes)
	for k := range names {
		names[k] = i.NodeName(k)
	}
	return names
}

func prefix(second, third, bits int) netip.Prefix {
	return netip.PrefixFrom(address(second, third, 0), bits)
}

func address(second, third, fourth int) netip.Addr {
	return netip.AddrFrom4([4]byte{198, byte(second), byte(third), byte(fourth)})
}
