package intercept

import (
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/crossfade-dev/crossfade/proxy/intercept"
)

var update = flag.Bool("update", false, "rewrite the goldens; read the difference before it is committed")

var excluded = intercept.Exclusions{
	InboundPorts: []uint16{22}, OutboundPorts: []uint16{5432},
	InboundCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.77.0.9/32"), netip.MustParsePrefix("fd77::9/128")},
	OutboundCIDRs: []netip.Prefix{netip.MustParsePrefix("10.77.0.8/29"), netip.MustParsePrefix("fd77::8/125")},
}

func (n *namespace) intercept(e intercept.Exclusions) error {
	var err error
	n.do(func() { err = run(n.t.Context(), e, slog.New(slog.NewTextHandler(io.Discard, nil))) })
	return err
}

// TestConnections asks the kernel itself where each connection goes.
func TestConnections(t *testing.T) {
	pod, outside := pair(t)
	outside.run("ip address add 10.77.0.9/24 dev eth0")
	outside.run("ip address add fd77::9/64 dev eth0 nodad")
	if err := pod.intercept(excluded); err != nil {
		t.Fatal(err)
	}
	pod.listen(15001, 15006, 15020, 15021, 15090, 22, 8080)
	outside.listen(80, 5432)

	const app = 1000
	for name, tc := range map[string]struct {
		reason       string
		from         *namespace
		uid, gid     int
		source4, to4 string
		source6, to6 string
		want         string
	}{
		"out":                {"what the application opens goes to the proxy", pod, app, app, "", "10.77.0.1:80", "", "[fd77::1]:80", "pod:15001"},
		"out as root":        {"also when it is root", pod, 0, 0, "", "10.77.0.1:80", "", "[fd77::1]:80", "pod:15001"},
		"out by the proxy":   {"or it would be sent to itself for ever", pod, intercept.UID, app, "", "10.77.0.1:80", "", "[fd77::1]:80", "outside:80"},
		"out by its group":   {"whoever its user is", pod, app, intercept.UID, "", "10.77.0.1:80", "", "[fd77::1]:80", "outside:80"},
		"out, port":          {"excluded", pod, app, app, "", "10.77.0.1:5432", "", "[fd77::1]:5432", "outside:5432"},
		"out, CIDR":          {"excluded", pod, app, app, "", "10.77.0.9:80", "", "[fd77::9]:80", "outside:80"},
		"loopback":           {"the application's own affair", pod, app, app, "", "127.0.0.1:8080", "", "[::1]:8080", "pod:8080"},
		"own address":        {"the same", pod, app, app, "", "10.77.0.2:8080", "", "[fd77::2]:8080", "pod:8080"},
		"own service":        {"the proxy chose its own pod: in by the front door", pod, intercept.UID, intercept.UID, "", "10.77.0.2:8080", "", "[fd77::2]:8080", "pod:15006"},
		"own service, group": {"the same by group", pod, app, intercept.UID, "", "10.77.0.2:8080", "", "[fd77::2]:8080", "pod:15006"},
		"own service, port":  {"what is not intercepted has no front door", pod, intercept.UID, intercept.UID, "", "10.77.0.2:22", "", "[fd77::2]:22", "pod:22"},
		"to the application": {"the last stretch", pod, intercept.UID, intercept.UID, "127.0.0.6", "10.77.0.2:8080", "::6", "[fd77::2]:8080", "pod:8080"},
		"agent to Envoy":     {"loopback's own addresses are nobody's Service", pod, intercept.UID, intercept.UID, "", "127.0.0.1:8080", "", "[::1]:8080", "pod:8080"},
		"in":                 {"what comes in goes to the proxy", outside, 0, 0, "", "10.77.0.2:8080", "fd77::1", "[fd77::2]:8080", "pod:15006"},
		"in, no listener":    {"whatever the port", outside, 0, 0, "", "10.77.0.2:81", "fd77::1", "[fd77::2]:81", "pod:15006"},
		"in, kubelet":        {"it has no certificate", outside, 0, 0, "", "10.77.0.2:15021", "fd77::1", "[fd77::2]:15021", "pod:15021"},
		"in, prometheus":     {"it has no certificate", outside, 0, 0, "", "10.77.0.2:15090", "fd77::1", "[fd77::2]:15090", "pod:15090"},
		"in, 15020":          {"others' habit", outside, 0, 0, "", "10.77.0.2:15020", "fd77::1", "[fd77::2]:15020", "pod:15020"},
		"in, port":           {"excluded", outside, 0, 0, "", "10.77.0.2:22", "fd77::1", "[fd77::2]:22", "pod:22"},
		"in, CIDR":           {"excluded", outside, 0, 0, "10.77.0.9", "10.77.0.2:8080", "fd77::9", "[fd77::2]:8080", "pod:8080"},
		"in, outbound port":  {"a loop without end", outside, 0, 0, "", "10.77.0.2:15001", "fd77::1", "[fd77::2]:15001", "nobody"},
		"in, inbound port":   {"a loop without end", outside, 0, 0, "", "10.77.0.2:15006", "fd77::1", "[fd77::2]:15006", "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			// On a new cable the first packet may be lost, and it is sent again after a second.
			patience := 10 * time.Second
			if tc.want == "nobody" {
				patience = 500 * time.Millisecond
			}
			if got := tc.from.dialled(tc.uid, tc.gid, tc.source4, tc.to4, patience); !strings.HasPrefix(got, tc.want) {
				t.Errorf("%s (%s): %s is answered by %s, want %s", name, tc.reason, tc.to4, got, tc.want)
			}
			if got := tc.from.dialled(tc.uid, tc.gid, tc.source6, tc.to6, patience); !strings.HasPrefix(got, tc.want) {
				t.Errorf("%s (%s): %s is answered by %s, want %s", name, tc.reason, tc.to6, got, tc.want)
			}
		})
	}
}

