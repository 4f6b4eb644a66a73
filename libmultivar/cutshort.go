package libmultivar

import (
	"encoding/binary"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// cutShort reports whether the leader's call, which hands out data, may have handed out
// less than it was asked for: so it ends when a signal finds it asleep in the middle. Its
// handler has to run before the call returns, or the program would go on with the rest
// without having noticed.
func (e *Engine) cutShort(ev *record, ret int64) bool {
	if ret <= 0 {
		return false
	}
	if count := ev.call.Moves; count != 0 {
		return uint64(ret) < ev.raw.Args[count]
	}
	x := encoder{e: e, task: ev.thread.sides[frontend.Leader].task, call: &ev.call, args: ev.raw.Args}
	for i := range ev.call.Args {
		a, addr := &ev.call.Args[i], ev.raw.Args[i]
		if a.Dir&sysabi.In == 0 {
			continue
		}
		switch a.Kind {
		case sysabi.Buf:
			return uint64(ret) < x.length(a)
		case sysabi.Iovec:
			vs, _ := x.vectors(addr, vectorCount(a, &x.args))
			return exceeds(vs, uint64(ret))
		case sysabi.Msghdr:
			return x.messageExceeds(addr, uint64(ret))
		case sysabi.Mmsghdr:
			return uint64(ret) < x.length(a) || x.lastExceeds(addr, uint64(ret))
		}
	}
	return true
}

// exceeds reports whether vectors hold more than n bytes.
func exceeds(vs []vec, n uint64) bool {
	for _, v := range vs {
		if v.len > n {
			return true
		}
		n -= v.len
	}
	return false
}

// messageExceeds reports whether the message whose header is at addr has more than n bytes,
// or cannot be read any more.
func (x *encoder) messageExceeds(addr, n uint64) bool {
	h, err := x.e.header(x.task, addr)
	if err != nil {
		return true
	}
	vs, ok := x.vectors(h.iov, h.iovLen)
	return !ok || exceeds(vs, n)
}

// lastExceeds reports whether of the last of n messages, whose headers are at addr, less was
// sent than it has. The kernel has noted how much that was.
func (x *encoder) lastExceeds(addr, n uint64) bool {
	last := addr + (n-1)*mmsghdrSize
	var sent [4]byte
	if _, ok := x.read(last+msghdrSize, sent[:]); !ok {
		return true
	}
	return x.messageExceeds(last, uint64(binary.LittleEndian.Uint32(sent[:])))
}
