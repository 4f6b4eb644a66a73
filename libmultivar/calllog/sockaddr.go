package calllog

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/multivar/multivar/libmultivar/event"
)

// Address families (include/linux/socket.h).
const (
	afUnix    = 1
	afInet    = 2
	afInet6   = 10
	afNetlink = 16
)

// appendSockaddr appends a socket address.
func appendSockaddr(dst []byte, f *event.Field) []byte {
	p := f.Data
	if f.Flags&event.Number != 0 {
		// Longer than any address: only the length is recorded.
		dst = append(dst, "{length "...)
		dst = strconv.AppendUint(dst, f.Value(), 10)
		return append(dst, '}')
	}
	if len(p) < 2 {
		return AppendQuoted(dst, p, f.Flags&event.Fault != 0)
	}
	family := binary.LittleEndian.Uint16(p)
	switch {
	case family == afUnix:
		dst = append(dst, "{AF_UNIX, "...)
		path := p[2:]
		if len(path) > 0 && path[0] == 0 {
			dst = append(dst, '@')
			path = path[1:]
		} else {
			path = untilNul(path)
		}
		return append(AppendQuoted(dst, path, false), '}')
	case family == afInet && len(p) >= 8:
		dst = append(dst, "{AF_INET, "...)
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte(p[4:8])), binary.BigEndian.Uint16(p[2:]))
		return append(addr.AppendTo(dst), '}')
	case family == afInet6 && len(p) >= 24:
		dst = append(dst, "{AF_INET6, "...)
		addr := netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[8:24])), binary.BigEndian.Uint16(p[2:]))
		return append(addr.AppendTo(dst), '}')
	case family == afNetlink && len(p) >= 12:
		dst = append(dst, "{AF_NETLINK, pid="...)
		dst = strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint32(p[4:])), 10)
		dst = append(dst, ", groups="...)
		return append(appendHex(dst, uint64(binary.LittleEndian.Uint32(p[8:]))), '}')
	}
	dst = append(dst, "{family "...)
	dst = strconv.AppendUint(dst, uint64(family), 10)
	dst = append(dst, ", "...)
	return append(AppendQuoted(dst, p[2:], f.Flags&event.Fault != 0), '}')
}
