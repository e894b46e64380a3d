package intercept

import (
	"fmt"
	"net/netip"
	"strings"
)

// Family is one of IP's.
type Family int

// The families of IP.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// String is the family's name in the kernel's tables.
func (f Family) String() string {
	if f == IPv6 {
		return "ip6"
	}
	return "ip"
}

func (f Family) has(p netip.Prefix) bool { return p.Addr().Is4() == (f == IPv4) }

// InboundSource is what the proxy binds its connections to the application to:
// an address of loopback that nobody else uses.
func (f Family) InboundSource() netip.Addr {
	if f == IPv6 {
		return netip.MustParseAddr("::6")
	}
	return netip.MustParseAddr("127.0.0.6")
}

func (f Family) loopback() netip.Prefix {
	if f == IPv6 {
		return netip.MustParsePrefix("::1/128")
	}
	return netip.MustParsePrefix("127.0.0.0/8")
}

// Action is what happens to the first packet of a connection that a rule
// matches; the rest follows it.
type Action int

// What rules do.
const (
	// Return leaves the connection alone.
	Return Action = iota
	// Redirect leads it to a port of the pod.
	Redirect
	// Drop loses it.
	Drop
)

// Rule matches when all of its conditions do; those with their zero value have
// nothing against anything.
type Rule struct {
	NotTCP          bool
	In, Out         string // interface
	NotIn           string
	Source          netip.Prefix
	Destination     netip.Prefix
	NotDestination  netip.Prefix
	DestinationPort uint16
	UID, GID        uint32 // of the process that opened the connection

	Action Action
	To     uint16 // port of Redirect
}

// String writes a rule as nft does.
func (r Rule) String() string {
	var out []string
	say := func(when bool, format string, args ...any) {
		if when {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	say(r.NotTCP, "l4proto != tcp")
	say(r.In != "", "iif %s", r.In)
	say(r.NotIn != "", "iif != %s", r.NotIn)
	say(r.Out != "", "oif %s", r.Out)
	say(r.Source.IsValid(), "saddr %s", r.Source)
	say(r.Destination.IsValid(), "daddr %s", r.Destination)
	say(r.NotDestination.IsValid(), "daddr != %s", r.NotDestination)
	say(r.DestinationPort != 0, "dport %d", r.DestinationPort)
	say(r.UID != 0, "skuid %d", r.UID)
	say(r.GID != 0, "skgid %d", r.GID)
	say(r.Action == Return, "return")
	say(r.Action == Drop, "drop")
	say(r.Action == Redirect, "redirect to :%d", r.To)
	return strings.Join(out, " ")
}

// Rules are the three chains of one family, each asked from the top.
type Rules struct {
	Family Family
	// Guard sees packets that come in before any address is translated.
	Guard []Rule
	// Inbound sees connections that come in, Outbound those that the pod opens.
	Inbound, Outbound []Rule
}

const loopback = "lo"

// Derive returns the rules of one family.
func Derive(f Family, e Exclusions) Rules {
	return Rules{Family: f, Guard: guard(), Inbound: inbound(f, e), Outbound: outbound(f, e)}
}

// guard drops what comes from outside straight to the proxy's two ports. Its
// original destination would be the proxy itself, which would open a connection
// to itself for it, and so on for ever.
func guard() []Rule {
	return []Rule{
		{NotTCP: true},
		{NotIn: loopback, DestinationPort: OutboundPort, Action: Drop},
		{NotIn: loopback, DestinationPort: InboundPort, Action: Drop},
	}
}

func inbound(f Family, e Exclusions) []Rule {
	out := []Rule{{NotTCP: true}, {In: loopback}}
	// 15020 is nobody's here; monitoring that was made for other meshes knows it.
	for _, port := range append([]uint16{15020, ReadyPort, StatsPort}, e.InboundPorts...) {
		out = append(out, Rule{DestinationPort: port})
	}
	for _, p := range e.InboundCIDRs {
		if f.has(p) {
			out = append(out, Rule{Source: p})
		}
	}
	return append(out, Rule{Action: Redirect, To: InboundPort})
}

func outbound(f Family, e Exclusions) []Rule {
	source := f.InboundSource()
	out := []Rule{
		{NotTCP: true},
		// The proxy, and the agent's probes, on the last stretch to the application.
		{Out: loopback, Source: netip.PrefixFrom(source, source.BitLen())},
	}
	for _, port := range e.InboundPorts {
		out = append(out, Rule{Out: loopback, DestinationPort: port})
	}
	return append(append(out,
		// The application called its own Service, and the proxy chose this very pod:
		// the connection is mTLS and has to go in by the front door. What is for
		// loopback's own addresses, such as the agent's for Envoy, is not that.
		Rule{Out: loopback, NotDestination: f.loopback(), UID: UID, Action: Redirect, To: InboundPort},
		Rule{Out: loopback, NotDestination: f.loopback(), GID: UID, Action: Redirect, To: InboundPort},
		Rule{Out: loopback},
		Rule{UID: UID},
		Rule{GID: UID},
	), leaving(f, e)...)
}

// leaving are the last rules of what the application opens.
func leaving(f Family, e Exclusions) []Rule {
	var out []Rule
	for _, port := range e.OutboundPorts {
		out = append(out, Rule{DestinationPort: port})
	}
	for _, p := range e.OutboundCIDRs {
		if f.has(p) {
			out = append(out, Rule{Destination: p})
		}
	}
	return append(out, Rule{Action: Redirect, To: OutboundPort})
}
