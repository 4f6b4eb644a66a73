package libmultivar

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// errno values that the engine itself gives or looks at.
const (
	ePERM   = 1
	eINTR   = 4
	eTOOBIG = 7
	eAGAIN  = 11
	eNOMEM  = 12
	eACCES  = 13
	eEXIST  = 17
	eNODEV  = 19
	eFAULT  = 14
	eINVAL  = 22
	ePIPE   = 32
	eDEADLK = 35
	eNOSYS  = 38
	eSearch = 3
)

// The kernel's internal results for interrupted calls (include/linux/errno.h).
const (
	restartSys      = -512
	restartNoIntr   = -513
	restartNoHand   = -514
	restartBlock    = -516
	restartMostLeft = -516
)

func isRestart(ret int64) bool { return ret <= restartSys && ret >= restartMostLeft }

// reader reads the leader's output after its call.
type reader struct {
	e    *Engine
	task frontend.Task
	args [6]uint64
	ret  int64
	ev   *record
	gone bool
}

// capture records what the kernel wrote for the leader's call, to be copied to
// the followers.
func (e *Engine) capture(ev *record, s *side, ret int64) {
	if e.followers == 0 && e.cfg.OnCall == nil && ev.view == nil {
		return
	}
	if isRestart(ret) {
		ret = -eINTR
	}
	r := reader{e: e, task: s.task, args: ev.raw.Args, ret: ret, ev: ev}
	for i := range r.args {
		r.args[i] = ev.diverted.where(i, r.args[i])
	}
	if ret == 0 && ev.call.Handler == sysabi.HandlerWait4 {
		// WNOHANG found nobody: nothing was written.
		return
	}
	for i := range ev.call.Args {
		a := &ev.call.Args[i]
		if a.Kind == sysabi.Struct && ret > 0 && ev.raw.Args[i] != 0 {
			r.blocks(uint8(i), a)
		}
		if a.Dir&sysabi.Out == 0 && a.Kind != sysabi.Mmsghdr || ev.raw.Args[i] == 0 {
			continue
		}
		if a.If.Mask != 0 && ev.raw.Args[a.If.Arg]&a.If.Mask == 0 {
			continue
		}
		if ret < 0 && ret > -4096 && (a.OnErr == 0 || int64(a.OnErr) != -ret) {
			continue
		}
		r.arg(uint8(i), a)
	}
}

// add records n bytes at addr as output.
func (r *reader) add(arg, part uint8, index uint32, kind sysabi.Kind, addr, n uint64) {
	if n == 0 {
		return
	}
	p := make([]byte, min(n, maxTransfer))
	got, err := r.e.host.ReadVariantMem(r.task, addr, p)
	if err != nil && !errors.Is(err, frontend.ErrFault) {
		r.e.hostFailed(err)
		r.gone = true
	}
	r.ev.outs = append(r.ev.outs, event.Field{Arg: arg, Part: part, Index: index, Kind: kind, Data: p[:got]})
}

func (r *reader) arg(i uint8, a *sysabi.Arg) {
	addr := r.args[i]
	switch a.Kind {
	case sysabi.Buf, sysabi.Struct, sysabi.SockLen, sysabi.Sockaddr:
		r.add(i, event.PartValue, 0, a.Kind, addr, r.length(i, a))
	case sysabi.Addr:
		r.add(i, event.PartValue, 0, sysabi.Buf, addr, r.length(i, a))
	case sysabi.Iovec:
		if r.ret > 0 {
			r.gather(i, 0, addr, vectorCount(a, &r.args), uint64(r.ret))
		}
	case sysabi.Msghdr:
		if r.ret >= 0 {
			r.msghdr(i, 0, addr, uint64(r.ret))
		}
	case sysabi.Mmsghdr:
		for k := range min(r.ret, maxIovec) {
			at := addr + uint64(k)*mmsghdrSize
			var n [4]byte
			if !r.read(at+msghdrSize, n[:]) {
				return
			}
			r.ev.outs = append(r.ev.outs, event.Field{Arg: i, Part: event.PartLen, Index: uint32(k), Kind: a.Kind, Data: n[:]})
			if a.Dir&sysabi.Out != 0 {
				r.msghdr(i, uint32(k), at, uint64(binary.LittleEndian.Uint32(n[:])))
			}
		}
	}
}

// blocks records what the kernel has written to blocks of bytes to which the members of a
// record point.
func (r *reader) blocks(i uint8, a *sysabi.Arg) {
	for k := range a.Struct.Fields {
		b := a.Struct.Fields[k].Block
		if b == nil || b.Dir&sysabi.Out == 0 {
			continue
		}
		raw := make([]byte, a.Struct.Size)
		if !r.read(r.args[i], raw) {
			return
		}
		if at := uintOf(raw[a.Struct.Fields[k].Off:][:8]); at != 0 {
			r.add(i, partPointed, uint32(k), sysabi.Ptr, at, min(uint64(r.ret), blockSize(b, raw)))
		}
	}
}

