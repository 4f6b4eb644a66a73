package addrspace

import (
	"fmt"
	"slices"
)

// growGuard is the distance in bytes that is kept free below a region that grows
// downwards: 256 pages (stack_guard_gap in mm/mmap.c).
const growGuard = 256 * PageSize

// The bounds of the addresses that MAP_32BIT asks for (find_start_end in
// arch/x86/kernel/sys_x86_64.c).
const (
	lowStart = 1 * gib
	lowEnd   = 2 * gib
)

// fence returns the lowest address below which other regions may end.
func fence(r Region) Address {
	if r.Flags&GrowsDown != 0 {
		return Address{r.Start.rel, r.Start.off - min(growGuard, r.Start.off)}
	}
	return r.Start
}

// FindFree returns the highest free range of size bytes below Offsets.MmapTop
// whose start is a multiple of align, which is a power of two up to SlotAlign, or
// 0 for PageSize. The windows of the program, the heap and the stack are never
// used. ok is false when there is no room.
func (s *Space) FindFree(size, align uint64) (a Address, ok bool) {
	size, ok = PageUp(size)
	align = max(align, PageSize)
	if !ok || size == 0 || align&(align-1) != 0 || align > SlotAlign {
		return Address{}, false
	}
	return s.findBelow(Relative(s.offsets.MmapTop), Relative(mmapLow), size, align)
}

// FindFreeCommon is FindFree for a range that all variants have at the same
// absolute address. ok is false when there is no room or the offsets have no
// common part.
func (s *Space) FindFreeCommon(size, align uint64) (a Address, ok bool) {
	size, ok = PageUp(size)
	align = max(align, PageSize)
	if !ok || size == 0 || align&(align-1) != 0 || align > SlotAlign || s.offsets.CommonTop == 0 {
		return Address{}, false
	}
	return s.findBelow(Absolute(s.offsets.CommonTop-stackReserve), Absolute(commonMmapLow), size, align)
}

// FindApart is FindFree for a range of a variant's own that its program knows nothing of: it is
// where nothing comes to lie, or has lain, unless the program has asked for that address. That is
// behind the window of FindFree, in what a stack in the slot leaves for itself, so that nothing of
// the program's own has it in front.
func (s *Space) FindApart(size uint64) (a Address, ok bool) {
	size, ok = PageUp(size)
	if !ok || size == 0 || s.offsets.StackTop < stackReserve {
		return Address{}, false
	}
	return s.findBelow(Relative(s.offsets.StackTop-stackReserve/2), Relative(s.offsets.MmapTop), size, PageSize)
}

// findBelow returns the highest free range of size bytes in floor..top.
func (s *Space) findBelow(top, floor Address, size, align uint64) (a Address, ok bool) {
	limit := top
	// The region at or above the top matters for its guard only.
	for i := min(s.firstFrom(top), len(s.regions)-1); ; i-- {
		low := floor
		last := i < 0 || !low.Less(s.regions[i].End)
		if !last {
			low = s.regions[i].End
		}
		if low.Less(top) && top.off-low.off >= size {
			if at := (top.off - size) &^ (align - 1); at >= low.off {
				return Address{floor.rel, at}, true
			}
		}
		if last {
			return Address{}, false
		}
		// A guard ends at the next region below, as in the kernel.
		top = limit
		if f := fence(s.regions[i]); f.Less(top) {
			top = f
		}
	}
}

// FindFreeLow returns the lowest free range of size bytes in the absolute
// addresses [1 GiB, 2 GiB), where MAP_32BIT maps. ok is false when there is no
// room.
func (s *Space) FindFreeLow(size uint64) (a Address, ok bool) {
	size, ok = PageUp(size)
	if !ok || size == 0 {
		return Address{}, false
	}
	at := uint64(lowStart)
	for i := s.firstAfter(Absolute(at)); ; i++ {
		limit := uint64(lowEnd)
		if i < len(s.regions) && !s.regions[i].Start.rel {
			limit = min(limit, fence(s.regions[i]).off)
		}
		if at < limit && limit-at >= size {
			return Absolute(at), true
		}
		if i == len(s.regions) || s.regions[i].Start.rel || s.regions[i].Start.off >= lowEnd {
			return Address{}, false
		}
		at = s.regions[i].End.off
	}
}

// FreeAfter reports whether a mapping that ends at end can grow by size bytes in
// place. It cannot grow out of the window that FindFree uses.
func (s *Space) FreeAfter(end Address, size uint64) bool {
	if !s.Free(end, size) {
		return false
	}
	size, _ = PageUp(size)
	for _, bound := range []uint64{mmapLow, s.offsets.MmapTop} {
		if end.rel && end.off <= bound && end.off+size > bound {
			return false
		}
	}
	return true
}

