package libmultivar

import (
	"encoding/binary"
	"errors"

	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Sizes of struct msghdr and struct mmsghdr.
const (
	msghdrSize  = 56
	mmsghdrSize = 64
)

// Members of struct msghdr that are pointers.
const (
	msghdrName    = 0
	msghdrVectors = 16
	msghdrControl = 32
)

// header is a struct msghdr.
type header struct {
	name, iov, iovLen, control, controlLen uint64
	nameLen, flags                         uint32
}

func parseHeader(p []byte) header {
	le := binary.LittleEndian
	return header{
		name: le.Uint64(p), nameLen: le.Uint32(p[8:]), iov: le.Uint64(p[16:]), iovLen: le.Uint64(p[24:]),
		control: le.Uint64(p[32:]), controlLen: le.Uint64(p[40:]), flags: le.Uint32(p[48:]),
	}
}

func (x *encoder) msghdr(arg uint8, index uint32, addr uint64, dir sysabi.Dir) {
	var raw [msghdrSize]byte
	if _, ok := x.read(addr, raw[:]); !ok {
		x.b.Bytes(arg, event.PartIov, index, sysabi.Msghdr, event.Fault, nil)
		return
	}
	h := parseHeader(raw[:])
	x.b.Number(arg, event.PartNameLen, index, sysabi.Msghdr, 0, uint64(h.nameLen))
	x.b.Number(arg, event.PartControlLen, index, sysabi.Msghdr, 0, h.controlLen)
	x.pointer(arg, event.PartName, index, sysabi.Msghdr, h.name)
	if dir&sysabi.In != 0 {
		if h.name != 0 {
			n := uint64(h.nameLen)
			if int32(h.nameLen) >= 0 {
				// The kernel cuts longer names (copy_msghdr_from_user in net/socket.c).
				n = min(n, maxSockaddr)
			}
			x.sockaddr(arg, event.PartName, index, h.name, n)
		}
		if h.control != 0 && h.controlLen > 0 {
			x.control(arg, index, h.control, h.controlLen)
		}
	}
	x.iovec(arg, index, h.iov, h.iovLen, dir)
}

// control encodes ancillary data message by message, without the padding between
// them.
func (x *encoder) control(arg uint8, index uint32, addr, n uint64) {
	raw := x.e.buffer(int(min(n, maxControl)))
	got, ok := x.read(addr, raw)
	if !ok || n > maxControl {
		x.b.Bytes(arg, event.PartControl, index, sysabi.Msghdr, event.Fault, nil)
		return
	}
	if x.inline += uint64(got); x.inline > maxVectorSize {
		x.e.fail(errors.New("one call sends more than 64 MiB of ancillary data"))
		return
	}
	raw = raw[:got]
	for len(raw) >= 16 {
		size := binary.LittleEndian.Uint64(raw)
		if size < 16 || size > uint64(len(raw)) {
			break
		}
		x.b.Bytes(arg, event.PartControl, index, sysabi.Msghdr, 0, raw[:size])
		raw = raw[min((size+7)&^7, uint64(len(raw))):]
	}
	if len(raw) != 0 {
		x.b.Number(arg, event.PartControl, index, sysabi.Msghdr, 0, uint64(len(raw)))
	}
}