func (r *reader) read(addr uint64, p []byte) bool {
	_, err := r.e.host.ReadVariantMem(r.task, addr, p)
	return err == nil
}

// length returns how many bytes the kernel wrote behind argument i.
func (r *reader) length(i uint8, a *sysabi.Arg) uint64 {
	switch a.Len.Kind {
	case sysabi.LenNone:
	case sysabi.LenRet:
		unit := max(a.Len.N, 1)
		return min(a.Len.Head+uint64(max(r.ret, 0))*unit, plainLength(r.ev.call.Args, a, &r.args))
	case sysabi.LenPtr:
		n := a.Len.N
		var p [4]byte
		if !r.read(r.args[a.Len.Arg], p[:]) {
			return 0
		}
		if after := uint64(binary.LittleEndian.Uint32(p[:])); after != 0 {
			n = after
		}
		return a.Len.Head + min(n, max(r.ev.lens[i], a.Len.N))
	default:
		return plainLength(r.ev.call.Args, a, &r.args)
	}
	switch a.Kind {
	case sysabi.SockLen:
		return 4
	case sysabi.Struct:
		return a.Struct.Size
	}
	return 0
}

// gather records total bytes that were spread over vectors as one block.
func (r *reader) gather(arg uint8, index uint32, addr, n, total uint64) {
	if d := r.ev.diverted; d != nil && d.data != nil {
		r.add(arg, event.PartIov, index, sysabi.Iovec, d.data.at, min(total, d.data.size))
		return
	}
	x := encoder{e: r.e, task: r.task}
	vs, _ := x.vectors(addr, n)
	block := make([]byte, 0, min(total, maxTransfer))
	for _, v := range vs {
		take := min(v.len, total-uint64(len(block)))
		if take == 0 {
			continue
		}
		at := len(block)
		block = append(block, make([]byte, take)...)
		got, err := r.e.host.ReadVariantMem(r.task, v.base, block[at:])
		if err != nil {
			block = block[:at+got]
			break
		}
	}
	r.ev.outs = append(r.ev.outs, event.Field{Arg: arg, Part: event.PartIov, Index: index, Kind: sysabi.Iovec, Data: block})
}

func (r *reader) msghdr(arg uint8, index uint32, addr, total uint64) {
	var raw [msghdrSize]byte
	if !r.read(addr, raw[:]) {
		return
	}
	h := parseHeader(raw[:])
	r.ev.diverted.bound(&h)
	put := func(part uint8, p []byte) {
		r.ev.outs = append(r.ev.outs, event.Field{Arg: arg, Part: part, Index: index, Kind: sysabi.Msghdr, Data: p})
	}
	put(event.PartNameLen, append([]byte(nil), raw[8:12]...))
	put(event.PartControlLen, append([]byte(nil), raw[40:48]...))
	put(event.PartFlags, append([]byte(nil), raw[48:52]...))
	if h.name != 0 {
		r.add(arg, event.PartName, index, sysabi.Msghdr, h.name, min(uint64(h.nameLen), maxSockaddr))
	}
	if h.control != 0 {
		r.add(arg, event.PartControl, index, sysabi.Msghdr, h.control, min(h.controlLen, maxControl))
	}
	if total > 0 {
		r.gather(arg, index, h.iov, h.iovLen, total)
	}
}

// outputError says that a follower's memory does not take the output that the
// leader's took.
type outputError struct {
	arg  uint8
	addr uint64
	err  error
}

func (o *outputError) Error() string {
	return fmt.Sprintf("output of argument %d at %#x: %v", o.arg, o.addr, o.err)
}

func (o *outputError) Unwrap() error { return o.err }

// deliver copies the output of ev into variant v.
func (e *Engine) deliver(ev *record, v int, s *side) error {
	return e.deliverAll(ev, ev.outs, v, s, nil)
}

