package libmultivar

import (
	"encoding/binary"

	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

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
		// Nobody runs such a call: the argument that holds the count says all.
		n = 0
	}
	for i := uint64(0); i < n; {
		raw := x.e.buffer(int(min(n-i, max(structsAtOnce/size, 1)) * size))
		got, ok := x.read(addr+i*size, raw)
		for raw = raw[:got]; uint64(len(raw)) >= size; raw = raw[size:] {
			x.fields(arg, uint32(i), a.Struct, raw[:size], th)
			i++
		}
		if !ok {
			x.b.Number(arg, event.PartLen, uint32(i), a.Kind, event.Fault, uint64(len(raw)))
			return
		}
	}
}

// structsAtOnce is how many bytes of an array of structures are read at once.
const structsAtOnce = 64 << 10

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
		if f.Points != nil && uintOf(p) != 0 {
			x.pointed(arg, index, f.Points, uintOf(p))
		}
		if n := blockSize(f.Block, raw); n > 0 && f.Block.Dir&sysabi.In != 0 && uintOf(p) != 0 {
			x.data(arg, partPointed, index, sysabi.Buf, uintOf(p), n)
		}
	}
}

// blockSize returns how many bytes the block has to which a member of record raw points, 0
// where the kernel does not look at it.
func blockSize(b *sysabi.Block, raw []byte) uint64 {
	if b == nil || b.SizeOff+4 > uint64(len(raw)) {
		return 0
	}
	n := uint64(binary.LittleEndian.Uint32(raw[b.SizeOff:]))
	if n > b.Most {
		return 0
	}
	return n
}

// partPointed is the first part of the members of a record to which a member points.
const partPointed = 100

// pointed encodes the record to which a member of another one points.
func (x *encoder) pointed(arg uint8, index uint32, l *sysabi.Layout, addr uint64) {
	raw := make([]byte, l.Size)
	if got, ok := x.read(addr, raw); !ok {
		x.b.Number(arg, event.PartLen, index, sysabi.Ptr, event.Fault, uint64(got))
		return
	}
	for k := range l.Fields {
		f := &l.Fields[k]
		p := raw[f.Off : f.Off+f.Size]
		if f.Kind == sysabi.Buf {
			x.b.Bytes(arg, uint8(partPointed+k), index, f.Kind, 0, p)
			continue
		}
		x.number(arg, uint8(partPointed+k), index, f.Kind, uintOf(p))
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
