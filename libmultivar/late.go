package libmultivar

import (
	"encoding/binary"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// A call that sleeps in one thread ends while another one has its turn, and one that waits
// for all variants begins in one. Were its output there at once, the other would see that at
// one instruction in the leader and at another one, or never, in a follower. So where threads
// take turns the leader's kernel writes the output of such calls to memory that the program
// does not know (area), and each variant has it where the program wants it when the thread has
// its next turn.
//
// The leader's other threads can reach that memory, and change or unmap it. What they
// write there counts as what the kernel has given, for all variants, as if they had
// written it to the program's own buffer. Where it lies the engine knows by itself, so
// nothing there leads it elsewhere; where it is gone the call fails or gives less.

// maxLate is how many bytes of output a call may have to come late. Of calls that ask for
// more, which are those that read files, it comes as the kernel writes it.
const maxLate = 1 << 20

// target is where a task wants output that its arguments do not say: the header of a
// message, and vectors, as they were when it came to the call.
type target struct {
	header  header
	vectors []vec
}

// diversion is how the output of a leader's call comes late.
type diversion struct {
	// points are the parts that arguments point to.
	points [6]*part
	// filled are the parts of the area that hold something before the call, blank those
	// behind them.
	filled, blank []*part
	// head is the header of a message, table the vectors; data, name and control are to be
	// filled by these.
	head, table, data, name, control *part
	target                           target
	// fresh: the area was to be made with the call.
	fresh bool
	// fault: the leader's memory did not take the output in the end.
	fault bool
}

// part is a piece of an area.
type part struct {
	at, size uint64
	content  []byte
}

// late is output that a task gets when it has its next turn.
type late struct {
	ev     *record
	outs   []event.Field
	target *target
}

// divert has the output of the leader's call ev come late, which action a is about to let
// the kernel make, if it may come at a time when others have their turn.
func (e *Engine) divert(th *thread, ev *record, a *frontend.Action) {
	s := &th.sides[frontend.Leader]
	if !e.caps.Areas || e.followers == 0 || e.parallel() || !ev.mayBeLate() || ev.follow != followAnswer ||
		th.proc.space == nil || s.call.Nr != ev.raw.Nr {
		return
	}
	ev.diverted = nil
	if s.domain.sides[frontend.Leader].live < 2 || s.ended {
		return
	}
	d := &diversion{}
	if !d.plan(e, th, ev) || len(d.filled)+len(d.blank) == 0 {
		return
	}
	fresh, ok := th.takeArea(d.place(0))
	if !ok {
		return
	}
	start := e.layout.Real(frontend.Leader, th.area.at)
	d.fresh = fresh
	d.place(start)
	content := d.content(start)
	if fresh {
		a.Area = &frontend.Area{Addr: start, Size: th.area.size, Content: content}
	} else if _, err := e.host.WriteVariantMem(s.task, start, content); err != nil {
		// Somebody has changed it.
		th.dropArea()
		return
	}
	for i, p := range d.points {
		if p != nil {
			a.Args[i] = p.at
		}
	}
	ev.diverted = d
}

// mayBeLate reports whether others may have turns between the leader's coming to the call
// and its end: in a follower they may have them behind it.
func (ev *record) mayBeLate() bool {
	return ev.kind == event.Call && (ev.call.Blocks || ev.wait && ev.after == nil)
}

// plan finds the output of ev. It is false when that cannot come late.
func (d *diversion) plan(e *Engine, th *thread, ev *record) bool {
	task := th.sides[frontend.Leader].task
	x := encoder{e: e, task: task, call: &ev.call, args: ev.raw.Args}
	for i := range ev.call.Args {
		arg, addr := &ev.call.Args[i], ev.raw.Args[i]
		if arg.Kind == sysabi.Mmsghdr {
			return false
		}
		if arg.Dir&sysabi.Out == 0 || addr == 0 || arg.If.Mask != 0 && ev.raw.Args[arg.If.Arg]&arg.If.Mask == 0 {
			continue
		}
		var ok bool
		switch arg.Kind {
		case sysabi.Buf, sysabi.Struct, sysabi.SockLen, sysabi.Sockaddr:
			ok = d.block(&x, th, ev, i)
		case sysabi.Iovec:
			d.target.vectors, ok = x.vectors(addr, vectorCount(arg, &x.args))
			ok = ok && d.scatter(e, th)
			d.points[i] = d.table
		case sysabi.Msghdr:
			ok = d.message(&x, th, i)
		}
		if !ok {
			return false
		}
	}
	return true
}

// fill and leave add a part with a content and one without.
func (d *diversion) fill(content []byte) *part {
	p := &part{size: uint64(len(content)), content: content}
	d.filled = append(d.filled, p)
	return p
}

func (d *diversion) leave(size uint64) *part {
	p := &part{size: size}
	d.blank = append(d.blank, p)
	return p
}

// block plans for a plain argument.
func (d *diversion) block(x *encoder, th *thread, ev *record, i int) bool {
	arg, addr := &ev.call.Args[i], ev.raw.Args[i]
	var n uint64
	switch {
	case arg.Kind == sysabi.SockLen:
		n = 4
	case arg.Len.Kind == sysabi.LenPtr:
		if int32(ev.lens[i]) > 0 {
			n = min(ev.lens[i], maxSockaddr)
		}
	case arg.Len.Kind != sysabi.LenNone:
		n = plainLength(ev.call.Args, arg, &x.args)
	case arg.Kind == sysabi.Struct:
		n = arg.Struct.Size
	}
	switch {
	case n == 0:
		return true
	case n > maxLate || !x.e.writable(th, addr, n):
		return false
	}
	if arg.Dir&sysabi.In == 0 {
		d.points[i] = d.leave(n)
		return true
	}
	content := make([]byte, n)
	if _, ok := x.read(addr, content); !ok {
		return false
	}
	d.points[i] = d.fill(content)
	return true
}

// scatter plans for vectors. In the area there are as many, and what they point to is in
// one piece.
func (d *diversion) scatter(e *Engine, th *thread) bool {
	total := uint64(0)
	for _, v := range d.target.vectors {
		if v.len > maxLate || v.len > 0 && !e.writable(th, v.base, v.len) {
			return false
		}
		total += v.len
	}
	if total == 0 || total > maxLate {
		return false
	}
	d.table = d.fill(make([]byte, iovecSize*len(d.target.vectors)))
	d.data = d.leave(total)
	return true
}

// message plans for the header of a message.
func (d *diversion) message(x *encoder, th *thread, i int) bool {
	raw := make([]byte, msghdrSize)
	if _, ok := x.read(x.args[i], raw); !ok || !x.e.writable(th, x.args[i], msghdrSize) {
		return false
	}
	h := parseHeader(raw)
	d.head, d.target.header = d.fill(raw), h
	d.points[i] = d.head
	room := func(addr, size, most uint64) (*part, bool) {
		if addr == 0 {
			return nil, true
		}
		if size > most || size > 0 && !x.e.writable(th, addr, size) {
			return nil, false
		}
		return d.leave(size), true
	}
	var ok bool
	if int32(h.nameLen) < 0 {
		return false
	}
	if d.name, ok = room(h.name, min(uint64(h.nameLen), maxSockaddr), maxSockaddr); !ok {
		return false
	}
	if d.control, ok = room(h.control, h.controlLen, maxControl); !ok {
		return false
	}
	d.target.vectors, ok = x.vectors(h.iov, h.iovLen)
	return ok && d.scatter(x.e, th)
}

// place gives the parts their places in an area at start and returns the size of all.
func (d *diversion) place(start uint64) (size uint64) {
	const align = 16
	for _, list := range [][]*part{d.filled, d.blank} {
		for _, p := range list {
			p.at = start + size
			size += (p.size + align - 1) &^ (align - 1)
		}
	}
	return size
}

// content is what the beginning of the area at start has to hold.
func (d *diversion) content(start uint64) []byte {
	le := binary.LittleEndian
	if d.table != nil {
		at := d.data.at
		for k, v := range d.target.vectors {
			le.PutUint64(d.table.content[k*iovecSize:], at)
			le.PutUint64(d.table.content[k*iovecSize+8:], v.len)
			at += v.len
		}
	}
	if d.head != nil {
		for off, p := range map[int]*part{msghdrName: d.name, msghdrVectors: d.table, msghdrControl: d.control} {
			if p != nil {
				le.PutUint64(d.head.content[off:], p.at)
			}
		}
	}
	var out []byte
	for _, p := range d.filled {
		out = append(out, make([]byte, p.at-start-uint64(len(out)))...)
		out = append(out, p.content...)
	}
	return out
}

// writable reports whether, as far as the engine's map tells, th can write n bytes at addr
// in the leader.
func (e *Engine) writable(th *thread, addr, n uint64) bool {
	if n == 0 || addr > addrspace.TaskSize || n > addrspace.TaskSize-addr {
		return false
	}
	from, space := e.layout.Canonical(frontend.Leader, addr), th.proc.space
	if _, ok := space.At(from); !ok {
		// A stack may have grown without the engine's knowledge.
		if _, err := e.host.ReadVariantMem(th.sides[frontend.Leader].task, addr, make([]byte, 1)); err != nil || !space.Grow(from) {
			return false
		}
	}
	at, end := from.PageDown(), from.Add(n)
	size, ok := addrspace.PageUp(from.Offset() - at.Offset() + n)
	if !ok {
		return false
	}
	for r := range space.Regions(at, size) {
		if at.Less(r.Start) || r.Prot&protWrite == 0 || r.Kind == addrspace.Reserved {
			return false
		}
		at = r.End
	}
	return !at.Less(end)
}

// where returns the address of the output that argument i points to in the leader while
// its call is under way: own, unless it comes late.
func (d *diversion) where(i int, own uint64) uint64 {
	if d == nil || d.points[i] == nil {
		return own
	}
	return d.points[i].at
}

// bound has the header of a message, as the kernel has left it in the area, point to what
// the engine knows of the area.
func (d *diversion) bound(h *header) {
	if d == nil || d.head == nil {
		return
	}
	h.name, h.control = 0, 0
	if d.name != nil {
		h.name, h.nameLen = d.name.at, uint32(min(uint64(h.nameLen), d.name.size))
	}
	if d.control != nil {
		h.control, h.controlLen = d.control.at, min(h.controlLen, d.control.size)
	}
}

// targetOf notes where v's task of th, which has come to ev, wants output.
func (e *Engine) targetOf(th *thread, v int, ev *record) *target {
	if !ev.mayBeLate() {
		return nil
	}
	s := &th.sides[v]
	x := encoder{e: e, task: s.task, call: &ev.call, args: s.call.Args}
	for i := range ev.call.Args {
		arg := &ev.call.Args[i]
		if arg.Dir&sysabi.Out == 0 {
			continue
		}
		switch arg.Kind {
		case sysabi.Iovec:
			t := &target{}
			t.vectors, _ = x.vectors(s.call.Args[i], vectorCount(arg, &s.call.Args))
			return t
		case sysabi.Msghdr:
			h, err := e.header(s.task, s.call.Args[i])
			if err != nil {
				return nil
			}
			t := &target{header: h}
			t.vectors, _ = x.vectors(h.iov, h.iovLen)
			return t
		}
	}
	return nil
}

// landLater has the output of the leader's call ev, which has ended with ret, come with its
// next turn.
func (e *Engine) landLater(th *thread, ev *record, ret int64) {
	d := ev.diverted
	if d == nil {
		return
	}
	if ret == -eNOMEM && d.fresh {
		// Perhaps for the area.
		th.dropArea()
	}
	if len(ev.outs) > 0 {
		th.sides[frontend.Leader].late = &late{ev, ev.outs, &d.target}
	}
}

// landNow gives the leader what its call ev has given out although a signal has
// interrupted it: the kernel may go on with it from there.
func (e *Engine) landNow(th *thread, ev *record) {
	if d := ev.diverted; d != nil {
		if err := e.deliverAll(ev, ev.outs, frontend.Leader, &th.sides[frontend.Leader], &d.target); err != nil {
			e.log.Debug("output of an interrupted call", "err", err)
		}
	}
}

// bring gives follower v the output of ev, or has it come with its next turn.
func (e *Engine) bring(ev *record, v int, s *side) error {
	if ev.diverted == nil {
		return e.deliver(ev, v, s)
	}
	if len(ev.outs) > 0 {
		s.late = &late{ev, ev.outs, s.target}
	}
	return nil
}

// land gives v's task of th the output that comes late, with which action a lets it go on.
func (e *Engine) land(th *thread, v int, a *frontend.Action) {
	s := &th.sides[v]
	l := s.late
	s.late = nil
	if a.Op == frontend.OpKill {
		return
	}
	d := l.ev.diverted
	err := e.deliverAll(l.ev, l.outs, v, s, l.target)
	switch {
	case v == frontend.Leader:
		d.fault = err != nil
	case err != nil && !d.fault:
		e.divergeOutput(th, v, l.ev, err)
		return
	}
	if !d.fault {
		return
	}
	// Another thread has taken the memory away meanwhile.
	if a.Op == frontend.OpResume {
		a.Op = frontend.OpAnswer
	}
	a.Ret = -eFAULT
}