// TestGoldenRuleset is what nft shows, and that a second run changes nothing of
// it, with the proxy already there or not.
func TestGoldenRuleset(t *testing.T) {
	pod, _ := pair(t)
	if err := pod.intercept(excluded); err != nil {
		t.Fatal(err)
	}
	got := pod.run("nft list ruleset")
	if *update {
		if err := os.WriteFile("testdata/ruleset.golden", []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/ruleset.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if err := pod.intercept(excluded); err != nil {
		t.Errorf("second run: %v", err)
	}
	pod.listen(15001, 15006)
	if err := pod.intercept(excluded); err != nil {
		t.Errorf("run beside the proxy: %v", err)
	}
	if diff := cmp.Diff(got, pod.run("nft list ruleset")); diff != "" {
		t.Errorf("rules after further runs (-first +last):\n%s", diff)
	}
	if err := pod.intercept(intercept.Exclusions{}); err != nil {
		t.Fatal(err)
	}
	if got := pod.run("nft list ruleset"); strings.Contains(got, "5432") {
		t.Errorf("rules of an earlier run are left:\n%s", got)
	}
}

// TestOthersTables stay as they are.
func TestOthersTables(t *testing.T) {
	pod, _ := pair(t)
	pod.run("nft add table ip others")
	if err := pod.intercept(intercept.Exclusions{}); err != nil {
		t.Fatal(err)
	}
	if got := pod.run("nft list tables"); !strings.Contains(got, "table ip others") {
		t.Errorf("tables: %s", got)
	}
}

func TestRunFails(t *testing.T) {
	t.Run("nothing but loopback", func(t *testing.T) {
		err := newNamespace(t, "pod").intercept(intercept.Exclusions{})
		if err == nil || !strings.Contains(err.Error(), "no address but loopback's") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no right", func(t *testing.T) {
		pod, _ := pair(t)
		var err error
		pod.as(1000, 1000, func() { err = run(t.Context(), intercept.Exclusions{}, slog.New(slog.DiscardHandler)) })
		if err == nil || !strings.Contains(err.Error(), "NET_ADMIN") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no redirect happens", func(t *testing.T) {
		pod, outside := pair(t)
		outside.listen(9) // Somebody answers, but it is not the proxy.
		// Another's rules come first, and theirs is the address translation that counts.
		pod.run("nft add table ip others")
		pod.run("nft add chain ip others first { type nat hook output priority -150 ; }")
		pod.run("nft add rule ip others first meta l4proto tcp dnat to 10.77.0.1")
		err := pod.intercept(intercept.Exclusions{})
		if err == nil || !strings.Contains(err.Error(), "did not arrive at the proxy's port 15001") {
			t.Errorf("got %v", err)
		}
	})
}

func TestExplain(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"no right":    {unix.EPERM, "NET_ADMIN"},
		"no module":   {unix.EAFNOSUPPORT, "no nf_tables for family ip6"},
		"no redirect": {unix.ENOENT, "nft_redir"},
		"unknown":     {errors.New("boom"), "boom"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := explain(intercept.IPv6, tc.err); !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want something with %q", got, tc.want)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	for name, tc := range map[string]struct {
		family intercept.Family
		e      intercept.Exclusions
		own    string
		want   string
	}{
		"plain":          {intercept.IPv4, intercept.Exclusions{}, "10.77.0.2/24", "192.0.2.1:9 198.51.100.1:9 10.77.0.3:9 10.77.0.1:9"},
		"alone":          {intercept.IPv4, intercept.Exclusions{}, "10.77.0.2/32", "192.0.2.1:9 198.51.100.1:9"},
		"IPv6":           {intercept.IPv6, intercept.Exclusions{}, "fd77::2/128", "[2001:db8::1]:9 [2001:db8:ffff::1]:9"},
		"port excluded":  {intercept.IPv4, intercept.Exclusions{OutboundPorts: []uint16{9, 10}}, "10.77.0.2/32", "192.0.2.1:11 198.51.100.1:11"},
		"CIDR excluded":  {intercept.IPv4, intercept.Exclusions{OutboundCIDRs: []netip.Prefix{netip.MustParsePrefix("192.0.0.0/8")}}, "10.77.0.2/32", "198.51.100.1:9"},
		"all are":        {intercept.IPv4, intercept.Exclusions{OutboundCIDRs: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, "10.77.0.2/24", ""},
		"edge of a net":  {intercept.IPv4, intercept.Exclusions{}, "10.77.0.0/31", "192.0.2.1:9 198.51.100.1:9 10.77.0.1:9"},
		"end of it all":  {intercept.IPv4, intercept.Exclusions{}, "255.255.255.255/32", "192.0.2.1:9 198.51.100.1:9"},
		"other families": {intercept.IPv4, intercept.Exclusions{OutboundCIDRs: []netip.Prefix{netip.MustParsePrefix("::/0")}}, "10.77.0.2/32", "192.0.2.1:9 198.51.100.1:9"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, a := range targets(tc.family, tc.e, []netip.Prefix{netip.MustParsePrefix(tc.own)}) {
				got = append(got, a.String())
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParse(t *testing.T) {
	got, err := parse([]string{"--exclude-inbound-ports=22", "--exclude-outbound-ports=5432", "--exclude-inbound-cidrs=10.77.0.9/32,fd77::9/128", "--exclude-outbound-cidrs=10.77.0.8/29,fd77::8/125"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(excluded, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, args := range [][]string{{"--exclude-inbound-ports=x"}, {"extra"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}
