// Package node is process 1 of a node: a network, mount, process and host name
// namespace of its own with the programs of a Kubernetes node in it. Killing it
// ends every process and mount of the node, its pods too; the kernel sees to
// that.
package node
