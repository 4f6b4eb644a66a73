package libmultivar

import (
	"bytes"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// maxReceived is up to how many bytes the host receives in the leader's place: it looks for
// them before it is known how many there are.
const maxReceived = 64 << 10

// transferred has the host move the data of the leader's call ev in its place, and is true
// when it has. So the leader has no stop behind the call, and what followers are given need
// not be read from its memory.
//
// What is sent is what was compared, and not what is in memory when the kernel looks.
func (e *Engine) transferred(th *thread, ev *record) bool {
	if !e.caps.Transfers || !e.isTransfer(th, ev) {
		return false
	}
	host, ok := e.host.(frontend.Transfers)
	if !ok {
		return false
	}
	s := &th.sides[frontend.Leader]
	args, fd := &ev.raw.Args, int(int32(ev.raw.Args[0]))
	if ev.call.Transfer.Kind == sysabi.Sends {
		data, ok := sentData(ev.request)
		if !ok {
			return false
		}
		ret, done := host.Send(s.task, fd, data)
		ev.ret = ret
		return done
	}
	const buffer, count, place = 1, 2, 3
	n := args[count]
	if n == 0 || n > maxReceived || !th.proc.takes(e.layout.Canonical(frontend.Leader, args[buffer]), n) {
		return false
	}
	p := e.buffer(int(n))
	ret, done := int64(0), false
	if ev.call.Transfer.Kind == sysabi.ReceivesAt {
		ret, done = host.ReceiveAt(s.task, fd, p, int64(args[place]))
	} else {
		ret, done = host.Receive(s.task, fd, p)
	}
	if !done {
		return false
	}
	if ev.ret = ret; ret > 0 {
		ev.outs = []event.Field{{Arg: buffer, Part: event.PartValue, Kind: sysabi.Buf, Data: bytes.Clone(p[:ret])}}
		ev.toLeader = true
		th.charge(ev)
	}
	return true
}

// isTransfer reports whether the leader's call ev does nothing but to move data through a
// descriptor, as far as anybody wants to know, and nobody else has a turn meanwhile.
func (e *Engine) isTransfer(th *thread, ev *record) bool {
	t := &ev.call.Row.Transfer
	if t.Kind == sysabi.NoTransfer || e.followers == 0 || e.parallel() || len(th.sides[frontend.Leader].domain.sides[frontend.Leader].runners) > 0 {
		return false
	}
	if ev.follow != followAnswer || ev.run != nil || ev.begin != nil || ev.after != nil || ev.signal != nil || ev.changes || len(e.twins) > 0 {
		return false
	}
	args := &ev.raw.Args
	if t.Flags != 0 && uint32(args[t.Flags])&^t.Only != 0 || t.Null != 0 && args[t.Null] != 0 {
		return false
	}
	_, made := th.proc.fds.addresses[int(int32(args[0]))]
	return !made
}

// takes reports whether the process can write the n bytes at a.
func (p *process) takes(a addrspace.Address, n uint64) bool {
	start := a.PageDown()
	n += a.Offset() - start.Offset()
	if p.space == nil || !p.space.Mapped(start, n) {
		return false
	}
	for r := range p.space.Regions(start, n) {
		if r.Prot&protWrite == 0 {
			return false
		}
	}
	return true
}

// sentData returns the bytes that the program hands to the kernel by the call that a request
// is of. It is false when it has not all of them.
func sentData(request []byte) ([]byte, bool) {
	r, err := event.Decode(request)
	if err != nil {
		return nil, false
	}
	data, ok := dataOf(r.Fields)
	return data, ok && len(data) > 0
}
