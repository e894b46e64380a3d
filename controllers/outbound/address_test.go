package outbound

import (
	"net/netip"
	"strings"
	"testing"
)

func TestClassOf(t *testing.T) {
	cases := map[string]struct {
		reason  string
		address string
		want    string
	}{
		"pod":                   {"pods have private addresses", "10.244.1.7", ""},
		"Service":               {"so have Services", "172.20.0.1", ""},
		"carrier":               {"some clusters use the carrier's range", "100.64.0.5", ""},
		"public":                {"the administrator may allow any host", "93.184.216.34", ""},
		"unique local":          {"pods of an IPv6 cluster", "fd00:10:244::5", ""},
		"public 6":              {"", "2606:2800:220:1::1", ""},
		"metadata":              {"the machine's credentials", "169.254.169.254", "link-local"},
		"ECS":                   {"a task's credentials", "169.254.170.2", "link-local"},
		"loopback":              {"the controller's own pod", "127.0.0.1", "loopback"},
		"loopback, all of it":   {"127/8 is one machine", "127.9.8.7", "loopback"},
		"unspecified":           {"connects to the own machine", "0.0.0.0", "unspecified"},
		"this network":          {"Linux routes it like 0.0.0.0", "0.0.0.8", "unspecified"},
		"multicast":             {"", "224.0.0.251", "multicast"},
		"broadcast":             {"", "255.255.255.255", "reserved"},
		"Alibaba":               {"", "100.100.100.200", "metadata"},
		"Azure":                 {"", "168.63.129.16", "metadata"},
		"Oracle":                {"", "192.0.0.192", "metadata"},
		"AWS by IPv6":           {"", "fd00:ec2::254", "metadata"},
		"GCP by IPv6":           {"", "fd20:ce::254", "metadata"},
		"loopback 6":            {"", "::1", "loopback"},
		"unspecified 6":         {"", "::", "unspecified"},
		"link-local 6":          {"", "fe80::1", "link-local"},
		"link-local 6, zone":    {"a zone changes nothing", "fe80::1%eth0", "link-local"},
		"site-local":            {"", "fec0::1", "site-local"},
		"multicast 6":           {"", "ff02::1", "multicast"},
		"mapped":                {"IPv4 in IPv6", "::ffff:169.254.169.254", "link-local"},
		"mapped, hex":           {"the same in hex digits", "::ffff:a9fe:a9fe", "link-local"},
		"mapped, loopback":      {"", "::ffff:127.0.0.1", "loopback"},
		"mapped, pod":           {"what is inside counts, both ways", "::ffff:10.1.2.3", ""},
		"NAT64":                 {"a gateway turns it back", "64:ff9b::a9fe:a9fe", "link-local"},
		"NAT64, public":         {"", "64:ff9b::5db8:d822", ""},
		"NAT64, local":          {"how long its prefix is nobody knows", "64:ff9b:1::1", "translated"},
		"SIIT":                  {"", "::ffff:0:169.254.169.254", "link-local"},
		"IPv4-compatible":       {"", "::169.254.169.254", "link-local"},
		"IPv4-compatible, loop": {"", "::127.0.0.1", "loopback"},
		"6to4":                  {"", "2002:a9fe:a9fe::1", "link-local"},
		"Teredo":                {"", "2001:0:1::1", "Teredo"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := classOf(netip.MustParseAddr(tc.address))
			if (tc.want == "") != (got == "") || !strings.Contains(string(got), tc.want) {
				t.Errorf("%s: classOf(%s) = %q, want %q", tc.reason, tc.address, got, tc.want)
			}
		})
	}
	if classOf(netip.Addr{}) == "" {
		t.Error("no address at all must be refused")
	}
}

// FuzzClassOf: however an IPv4 address is wrapped, it is judged as itself.
func FuzzClassOf(f *testing.F) {
	f.Add([]byte{169, 254, 169, 254})
	f.Add([]byte{10, 0, 0, 1})
	f.Add([]byte{127, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != 4 {
			t.Skip()
		}
		plain := netip.AddrFrom4([4]byte(b))
		want := classOf(plain)
		wrap := func(prefix string, at int) netip.Addr {
			w := netip.MustParseAddr(prefix).As16()
			copy(w[at:], b)
			return netip.AddrFrom16(w)
		}
		for _, a := range []netip.Addr{
			wrap("::ffff:0:0", 12), wrap("64:ff9b::", 12), wrap("::ffff:0:0:0", 12), wrap("2002::1", 2),
		} {
			if got := classOf(a); got != want {
				t.Errorf("classOf(%s) = %q, of %s %q", a, got, plain, want)
			}
			if inner(a) != plain {
				t.Errorf("inner(%s) = %s, want %s", a, inner(a), plain)
			}
		}
		if plain.IsLoopback() || plain.IsLinkLocalUnicast() || plain.IsMulticast() || plain.IsUnspecified() {
			if want == "" {
				t.Errorf("%s is let through", plain)
			}
		}
	})
}

// FuzzClassOf6: nothing that the standard library knows to be special gets through.
func FuzzClassOf6(f *testing.F) {
	f.Add(netip.MustParseAddr("fe80::1").AsSlice())
	f.Add(netip.MustParseAddr("::ffff:127.0.0.1").AsSlice())
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			t.Skip()
		}
		u := a.Unmap()
		special := u.IsLoopback() || u.IsLinkLocalUnicast() || u.IsLinkLocalMulticast() || u.IsInterfaceLocalMulticast() || u.IsMulticast() || u.IsUnspecified()
		if special && classOf(a) == "" {
			t.Errorf("%s is let through", a)
		}
	})
}
