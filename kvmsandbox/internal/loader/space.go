//go:build linux && amd64

package loader

import (
	"debug/elf"
	"math"
	"slices"
	"syscall"

	"github.com/multivar/multivar/frontend"
)

const pageSize = 4096

// TaskSize is the end of the user address space of x86-64 with four-level page
// tables (TASK_SIZE_MAX in arch/x86/include/asm/page_64_types.h).
const TaskSize = 0x7fff_ffff_f000

// The bits of Segment.Prot (mmap(2)).
const (
	ProtRead  = 1
	ProtWrite = 2
	ProtExec  = 4
)

// Anonymous is the Segment.File of memory without a file.
const Anonymous = -1

// Segment is a range of the new address space. Addr, Size and Offset are
// multiples of the page size, Size is not 0.
type Segment struct {
	// File is the index in Plan.Files of the file that is mapped privately from
	// Offset on, or Anonymous. The mapping may reach beyond the end of the file.
	File               int
	Addr, Size, Offset uint64
	Prot               uint32
	Region             frontend.Region
	// ZeroFrom is the address from which on the last page is zeroed, 0 when nothing
	// is. It is in that page, and Prot has ProtWrite.
	ZeroFrom uint64
}

// End returns the address after the segment's last byte.
func (g *Segment) End() uint64 { return g.Addr + g.Size }

// part returns the part of the segment from start to end.
func (g *Segment) part(start, end uint64) Segment {
	p := *g
	if g.File != Anonymous {
		p.Offset += start - g.Addr
	}
	if end != g.End() {
		p.ZeroFrom = 0
	}
	p.Addr, p.Size = start, end-start
	return p
}

// span returns which of the segments, which are ascending, overlap a range.
func span(segments []Segment, start, end uint64) (from, to int) {
	from, _ = slices.BinarySearchFunc(segments, start, func(g Segment, at uint64) int {
		if g.End() <= at {
			return -1
		}
		return 1
	})
	for to = from; to < len(segments) && segments[to].Addr < end; to++ {
	}
	return from, to
}

// replace removes a range from segments, which are ascending, and inserts what
// lies there instead. It works in place.
func replace(segments []Segment, start, end uint64, by ...Segment) []Segment {
	from, to := span(segments, start, end)
	if from < to {
		if first := segments[from]; first.Addr < start {
			by = append([]Segment{first.part(first.Addr, start)}, by...)
		}
		if last := segments[to-1]; end < last.End() {
			by = append(by, last.part(end, last.End()))
		}
	}
	return slices.Replace(segments, from, to, by...)
}

// space is an address space in the making.
type space struct {
	// segments are ascending and do not overlap.
	segments []Segment
	// low is the lowest address at which may be mapped.
	low uint64
}

// put maps g over what is there, as MAP_FIXED does.
func (s *space) put(g Segment) error {
	if g.Addr > TaskSize || g.Size > TaskSize-g.Addr {
		return fatal(syscall.ENOMEM, "a segment of it would be at %#x", g.Addr)
	}
	if g.Addr < s.low {
		return fatal(syscall.EPERM, "a segment of it would be at %#x", g.Addr)
	}
	s.segments = replace(s.segments, g.Addr, g.End(), g)
	return nil
}

// below returns the start of the highest free range of size bytes that ends at
// top or lower.
func (s *space) below(top, size uint64) (uint64, error) {
	for _, g := range slices.Backward(s.segments) {
		if g.End() <= top && top-g.End() >= size {
			break
		}
		top = min(top, g.Addr)
	}
	if top < s.low || top-s.low < size {
		return 0, fatal(syscall.ENOMEM, "it has no room for %#x bytes", size)
	}
	return top - size, nil
}

// prot translates the flags of a program header.
func prot(f elf.ProgFlag) (p uint32) {
	for _, b := range []struct {
		flag elf.ProgFlag
		prot uint32
	}{{elf.PF_R, ProtRead}, {elf.PF_W, ProtWrite}, {elf.PF_X, ProtExec}} {
		if f&b.flag != 0 {
			p |= b.prot
		}
	}
	return p
}

// load maps the segments of an object at bias from where they are linked, one
// after the other. Each may cover earlier ones.
func (s *space) load(o *object, bias uint64, region frontend.Region) error {
	for i := range o.headers {
		if o.headers[i].kind != elf.PT_LOAD {
			continue
		}
		if err := s.loadSegment(o, &o.headers[i], bias, region); err != nil {
			return err
		}
	}
	return nil
}

// loadSegment maps one segment (elf_load): the pages of the file that it asks
// for, with what follows its part of the file in the last one zeroed if it is
// writable, and anonymous memory, which is readable and writable whatever the
// header says, up to its end. Its sizes have been checked by extent.
func (s *space) loadSegment(o *object, h *programHeader, bias uint64, region frontend.Region) error {
	addr := h.vaddr + bias
	start, skip := pageDown(addr), addr%pageSize
	// Sizes are checked against the end of the address space before anything is
	// computed with the sum of both.
	if addr >= TaskSize || h.memsz > TaskSize-addr {
		return fatal(syscall.EINVAL, "a segment of it would be at %#x", addr)
	}
	end := pageUp(addr + h.memsz)
	access := prot(h.flags)
	if h.filesz > 0 {
		g := Segment{File: o.index, Addr: start, Size: pageUp(skip + h.filesz), Offset: h.off - skip, Prot: access, Region: region}
		if h.off < skip || g.Offset%pageSize != 0 {
			return fatal(syscall.EINVAL, "a segment of it is at %#x and %#x of the file, which do not match", h.vaddr, h.off)
		}
		if g.Offset > math.MaxInt64-g.Size {
			return fatal(syscall.EOVERFLOW, "a segment of it is at %#x of the file", h.off)
		}
		if zero := addr + h.filesz; h.memsz > h.filesz && zero%pageSize != 0 && access&ProtWrite != 0 {
			if g.Offset+g.Size-pageSize >= uint64(max(o.file.Size, 0)) {
				return fatal(syscall.EFAULT, "a segment of it is not in the file")
			}
			g.ZeroFrom = zero
		}
		if err := s.put(g); err != nil {
			return err
		}
		start = g.End()
	}
	if h.memsz > h.filesz && start < end {
		return s.put(Segment{
			File: Anonymous, Addr: start, Size: end - start,
			Prot: ProtRead | ProtWrite | access&ProtExec, Region: region,
		})
	}
	return nil
}

func pageDown(n uint64) uint64 { return n &^ (pageSize - 1) }

func pageUp(n uint64) uint64 { return pageDown(n + pageSize - 1) }