// deliverAll copies output of ev into variant v. The header of a message and vectors are
// those of to or, when that is nil, what is in memory now.
func (e *Engine) deliverAll(ev *record, outs []event.Field, v int, s *side, to *target) error {
	for i := range outs {
		f := &outs[i]
		if f.Arg >= 6 {
			continue
		}
		if err := e.deliverField(ev, v, s, f, to); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) deliverField(ev *record, v int, s *side, f *event.Field, to *target) error {
	return e.spread(ev, v, s, f, to, func(at uint64, p []byte) error {
		if len(p) == 0 {
			return nil
		}
		if _, err := e.host.WriteVariantMem(s.task, at, p); err != nil {
			return &outputError{f.Arg, at, err}
		}
		return nil
	})
}

// spread gives put what field f of ev's output is in variant v, part by part, and where it belongs.
func (e *Engine) spread(ev *record, v int, s *side, f *event.Field, to *target, put func(at uint64, p []byte) error) error {
	addr := s.call.Args[f.Arg]
	switch f.Kind {
	case sysabi.Iovec:
		vs, err := e.vectorsFor(ev, s, f, to)
		if err != nil {
			return &outputError{f.Arg, addr, err}
		}
		data := f.Data
		for _, w := range vs {
			take := min(w.len, uint64(len(data)))
			if err := put(w.base, data[:take]); err != nil {
				return err
			}
			data = data[take:]
		}
		if len(data) > 0 {
			return &outputError{f.Arg, addr, frontend.ErrFault}
		}
		return nil
	case sysabi.Msghdr:
		at := addr + uint64(f.Index)*mmsghdrSize
		switch f.Part {
		case event.PartNameLen:
			return put(at+8, f.Data)
		case event.PartControlLen:
			return put(at+40, f.Data)
		case event.PartFlags:
			return put(at+48, f.Data)
		}
		var h header
		if to != nil {
			h = to.header
		} else {
			var err error
			if h, err = e.header(s.task, at); err != nil {
				return &outputError{f.Arg, at, err}
			}
		}
		if f.Part == event.PartName {
			return put(h.name, f.Data)
		}
		return put(h.control, f.Data)
	case sysabi.Mmsghdr:
		return put(addr+uint64(f.Index)*mmsghdrSize+msghdrSize, f.Data)
	case sysabi.Ptr:
		// The index is that of the member that points to the block.
		var p [8]byte
		if _, err := e.host.ReadVariantMem(s.task, addr+ev.call.Args[f.Arg].Struct.Fields[f.Index].Off, p[:]); err != nil {
			return &outputError{f.Arg, addr, err}
		}
		return put(binary.LittleEndian.Uint64(p[:]), f.Data)
	case sysabi.Struct:
		return put(addr, e.translate(ev.call.Args[f.Arg].Struct, f.Data, v))
	case sysabi.Buf:
		return put(addr, e.translateText(ev, f.Data, v))
	}
	return put(addr, f.Data)
}

// vectorsFor returns the vectors that take field f of ev's output.
func (e *Engine) vectorsFor(ev *record, s *side, f *event.Field, to *target) ([]vec, error) {
	if to != nil {
		return to.vectors, nil
	}
	a, addr := &ev.call.Args[f.Arg], s.call.Args[f.Arg]
	n := uint64(0)
	switch a.Kind {
	case sysabi.Iovec:
		n = vectorCount(a, &s.call.Args)
	case sysabi.Msghdr, sysabi.Mmsghdr:
		h, err := e.header(s.task, addr+uint64(f.Index)*mmsghdrSize)
		if err != nil {
			return nil, err
		}
		addr, n = h.iov, h.iovLen
	}
	x := encoder{e: e, task: s.task, args: s.call.Args}
	vs, _ := x.vectors(addr, n)
	return vs, nil
}

func (e *Engine) header(t frontend.Task, addr uint64) (header, error) {
	var raw [msghdrSize]byte
	if _, err := e.host.ReadVariantMem(t, addr, raw[:]); err != nil {
		return header{}, err
	}
	return parseHeader(raw[:]), nil
}

// translate rewrites the members of output structures that hold addresses of the
// leader, or values that the program gave to the kernel and that were addresses.
func (e *Engine) translate(l *sysabi.Layout, data []byte, v int) []byte {
	var out []byte
	for at := uint64(0); at+l.Size <= uint64(len(data)); at += l.Size {
		for k := range l.Fields {
			f := &l.Fields[k]
			if f.Size != 8 || (f.Kind != sysabi.Word && f.Kind != sysabi.Addr && f.Kind != sysabi.Ptr && f.Kind != sysabi.Code) {
				continue
			}
			val := binary.LittleEndian.Uint64(data[at+f.Off:])
			w := e.wordFor(v, val)
			if w == val {
				continue
			}
			if out == nil {
				out = append([]byte(nil), data...)
			}
			binary.LittleEndian.PutUint64(out[at+f.Off:], w)
		}
	}
	if out != nil {
		return out
	}
	return data
}

// wordFor returns what variant v put where the leader put val: the translated
// address, or val itself when the variants agreed on it as a number.
func (e *Engine) wordFor(v int, val uint64) uint64 {
	a := e.layout.Canonical(frontend.Leader, val)
	if !a.Relative() || e.rawWords[val] {
		return val
	}
	return e.layout.Real(v, a)
}
