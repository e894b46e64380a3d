// Package intercept is the subcommand init: it leads a pod's TCP connections to
// the pod's proxy, proves that they arrive, and ends. It runs in the pod's
// network namespace, as root with the capability NET_ADMIN, before anything else
// of the pod.
//
// Which connections is said in proxy/intercept. The rules are in a table of
// their own, one for each family of IP, which is replaced as a whole, so a
// second run changes nothing. They are written by netlink: the image has no
// iptables or nft to run.
package intercept
