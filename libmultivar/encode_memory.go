package libmultivar

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

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
			if x.page == nil {
				x.page = make([]byte, pageSize)
			}
			n, _ := x.read(page, x.page)
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

// mapped encodes what is in a range of memory that is shared with a file.
func (x *encoder) mapped(r addrspace.Region) {
	at := x.e.layout.Real(x.v, r.Start)
	x.data(event.ArgResult, event.PartMapped, uint32(r.Start.Offset()/pageSize), sysabi.Buf, at, uint64(r.End.Offset()-r.Start.Offset()))
}
