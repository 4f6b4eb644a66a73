package libmultivar

import (
	"bytes"
	"encoding/binary"

	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Address families and the bytes of their addresses that the kernel looks at.
const (
	afUnix  = 1
	afInet  = 2
	afInet6 = 10
)

// sockaddr encodes a socket address of n bytes without the padding of the
// families that have some.
func (x *encoder) sockaddr(arg, part uint8, index uint32, addr, n uint64) {
	if n > maxSockaddr {
		x.b.Number(arg, part, index, sysabi.Sockaddr, 0, n)
		return
	}
	var p [maxSockaddr]byte
	got, ok := x.read(addr, p[:n])
	var f event.Flag
	if !ok {
		f = event.Fault
	}
	if got >= 2 {
		switch binary.LittleEndian.Uint16(p[:]) {
		case afInet:
			got = min(got, 8)
		case afInet6:
			got = min(got, 28)
		case afUnix:
			// A path ends at its NUL; a name that starts with one is abstract and
			// counts in full.
			if i := bytes.IndexByte(p[2:got], 0); i > 0 {
				got = 2 + i
			}
		}
	}
	x.b.Bytes(arg, part, index, sysabi.Sockaddr, f, p[:got])
}
