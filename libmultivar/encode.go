package libmultivar

import (
	"bytes"
	"crypto/sha256"
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
	iovecSize     = 16
	msghdrSize    = 56
	mmsghdrSize   = 64
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
	// page caches the last page read for strings.
	page     [pageSize]byte
	pageAt   uint64
	pageLen  int
	pageRead bool
	// inline counts the bytes that the record holds unhashed, total those that
	// iovecs of all messages of the call have.
	inline, total uint64
	// gone is set when the task died meanwhile; the record is useless then.
	gone bool
}

// encode returns the request record of task s at its call.
// Compared memory is encoded after the arguments.
func (e *Engine) encode(th *thread, v int, call *sysabi.Call, c *frontend.Call, compared []addrspace.Region) ([]byte, bool) {
	e.builder.Reset(event.Call, int32(c.Nr))
	if e.followers == 0 && e.cfg.OnCall == nil {
		// Nobody compares it and nobody reads it.
		return e.builder.Record(), true
	}
	x := encoder{e: e, v: v, task: th.sides[v].task, call: call, b: &e.builder, args: c.Args}
	for i := range call.Args {
		a := &call.Args[i]
		if a.If.Mask != 0 && c.Args[a.If.Arg]&a.If.Mask == 0 {
			continue
		}
		x.arg(uint8(i), a, c.Args[i], th)
	}
	for _, r := range compared {
		x.mapped(r)
	}
	return x.b.Record(), !x.gone
}

