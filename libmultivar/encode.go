package libmultivar

import (
	"encoding/binary"
	"errors"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Bounds of what is read from a variant for one argument. What the kernel
// refuses beyond (too many vectors, too long strings) is recorded by its count
// alone, since every variant gets the same error for it.
const (
	pageSize      = 4096
	maxInline     = 4 << 20
	maxTransfer   = 0x7ffff000 // MAX_RW_COUNT of the kernel
	maxPath       = 4096
	maxString     = 128 << 10 // MAX_ARG_STRLEN
	maxVector     = 1 << 20
	maxVectorSize = 64 << 20
	maxIovec      = 1024 // UIO_MAXIOV
	maxElements   = 1 << 20
	maxControl    = 1 << 20
	maxSockaddr   = 128
)

// encoder turns a call of one variant into a canonical record. It reads the
// variant's memory with bounds; what cannot be read is part of the record.
type encoder struct {
	e    *Engine
	v    int
	task frontend.Task
	call *sysabi.Call
	b    *event.Builder
	args [6]uint64
	// page caches the last page read for strings; it is made when it is needed.
	page     []byte
	pageAt   uint64
	pageLen  int
	pageRead bool
	// inline counts the bytes that the record holds unhashed, total those that
	// iovecs of all messages of the call have.
	inline, total uint64
	// gone is set when the task died meanwhile; the record is useless then.
	gone bool
	// adrift: pointers to program text are those of one instruction or another, as
	// side.adrift says.
	adrift bool
	// memory, if it is not nil, is what is read in place of the task's memory, which is
	// of later.
	memory func(addr uint64, p []byte) bool
}

// encode returns the request record of task s at its call.
func (e *Engine) encode(th *thread, v int, call *sysabi.Call, c *frontend.Call, compared []addrspace.Region) ([]byte, bool) {
	ok := e.build(th, v, call, c, compared)
	return e.builder.Record(), ok
}

// build makes the engine's builder hold the request record of v's task of th at its call c.
// Compared memory is encoded after the arguments. It is false when the task has died.
func (e *Engine) build(th *thread, v int, call *sysabi.Call, c *frontend.Call, compared []addrspace.Region) bool {
	e.builder.Reset(event.Call, int32(c.Nr))
	if e.followers == 0 && e.cfg.OnCall == nil {
		// Nobody compares it and nobody reads it.
		return true
	}
	x := &e.encoder
	*x = encoder{e: e, v: v, task: th.sides[v].task, call: call, b: &e.builder, args: c.Args, page: x.page}
	x.atFrame(th, c)
	x.arguments(th)
	for _, r := range compared {
		x.mapped(r)
	}
	return !x.gone
}

// atFrame lets the argument of a handler's return be the frame that is at its stack pointer.
func (x *encoder) atFrame(th *thread, c *frontend.Call) {
	if x.call.Handler != sysabi.HandlerSigreturn {
		return
	}
	x.args[0] = c.SP
	x.adrift = th.sides[x.v].adrift || x.e.parallel()
}

// arguments encodes all arguments of the call.
func (x *encoder) arguments(th *thread) {
	for i := range x.call.Args {
		a := &x.call.Args[i]
		if a.If.Mask != 0 && x.args[a.If.Arg]&a.If.Mask == 0 {
			continue
		}
		x.arg(uint8(i), a, x.args[i], th)
	}
}

// read fills p from addr and returns how much could be read.
func (x *encoder) read(addr uint64, p []byte) (int, bool) {
	if len(p) == 0 {
		return 0, true
	}
	if x.memory != nil {
		if x.memory(addr, p) {
			return len(p), true
		}
		return 0, false
	}
	n, err := x.e.host.ReadVariantMem(x.task, addr, p)
	if err != nil {
		if !errors.Is(err, frontend.ErrFault) {
			// Only of a task that has died nothing needs to be known.
			x.e.hostFailed(err)
			x.gone = true
		}
		return n, false
	}
	return n, true
}

// number encodes a scalar by its kind.
func (x *encoder) number(arg, part uint8, index uint32, kind sysabi.Kind, v uint64) {
	var flags event.Flag
	switch kind {
	case sysabi.None:
		return
	case sysabi.Int, sysabi.FD, sysabi.DirFD, sysabi.Pid, sysabi.Signal:
		v = uint64(int64(int32(v)))
	case sysabi.Uint, sysabi.Flags, sysabi.Mode:
		v = uint64(uint32(v))
	case sysabi.Addr, sysabi.Word, sysabi.Code:
		a := x.e.layout.Canonical(x.v, v)
		if a.Relative() {
			flags |= event.Relative
		}
		v = a.Offset()
	case sysabi.Ptr:
		v = bit(v != 0)
	}
	x.b.Number(arg, part, index, kind, flags, v)
}

// arg encodes argument i of a call.
func (x *encoder) arg(i uint8, a *sysabi.Arg, v uint64, th *thread) {
	switch a.Kind {
	case sysabi.None:
	case sysabi.Path:
		x.str(i, 0, 0, a.Kind, v, maxPath)
	case sysabi.String:
		limit := uint64(maxString)
		if a.Len.Kind != sysabi.LenNone {
			limit = min(limit, x.length(a))
		}
		x.str(i, 0, 0, a.Kind, v, int(limit))
	case sysabi.StrVec:
		x.strings(i, v)
	case sysabi.Buf:
		if a.Len.Kind == sysabi.LenEncoded {
			// Some drivers take a value where they say that they take a pointer to one.
			x.number(i, event.PartValue, 0, sysabi.Addr, v)
		} else {
			x.pointer(i, event.PartValue, 0, a.Kind, v)
		}
		if a.Dir&sysabi.In != 0 && v != 0 {
			x.data(i, event.PartBase, 0, a.Kind, v, x.length(a))
		}
	case sysabi.Struct:
		x.pointer(i, event.PartCount, 0, a.Kind, v)
		if a.Dir&sysabi.In != 0 && v != 0 {
			x.structs(i, a, v, th)
		}
	case sysabi.Iovec:
		x.iovec(i, 0, v, vectorCount(a, &x.args), a.Dir)
	case sysabi.Msghdr:
		x.pointer(i, event.PartValue, 0, a.Kind, v)
		x.msghdr(i, 0, v, a.Dir)
	case sysabi.Mmsghdr:
		n := uint64(uint32(x.args[a.Len.Arg]))
		x.b.Number(i, event.PartCount, 0, a.Kind, 0, n)
		for k := range min(n, maxIovec) {
			x.msghdr(i, uint32(k), v+k*mmsghdrSize, a.Dir)
		}
	case sysabi.Sockaddr:
		x.pointer(i, event.PartValue, 0, a.Kind, v)
		if a.Dir&sysabi.In != 0 && v != 0 {
			x.sockaddr(i, event.PartBase, 0, v, uint64(uint32(x.args[a.Len.Arg])))
		}
	case sysabi.SockLen:
		x.pointer(i, event.PartValue, 0, a.Kind, v)
		if v != 0 {
			x.data(i, event.PartBase, 0, a.Kind, v, 4)
		}
	case sysabi.Code:
		x.code(i, 0, v, th)
	case sysabi.SigsetArg:
		x.pointer(i, event.PartValue, 0, a.Kind, v)
		var pair [16]byte
		if v == 0 {
			return
		}
		if _, ok := x.read(v, pair[:]); !ok {
			x.b.Bytes(i, event.PartBase, 0, a.Kind, event.Fault, nil)
			return
		}
		set := binary.LittleEndian.Uint64(pair[:])
		x.b.Number(i, event.PartLen, 0, a.Kind, 0, binary.LittleEndian.Uint64(pair[8:]))
		x.pointer(i, event.PartBase, 0, a.Kind, set)
		if set != 0 {
			x.data(i, event.PartBase, 1, a.Kind, set, 8)
		}
	default:
		x.number(i, event.PartValue, 0, a.Kind, v)
	}
}

// pointer records whether a pointer is null.
func (x *encoder) pointer(arg, part uint8, index uint32, kind sysabi.Kind, v uint64) {
	var f event.Flag
	if v == 0 {
		f = event.Null
	}
	x.b.Bytes(arg, part, index, kind, f, nil)
}

// code encodes a pointer to program text: where the variants run the same image, at the
// same instruction, by canonical address, else by its being a special value.
func (x *encoder) code(arg, part uint8, v uint64, th *thread) {
	if v > 1 && (!th.proc.sameImage || x.adrift) {
		x.b.Number(arg, part, 0, sysabi.Code, 0, 2)
		return
	}
	x.number(arg, part, 0, sysabi.Code, v)
}