// Move records an mremap(2) that moved oldSize bytes at from to newSize bytes at
// to, where it replaces what was there. A part beyond oldSize has the attributes
// of the range's last byte. When oldSize and newSize are equal the range may have
// holes after its first page, which move along. An oldSize of 0 maps the shared
// memory at from a second time. With keep (MREMAP_DONTUNMAP) the old range stays
// mapped. When from and to are equal the range is resized in place, and what it
// grows into must be free.
//
// Errors: ErrRange; ErrUnmapped when the old range has a hole; ErrOverlap when
// old and new range overlap or the grown part is not free.
func (s *Space) Move(from Address, oldSize uint64, to Address, newSize uint64, keep bool) error {
	toEnd, err := s.bounds(to, newSize)
	if err != nil {
		return err
	}
	fromEnd := from
	if oldSize != 0 {
		if fromEnd, err = s.bounds(from, oldSize); err != nil {
			return err
		}
	} else if _, err = s.bounds(from, PageSize); err != nil {
		return err
	}
	oldSize, newSize = fromEnd.off-from.off, toEnd.off-to.off
	first, ok := s.At(from)
	if !ok || oldSize != newSize && s.covered(from, fromEnd) != fromEnd {
		return fmt.Errorf("%w: %v-%v", ErrUnmapped, from, fromEnd)
	}
	if from == to {
		return s.resize(fromEnd, toEnd)
	}
	if from.Less(toEnd) && to.Less(fromEnd) {
		return fmt.Errorf("%w: %v-%v and %v-%v", ErrOverlap, from, fromEnd, to, toEnd)
	}
	pieces := []Region{{to, toEnd, first.Attrs}}
	if oldSize != 0 {
		pieces = s.shifted(from, fromEnd, to, newSize)
	}
	if !keep && oldSize != 0 {
		s.splice(from, fromEnd)
	}
	s.splice(to, toEnd, pieces...)
	return nil
}

// shifted returns the regions in from..fromEnd as they are after they moved to
// newSize bytes at to.
func (s *Space) shifted(from, fromEnd, to Address, newSize uint64) []Region {
	oldSize := fromEnd.off - from.off
	pieces := s.cut(from, from.Add(min(oldSize, newSize)))
	for i := range pieces {
		pieces[i].Start = to.Add(pieces[i].Start.off - from.off)
		pieces[i].End = to.Add(pieces[i].End.off - from.off)
	}
	if n := len(pieces); n > 0 && newSize > oldSize {
		pieces[n-1].End = to.Add(newSize)
	}
	return pieces
}

// resize moves the end of a mapping in place.
func (s *Space) resize(oldEnd, newEnd Address) error {
	if newEnd.Less(oldEnd) {
		s.splice(newEnd, oldEnd)
		return nil
	}
	if oldEnd == newEnd {
		return nil
	}
	if i, j := s.span(oldEnd, newEnd); i != j {
		return fmt.Errorf("%w: %v-%v is in use", ErrOverlap, oldEnd, newEnd)
	}
	last, ok := s.At(Address{oldEnd.rel, oldEnd.off - PageSize})
	if !ok {
		return fmt.Errorf("%w: nothing below %v", ErrUnmapped, oldEnd)
	}
	s.splice(oldEnd, newEnd, Region{oldEnd, newEnd, last.Attrs})
	return nil
}

// BrkStart returns where the heap starts.
func (s *Space) BrkStart() Address { return s.offsets.brk() }

// BrkEnd returns the end of the heap as brk(2) set it last, in bytes: it need
// not be page aligned.
func (s *Space) BrkEnd() Address { return Address{s.offsets.brk().rel, s.brkEnd} }

// CanBrk reports whether SetBrk(end) would succeed.
func (s *Space) CanBrk(end Address) bool {
	start := s.offsets.brk()
	if end.rel != start.rel || end.off < start.off || end.off-start.off > brkGrowth {
		return false
	}
	oldPage, _ := PageUp(s.brkEnd)
	newPage, _ := PageUp(end.off)
	if newPage <= oldPage {
		return true
	}
	// The heap keeps the distance from growing regions that the kernel keeps.
	i, j := s.span(Address{start.rel, oldPage}, Address{start.rel, newPage})
	return i == j && (j == len(s.regions) || !fence(s.regions[j]).Less(Address{start.rel, newPage}))
}

// SetBrk records that the heap ends at end. Pages that it gains are readable and
// writable heap, pages that it loses are unmapped.
//
// Errors: ErrRange when end is not in the heap's window or what the heap would
// grow into is not free.
func (s *Space) SetBrk(end Address) error {
	if !s.CanBrk(end) {
		return fmt.Errorf("%w: the heap cannot end at %v", ErrRange, end)
	}
	oldPage, _ := PageUp(s.brkEnd)
	newPage, _ := PageUp(end.off)
	s.brkEnd = end.off
	low, high := Address{end.rel, oldPage}, Address{end.rel, newPage}
	switch {
	case newPage > oldPage:
		s.splice(low, high, Region{low, high, Attrs{Prot: protRead | protWrite, Kind: Heap, Label: "[heap]"}})
	case newPage < oldPage:
		s.splice(high, low)
	}
	return nil
}

// Equal reports whether both spaces have the same regions, offsets and heap.
func (s *Space) Equal(o *Space) bool {
	return s.size == o.size && s.offsets == o.offsets && s.brkEnd == o.brkEnd && slices.Equal(s.regions, o.regions)
}

// Reserve records everything that o holds and s does not as Reserved, so that
// neither space's ranges are given out again: for variants that run different
// programs. Both must have slots of the same size.
func (s *Space) Reserve(o *Space) {
	for _, r := range o.regions {
		for at := r.Start; at.Less(r.End); {
			i, gapEnd := s.firstAfter(at), r.End
			if i < len(s.regions) && !at.Less(s.regions[i].Start) {
				at = s.regions[i].End
				continue
			}
			if i < len(s.regions) && s.regions[i].Start.Less(gapEnd) {
				gapEnd = s.regions[i].Start
			}
			s.splice(at, gapEnd, Region{at, gapEnd, Attrs{Kind: Reserved, Label: r.Label}})
			at = gapEnd
		}
	}
}
