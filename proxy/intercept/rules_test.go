package intercept

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func lines(rules []Rule) string {
	var out []string
	for _, r := range rules {
		out = append(out, r.String())
	}
	return "\n" + strings.Join(out, "\n") + "\n"
}

func TestDerive(t *testing.T) {
	all := Exclusions{
		InboundPorts: []uint16{22, 9100}, OutboundPorts: []uint16{5432},
		InboundCIDRs:  []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10")},
		OutboundCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
	}
	for name, tc := range map[string]struct {
		reason            string
		family            Family
		exclusions        Exclusions
		inbound, outbound string
	}{
		"nothing excluded": {
			reason: "what every pod has", family: IPv4,
			inbound: `
l4proto != tcp return
iif lo return
dport 15020 return
dport 15021 return
dport 15090 return
redirect to :15006
`, outbound: `
l4proto != tcp return
oif lo saddr 127.0.0.6/32 return
oif lo daddr != 127.0.0.0/8 skuid 1337 redirect to :15006
oif lo daddr != 127.0.0.0/8 skgid 1337 redirect to :15006
oif lo return
skuid 1337 return
skgid 1337 return
redirect to :15001
`,
		},
		"all excluded, IPv4": {
			reason: "a port that is not intercepted is not in the proxy's way to its own pod either", family: IPv4, exclusions: all,
			inbound: `
l4proto != tcp return
iif lo return
dport 15020 return
dport 15021 return
dport 15090 return
dport 22 return
dport 9100 return
saddr 169.254.0.0/16 return
redirect to :15006
`, outbound: `
l4proto != tcp return
oif lo saddr 127.0.0.6/32 return
oif lo dport 22 return
oif lo dport 9100 return
oif lo daddr != 127.0.0.0/8 skuid 1337 redirect to :15006
oif lo daddr != 127.0.0.0/8 skgid 1337 redirect to :15006
oif lo return
skuid 1337 return
skgid 1337 return
dport 5432 return
daddr 10.0.0.0/8 return
redirect to :15001
`,
		},
		"all excluded, IPv6": {
			reason: "each family has its own addresses", family: IPv6, exclusions: all,
			inbound: `
l4proto != tcp return
iif lo return
dport 15020 return
dport 15021 return
dport 15090 return
dport 22 return
dport 9100 return
saddr fe80::/10 return
redirect to :15006
`, outbound: `
l4proto != tcp return
oif lo saddr ::6/128 return
oif lo dport 22 return
oif lo dport 9100 return
oif lo daddr != ::1/128 skuid 1337 redirect to :15006
oif lo daddr != ::1/128 skgid 1337 redirect to :15006
oif lo return
skuid 1337 return
skgid 1337 return
dport 5432 return
daddr fd00::/8 return
redirect to :15001
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Derive(tc.family, tc.exclusions)
			if diff := cmp.Diff(tc.inbound, lines(got.Inbound)); diff != "" {
				t.Errorf("%s: inbound (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.outbound, lines(got.Outbound)); diff != "" {
				t.Errorf("%s: outbound (-want +got):\n%s", tc.reason, diff)
			}
			guard := "\nl4proto != tcp return\niif != lo dport 15001 drop\niif != lo dport 15006 drop\n"
			if diff := cmp.Diff(guard, lines(got.Guard)); diff != "" {
				t.Errorf("guard (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		text, ports, cidrs string // the results, or the errors
	}{
		"none":     {"", "[]", "[]"},
		"blanks":   {"  ", "[]", "[]"},
		"ports":    {"9100, 22,9100", "[22 9100]", `"9100" is no CIDR: write such as 10.0.0.0/8 or 10.1.2.3/32, separated by commas`},
		"cidrs":    {"fd00::1/8, 10.1.2.3/8,10.0.0.0/8", `"fd00::1/8" is no port: write numbers from 1 to 65535, separated by commas`, "[10.0.0.0/8 fd00::/8]"},
		"too many": {strings.Repeat("1,", maxEntries) + "1", "more than 128 entries: exclude CIDRs that hold them all", "more than 128 entries: exclude CIDRs that hold them all"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.ports, text(ParsePorts(tc.text))); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.cidrs, text(ParseCIDRs(tc.text))); diff != "" {
				t.Errorf("CIDRs (-want +got):\n%s", diff)
			}
		})
	}
}

func text[T any](values []T, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(values)
}
