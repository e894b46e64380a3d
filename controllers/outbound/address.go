package outbound

import (
	"net/netip"
)

// class is why an address is never dialled; empty when nothing is wrong with it.
type class string

// kind is a range of addresses that have nothing to do with a hook.
type kind struct {
	prefix netip.Prefix
	is     class
}

// kinds are looked through in order. Ranges for private use are not among them: they
// are the cluster's own pods and Services.
var kinds = []kind{
	{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified address"},
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address, where machines keep their credentials"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},
	// What clouds answer by beside 169.254.169.254.
	{netip.MustParsePrefix("100.100.100.200/32"), "a metadata address"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a metadata address"},
	{netip.MustParsePrefix("192.0.0.192/32"), "a metadata address"},
	{netip.MustParsePrefix("fd00:ec2::/32"), "a metadata address"},
	{netip.MustParsePrefix("fd20:ce::254/128"), "a metadata address"},
	{netip.MustParsePrefix("::/128"), "an unspecified address"},
	{netip.MustParsePrefix("::1/128"), "a loopback address"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address, where machines keep their credentials"},
	{netip.MustParsePrefix("fec0::/10"), "a site-local address"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
	// Translated where we cannot see to what.
	{netip.MustParsePrefix("2001::/32"), "a Teredo address"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a translated address"},
}

// embedding is a range of IPv6 addresses that stand for an IPv4 one: a gateway on the
// way turns them back, so what counts is the address inside.
type embedding struct {
	prefix netip.Prefix
	// at is the byte at which the IPv4 address begins.
	at int
}

var embeddings = []embedding{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // SIIT
	{netip.MustParsePrefix("::/96"), 12},           // IPv4-compatible
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4
}

// classOf judges an address, also inside what stands for another.
func classOf(a netip.Addr) class {
	if !a.IsValid() {
		return "no address"
	}
	a = a.Unmap().WithZone("")
	for _, k := range kinds {
		if k.prefix.Contains(a) {
			return k.is
		}
	}
	for _, e := range embeddings {
		if e.prefix.Contains(a) {
			b := a.As16()
			return classOf(netip.AddrFrom4([4]byte(b[e.at : e.at+4])))
		}
	}
	return ""
}

// inner is an address without what it is wrapped in, to be compared.
func inner(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	for _, e := range embeddings {
		if e.prefix.Contains(a) {
			b := a.As16()
			return netip.AddrFrom4([4]byte(b[e.at : e.at+4]))
		}
	}
	return a
}
