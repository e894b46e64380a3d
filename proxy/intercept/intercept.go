// Package intercept says which of a pod's TCP connections its proxy takes, as a
// list of rules for the kernel. It is pure: cmd/crossfade/intercept hands the
// rules over.
//
// On the way out everything goes to OutboundPort, on the way in to InboundPort,
// but for what the rules return to before. Connections that exist when rules are
// written stay as they are.
package intercept

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Ports of the sidecar.
const (
	OutboundPort = 15001
	InboundPort  = 15006
	// ReadyPort is the agent's, for the kubelet; StatsPort for Prometheus.
	ReadyPort = 15021
	StatsPort = 15090
)

// UID is the user, and the group, that the proxy runs as. By it the rules tell
// its own connections from the application's.
const UID = 1337

// maxEntries bounds a list of exclusions: each entry is a rule that every new
// connection passes.
const maxEntries = 128

// Exclusions are what is left alone besides what always is: ports of the
// destination, and CIDRs of the other side.
type Exclusions struct {
	InboundPorts, OutboundPorts []uint16
	InboundCIDRs, OutboundCIDRs []netip.Prefix
}

// ParsePorts reads port numbers separated by commas. They come back sorted, each
// once.
func ParsePorts(text string) ([]uint16, error) {
	entries, err := split(text)
	if err != nil {
		return nil, err
	}
	var out []uint16
	for _, entry := range entries {
		n, err := strconv.ParseUint(entry, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%q is no port: write numbers from 1 to 65535, separated by commas", entry)
		}
		out = append(out, uint16(n))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// ParseCIDRs reads CIDRs of both families separated by commas. They come back
// sorted, each once, without bits below their mask.
func ParseCIDRs(text string) ([]netip.Prefix, error) {
	entries, err := split(text)
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, entry := range entries {
		p, err := netip.ParsePrefix(entry)
		if err != nil || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is no CIDR: write such as 10.0.0.0/8 or 10.1.2.3/32, separated by commas", entry)
		}
		out = append(out, p.Masked())
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Compact(out), nil
}

// split makes no entries of blanks only. A comma too many makes an empty entry,
// which its reader refuses.
func split(text string) ([]string, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	parts := strings.Split(text, ",")
	if len(parts) > maxEntries {
		return nil, errors.New("more than " + strconv.Itoa(maxEntries) + " entries: exclude CIDRs that hold them all")
	}
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts, nil
}
