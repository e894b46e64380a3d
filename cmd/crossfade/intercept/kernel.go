package intercept

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/crossfade-dev/crossfade/proxy/intercept"
)

// tableName is that of our tables, one for each family.
const tableName = "crossfade"

// write replaces our table of one family, in one transaction: at no moment are
// there half of the rules, or none.
func write(r intercept.Rules) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	table := &nftables.Table{Name: tableName, Family: nftables.TableFamilyIPv4}
	if r.Family == intercept.IPv6 {
		table.Family = nftables.TableFamilyIPv6
	}
	// To delete a table that is not there is an error, to add one that is is none.
	c.AddTable(table)
	c.DelTable(table)
	c.AddTable(table)
	for _, chain := range []struct {
		nftables.Chain
		rules []intercept.Rule
	}{
		{nftables.Chain{Name: "guard", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw}, r.Guard},
		{nftables.Chain{Name: "inbound", Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest}, r.Inbound},
		{nftables.Chain{Name: "outbound", Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest}, r.Outbound},
	} {
		made := chain.Chain
		made.Table = table
		c.AddChain(&made)
		for _, rule := range chain.rules {
			c.AddRule(&nftables.Rule{Table: table, Chain: &made, Exprs: expressions(r.Family, rule)})
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	return nil
}

// expressions is a rule in the kernel's words: each condition loads a value into
// a register and compares it.
func expressions(f intercept.Family, r intercept.Rule) []expr.Any {
	var out []expr.Any
	load := func(when bool, what expr.Any, op expr.CmpOp, want []byte) {
		if when {
			out = append(out, what, &expr.Cmp{Op: op, Register: 1, Data: want})
		}
	}
	meta := func(key expr.MetaKey) expr.Any { return &expr.Meta{Key: key, Register: 1} }
	load(r.NotTCP, meta(expr.MetaKeyL4PROTO), expr.CmpOpNeq, []byte{unix.IPPROTO_TCP})
	load(r.In != "", meta(expr.MetaKeyIIFNAME), expr.CmpOpEq, interfaceName(r.In))
	load(r.NotIn != "", meta(expr.MetaKeyIIFNAME), expr.CmpOpNeq, interfaceName(r.NotIn))
	load(r.Out != "", meta(expr.MetaKeyOIFNAME), expr.CmpOpEq, interfaceName(r.Out))
	out = append(out, address(f, sourceAddress, r.Source, expr.CmpOpEq)...)
	out = append(out, address(f, destinationAddress, r.Destination, expr.CmpOpEq)...)
	out = append(out, address(f, destinationAddress, r.NotDestination, expr.CmpOpNeq)...)
	load(r.DestinationPort != 0, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, expr.CmpOpEq, port(r.DestinationPort))
	load(r.UID != 0, meta(expr.MetaKeySKUID), expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(r.UID))
	load(r.GID != 0, meta(expr.MetaKeySKGID), expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(r.GID))
	switch r.Action {
	case intercept.Return:
		return append(out, &expr.Verdict{Kind: expr.VerdictReturn})
	case intercept.Drop:
		return append(out, &expr.Verdict{Kind: expr.VerdictDrop})
	case intercept.Redirect:
		return append(out, &expr.Immediate{Register: 1, Data: port(r.To)}, &expr.Redir{RegisterProtoMin: 1})
	}
	return out
}

func port(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }

// interfaceName fills a name with zeros: so that it is compared whole.
func interfaceName(name string) []byte {
	out := make([]byte, unix.IFNAMSIZ)
	copy(out, name)
	return out
}

// Where the headers of IPv4 and IPv6 have their addresses.
type end struct{ v4, v6 uint32 }

var (
	sourceAddress      = end{v4: 12, v6: 8}
	destinationAddress = end{v4: 16, v6: 24}
)

func address(f intercept.Family, at end, p netip.Prefix, op expr.CmpOp) []expr.Any {
	if !p.IsValid() {
		return nil
	}
	offset := at.v4
	if f == intercept.IPv6 {
		offset = at.v6
	}
	value := p.Masked().Addr().AsSlice()
	length := uint32(len(value))
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: length, Mask: mask(p.Bits(), len(value)), Xor: make([]byte, length)},
		&expr.Cmp{Op: op, Register: 1, Data: value},
	}
}

func mask(bits, length int) []byte {
	out := make([]byte, length)
	for i := range bits {
		out[i/8] |= 0x80 >> (i % 8)
	}
	return out
}

// addInboundSource gives loopback the address that the proxy binds its IPv6
// connections to the application to, and returns when it can be used, which is a
// moment later. For IPv4 all of 127.0.0.0/8 is there.
func addInboundSource(ctx context.Context, f intercept.Family) error {
	if f != intercept.IPv6 {
		return nil
	}
	if err := addToLoopback(f.InboundSource()); err != nil {
		return fmt.Errorf("add %s to loopback, for the proxy's connections to the application: %w", f.InboundSource(), err)
	}
	err := whileUnavailable(ctx, func() error {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", netip.AddrPortFrom(f.InboundSource(), 0).String())
		if err == nil {
			_ = l.Close()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("use %s of loopback: %w", f.InboundSource(), err)
	}
	return nil
}

func addToLoopback(a netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	const indexOfLoopback = 1 // In every network namespace.
	request := struct {       // struct in6_ifreq
		address [16]byte
		bits    uint32
		index   int32
	}{a.As16(), 128, indexOfLoopback}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&request)))
	if errno != 0 && errno != unix.EEXIST {
		return errno
	}
	return nil
}

// explain says in a sentence for the pod's owner why rules could not be written.
func explain(f intercept.Family, err error) string {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Sprintf("%v: the container may not change the pod's network. It must run as root with the capability NET_ADMIN; "+
			"something, such as an admission policy, has taken that away", err)
	case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EINVAL):
		return fmt.Sprintf("%v: the node's kernel has no nf_tables for family %s. Load the module nf_tables on the node "+
			"(Linux 5.2 or newer), or keep meshed pods off it", err, f)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOTSUP):
		return fmt.Sprintf("%v: the node's kernel has nf_tables but cannot redirect with it. Load the modules nft_chain_nat and nft_redir "+
			"on the node, or keep meshed pods off it", err)
	}
	return err.Error()
}