// read fills p from addr and returns how much could be read.
func (x *encoder) read(addr uint64, p []byte) (int, bool) {
	if len(p) == 0 {
		return 0, true
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
		x.pointer(i, event.PartValue, 0, a.Kind, v)
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

// code encodes a pointer to program text: where the variants run the same image
// by canonical address, else by its being a special value.
func (x *encoder) code(arg, part uint8, v uint64, th *thread) {
	if v > 1 && !th.proc.sameImage {
		x.b.Number(arg, part, 0, sysabi.Code, 0, 2)
		return
	}
	x.number(arg, part, 0, sysabi.Code, v)
}

// length returns the byte count of an In buffer.
func (x *encoder) length(a *sysabi.Arg) uint64 {
	if a.Len.Kind == sysabi.LenPtr {
		var p [4]byte
		if _, ok := x.read(x.args[a.Len.Arg], p[:]); !ok {
			return 0
		}
		if n := uint64(binary.LittleEndian.Uint32(p[:])); n != 0 {
			return n
		}
		return a.Len.N
	}
	return plainLength(x.call.Args, a, &x.args)
}

// plainLength returns the byte count of a buffer whose length is in the
// arguments' values alone. A length argument is as wide as its kind says, and a
// negative one stands for nothing.
func plainLength(all []sysabi.Arg, a *sysabi.Arg, args *[6]uint64) uint64 {
	if a.Len.Kind == sysabi.LenConst {
		return a.Len.N
	}
	n := args[a.Len.Arg]
	if a.Len.Arg < len(all) {
		switch all[a.Len.Arg].Kind {
		case sysabi.Int:
			n = uint64(max(int32(n), 0))
		case sysabi.Uint, sysabi.Flags:
			n = uint64(uint32(n))
		}
	}
	unit := max(a.Len.N, 1)
	switch a.Len.Kind {
	case sysabi.LenArg, sysabi.LenRet:
		if int64(n) < 0 {
			return 0
		}
		if n > maxTransfer/unit {
			return maxTransfer
		}
		return n * unit
	case sysabi.LenBits:
		return (uint64(max(int32(n), 0)) + 63) / 64 * 8
	case sysabi.LenDiv:
		return (min(n, maxTransfer) + unit - 1) / unit
	}
	return 0
}

// data encodes n bytes at addr, hashed when they are many.
func (x *encoder) data(arg, part uint8, index uint32, kind sysabi.Kind, addr, n uint64) {
	if addr > addrspace.TaskSize || n > addrspace.TaskSize-addr {
		// The kernel refuses the range as a whole and looks at nothing in it.
		x.b.Bytes(arg, part, index, kind, event.Fault, nil)
		return
	}
	n = min(n, maxTransfer)
	if x.inline+n <= maxInline {
		x.inline += n
		x.b.Fill(arg, part, index, kind, int(n), func(p []byte) (int, event.Flag) {
			got, ok := x.read(addr, p)
			if !ok {
				return got, event.Fault
			}
			return got, 0
		})
		return
	}
	h := sha256.New()
	var f event.Flag
	var total uint64
	p := x.e.buffer(maxInline)
	for total < n {
		got, ok := x.read(addr+total, p[:min(n-total, maxInline)])
		h.Write(p[:got])
		total += uint64(got)
		if !ok {
			f = event.Fault
			break
		}
	}
	x.b.Bytes(arg, part, index, kind, f|event.Hashed, h.Sum(binary.LittleEndian.AppendUint64(nil, total)))
}

// buffer returns scratch memory of n bytes, valid until the next use.
func (e *Engine) buffer(n int) []byte {
	if cap(e.scratch) < n {
		e.scratch = make([]byte, n)
	}
	return e.scratch[:n]
}

// cstring reads a NUL-terminated string of at most limit bytes including its
// NUL. It returns the bytes without NUL; ended is false when none was found
// before the limit or a fault.
func (x *encoder) cstring(dst []byte, addr uint64, limit int) (s []byte, ended, fault bool) {
	for limit > 0 {
		page := addr &^ (pageSize - 1)
		if !x.pageRead || x.pageAt != page {
			n, _ := x.read(page, x.page[:])
			x.pageAt, x.pageLen, x.pageRead = page, n, true
		}
		off := int(addr - page)
		if off >= x.pageLen {
			return dst, false, true
		}
		chunk := x.page[off:min(x.pageLen, off+limit)]
		for i, c := range chunk {
			if c == 0 {
				return append(dst, chunk[:i]...), true, false
			}
		}
		dst = append(dst, chunk...)
		limit -= len(chunk)
		if x.pageLen < pageSize && limit > 0 {
			return dst, false, true
		}
		addr += uint64(len(chunk))
	}
	return dst, false, false
}

func (x *encoder) str(arg, part uint8, index uint32, kind sysabi.Kind, addr uint64, limit int) {
	if addr == 0 {
		x.pointer(arg, part, index, kind, addr)
		return
	}
	s, ended, fault := x.cstring(nil, addr, limit)
	var f event.Flag
	if fault {
		f = event.Fault
	}
	if !ended && !fault {
		// Longer than the kernel takes: ENAMETOOLONG or E2BIG for everybody.
		part = event.PartLen
	}
	x.b.Bytes(arg, part, index, kind, f, s)
}

// strings encodes a NULL-terminated vector of strings (argv, envp).
func (x *encoder) strings(arg uint8, addr uint64) {
	if addr == 0 {
		x.pointer(arg, event.PartValue, 0, sysabi.StrVec, addr)
		return
	}
	total := 0
	var ptrs [pageSize / 8]uint64
	for i := 0; i < maxVector && total < maxVectorSize; {
		raw := x.e.buffer(int(pageSize - (addr+uint64(i)*8)%pageSize))
		n, ok := x.read(addr+uint64(i)*8, raw)
		k := n / 8
		for j := range k {
			ptrs[j%len(ptrs)] = binary.LittleEndian.Uint64(raw[j*8:])
		}
		for j := range k {
			if ptrs[j] == 0 {
				x.b.Number(arg, event.PartCount, 0, sysabi.StrVec, 0, uint64(i))
				return
			}
			s, ended, fault := x.cstring(nil, ptrs[j], maxString)
			var f event.Flag
			if fault || !ended {
				f = event.Fault
			}
			x.b.Bytes(arg, event.PartBase, uint32(i), sysabi.StrVec, f, s)
			total += len(s)
			i++
		}
		if !ok || k == 0 {
			x.b.Bytes(arg, event.PartCount, uint32(i), sysabi.StrVec, event.Fault, nil)
			return
		}
	}
	x.b.Number(arg, event.PartCount, 1, sysabi.StrVec, 0, maxVector)
}

// structs encodes a structure or an array of them.
func (x *encoder) structs(arg uint8, a *sysabi.Arg, addr uint64, th *thread) {
	size := a.Struct.Size
	n := uint64(1)
	if a.Len.Kind != sysabi.LenNone {
		bytes := x.length(a)
		n = bytes / size
		if rest := bytes % size; n == 0 && rest != 0 {
			// A structure of an older version: compare the members that it has.
			raw := x.e.buffer(int(rest))
			got, ok := x.read(addr, raw)
			if !ok {
				x.b.Number(arg, event.PartLen, 0, a.Kind, event.Fault, uint64(got))
				return
			}
			x.fields(arg, 0, a.Struct, raw, th)
			return
		}
	}
	if n > maxElements {
		n = 0
	}
	for i := range n {
		raw := x.e.buffer(int(size))
		got, ok := x.read(addr+i*size, raw)
		if !ok {
			x.b.Number(arg, event.PartLen, uint32(i), a.Kind, event.Fault, uint64(got))
			return
		}
		x.fields(arg, uint32(i), a.Struct, raw, th)
	}
}

// fields encodes the members of a structure.
func (x *encoder) fields(arg uint8, index uint32, l *sysabi.Layout, raw []byte, th *thread) {
	for k := range l.Fields {
		f := &l.Fields[k]
		if f.Kind == sysabi.None || f.Off+f.Size > uint64(len(raw)) || !f.Applies(raw) {
			continue
		}
		p := raw[f.Off : f.Off+f.Size]
		switch f.Kind {
		case sysabi.Buf:
			x.b.Bytes(arg, uint8(k), index, f.Kind, 0, p)
			continue
		case sysabi.Code:
			x.code(arg, uint8(k), uintOf(p), th)
			continue
		}
		x.number(arg, uint8(k), index, f.Kind, uintOf(p))
	}
}

// uintOf reads a little-endian number of 1, 2, 4 or 8 bytes; other sizes yield
// their first byte.
func uintOf(p []byte) uint64 {
	switch len(p) {
	case 8:
		return binary.LittleEndian.Uint64(p)
	case 4:
		return uint64(binary.LittleEndian.Uint32(p))
	case 2:
		return uint64(binary.LittleEndian.Uint16(p))
	case 0:
		return 0
	}
	return uint64(p[0])
}

// vectorCount returns how many vectors a call with a bare array of them has: the
// kernel looks at the lower half of the word only (import_iovec in
// lib/iov_iter.c).
func vectorCount(a *sysabi.Arg, args *[6]uint64) uint64 { return uint64(uint32(args[a.Len.Arg])) }

// vec is one element of an iovec array.
type vec struct{ base, len uint64 }

// vectors reads an iovec array; ok is false when it cannot be read in full.
func (x *encoder) vectors(addr, n uint64) (v []vec, ok bool) {
	if n > maxIovec {
		return nil, true
	}
	raw := make([]byte, n*iovecSize)
	got, ok := x.read(addr, raw)
	for i := range got / iovecSize {
		v = append(v, vec{binary.LittleEndian.Uint64(raw[i*iovecSize:]), binary.LittleEndian.Uint64(raw[i*iovecSize+8:])})
	}
	return v, ok
}

// iovec encodes the lengths of the vectors and, for In, their bytes.
func (x *encoder) iovec(arg uint8, index uint32, addr, n uint64, dir sysabi.Dir) {
	vs, ok := x.vectors(addr, n)
	var f event.Flag
	if !ok {
		f = event.Fault
	}
	x.b.Number(arg, event.PartCount, index, sysabi.Iovec, f, n)
	left := uint64(maxTransfer)
	for i, v := range vs {
		id := index<<12 | uint32(i)
		x.b.Number(arg, event.PartLen, id, sysabi.Iovec, 0, v.len)
		if dir&sysabi.In != 0 {
			take := v.len
			if v.base <= addrspace.TaskSize && take <= addrspace.TaskSize-v.base {
				take = min(take, left)
			}
			if x.total += min(take, left); x.total > maxTransfer {
				x.e.fail(errors.New("one call sends messages of more than 2 GiB in all"))
				return
			}
			x.data(arg, event.PartBase, id, sysabi.Iovec, v.base, take)
			left -= min(take, left)
		} else {
			x.pointer(arg, event.PartBase, id, sysabi.Iovec, v.base)
		}
	}
}

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

// mapped encodes what is in a range of memory that is shared with a file.
func (x *encoder) mapped(r addrspace.Region) {
	at := x.e.layout.Real(x.v, r.Start)
	x.data(event.ArgResult, event.PartMapped, uint32(r.Start.Offset()/pageSize), sysabi.Buf, at, uint64(r.End.Offset()-r.Start.Offset()))
}
