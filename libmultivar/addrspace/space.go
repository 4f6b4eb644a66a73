package addrspace

import (
	"errors"
	"fmt"
	"iter"
	"slices"
)

var (
	// ErrRange is returned (wrapped) for a range that is empty, not page aligned,
	// outside the user address space, beyond the slot, or absolute and in the band.
	ErrRange = errors.New("address range is not valid")
	// ErrUnmapped is returned (wrapped) when a range is not mapped throughout.
	ErrUnmapped = errors.New("address range is not mapped")
	// ErrOverlap is returned (wrapped) when a range overlaps one that it must not.
	ErrOverlap = errors.New("address ranges overlap")
)

// Space is the memory map of a process, in canonical addresses and therefore the
// same in all variants. Sizes given to its methods are in bytes and rounded up to
// whole pages, starts must be page aligned. Methods that return an error leave
// the space unchanged unless they say otherwise.
//
// A Space is not safe for concurrent use, but clones are independent of each
// other.
type Space struct {
	// regions are sorted, disjoint, not empty; neighbours that touch differ in
	// their attributes.
	regions []Region
	// borrowed is true while a clone may use the same array.
	borrowed bool
	size     uint64
	offsets  Offsets
	brkEnd   uint64
}

// NewSpace returns an empty space for a slot of l with the given offsets.
//
// Errors: ErrRange when the offsets are not from l.Random.
func NewSpace(l *Layout, o Offsets) (*Space, error) {
	if !o.valid(l.size) {
		return nil, fmt.Errorf("%w: offsets %+v do not fit a slot of %#x bytes", ErrRange, o, l.size)
	}
	return &Space{size: l.size, offsets: o, brkEnd: o.brk().off}, nil
}

// Offsets returns the offsets that the space was made with.
func (s *Space) Offsets() Offsets { return s.offsets }

// Clone returns a copy, without the regions that have DontFork: the map of a
// forked child. It costs no copy until one of the two is changed.
func (s *Space) Clone() *Space {
	c := *s
	if slices.ContainsFunc(s.regions, dontFork) {
		c.regions, c.borrowed = slices.DeleteFunc(slices.Clone(s.regions), dontFork), false
		return &c
	}
	s.borrowed, c.borrowed = true, true
	return &c
}

func dontFork(r Region) bool { return r.Flags&DontFork != 0 }

// Len returns the number of regions.
func (s *Space) Len() int { return len(s.regions) }

// All yields all regions in ascending order. The space must not be changed
// meanwhile.
func (s *Space) All() iter.Seq[Region] { return slices.Values(s.regions) }

// At returns the region that contains a.
func (s *Space) At(a Address) (Region, bool) {
	i := s.firstAfter(a)
	if i == len(s.regions) || a.Less(s.regions[i].Start) {
		return Region{}, false
	}
	return s.regions[i], true
}

// Regions yields the regions that overlap size bytes at start, whole, in
// ascending order; none when the range is not valid. The space must not be
// changed meanwhile.
func (s *Space) Regions(start Address, size uint64) iter.Seq[Region] {
	end, err := s.bounds(start, size)
	if err != nil {
		return func(func(Region) bool) {}
	}
	i, j := s.span(start, end)
	return slices.Values(s.regions[i:j])
}

// Mapped reports whether size bytes at start are mapped throughout.
func (s *Space) Mapped(start Address, size uint64) bool {
	end, err := s.bounds(start, size)
	return err == nil && s.covered(start, end) == end
}

// Free reports whether size bytes at start are a valid range with nothing in it.
func (s *Space) Free(start Address, size uint64) bool {
	end, err := s.bounds(start, size)
	if err != nil {
		return false
	}
	i, j := s.span(start, end)
	return i == j
}

// Near reports whether something is mapped in size bytes at start or at most distance
// bytes away from them, in the same part of the address space.
func (s *Space) Near(start Address, size, distance uint64) bool {
	end, err := s.bounds(start, size)
	if err != nil {
		return false
	}
	i := s.firstAfter(start)
	if i < len(s.regions) {
		next := s.regions[i].Start
		if next.rel == start.rel && (next.Less(end) || next.off-end.off <= distance) {
			return true
		}
	}
	if i == 0 {
		return false
	}
	last := s.regions[i-1].End
	return last.rel == start.rel && start.off-last.off <= distance
}

// Map records a new region, which replaces what the range held.
func (s *Space) Map(start Address, size uint64, attrs Attrs) error {
	end, err := s.bounds(start, size)
	if err != nil {
		return err
	}
	s.splice(start, end, Region{start, end, attrs})
	return nil
}

// Unmap removes what size bytes at start hold, which may be nothing.
func (s *Space) Unmap(start Address, size uint64) error {
	end, err := s.bounds(start, size)
	if err != nil {
		return err
	}
	s.splice(start, end)
	return nil
}

// Protect sets the protection of size bytes at start.
//
// Errors: ErrRange; ErrUnmapped when the range has a hole, and then, as in
// mprotect(2), the part before the hole is changed.
func (s *Space) Protect(start Address, size uint64, prot uint32) error {
	return s.update(start, size, func(a *Attrs) { a.Prot = prot })
}

// SetFlags adds and removes flags of size bytes at start. Errors as Protect.
func (s *Space) SetFlags(start Address, size uint64, add, remove Flags) error {
	return s.update(start, size, func(a *Attrs) { a.Flags = a.Flags&^remove | add })
}

func (s *Space) update(start Address, size uint64, change func(*Attrs)) error {
	end, err := s.bounds(start, size)
	if err != nil {
		return err
	}
	upTo := s.covered(start, end)
	if upTo != start {
		pieces := s.cut(start, upTo)
		for i := range pieces {
			change(&pieces[i].Attrs)
		}
		s.splice(start, upTo, pieces...)
	}
	if upTo != end {
		return fmt.Errorf("%w: nothing at %v", ErrUnmapped, upTo)
	}
	return nil
}

// Grow extends the GrowsDown region above a so that it contains a, as the kernel
// does when the stack is touched below its start. It reports whether a is mapped
// now.
func (s *Space) Grow(a Address) bool {
	a = a.PageDown()
	i := s.firstAfter(a)
	if i == len(s.regions) {
		return false
	}
	r := s.regions[i]
	if !a.Less(r.Start) {
		return true
	}
	if r.Flags&GrowsDown == 0 || r.Start.rel != a.rel {
		return false
	}
	if _, err := s.bounds(a, r.Start.off-a.off); err != nil {
		return false
	}
	s.splice(a, r.Start, Region{a, r.Start, r.Attrs})
	return true
}

// bounds checks a range and returns its end.
func (s *Space) bounds(start Address, size uint64) (Address, error) {
	size, ok := PageUp(size)
	end := start.Add(size)
	limit := uint64(TaskSize)
	if start.rel {
		limit = s.size
	}
	switch {
	case !ok || size == 0 || start.off%PageSize != 0 || end.off <= start.off || end.off > limit:
		return Address{}, fmt.Errorf("%w: %#x bytes at %v", ErrRange, size, start)
	case !start.rel && start.off < BandEnd && end.off > BandStart:
		return Address{}, fmt.Errorf("%w: %v-%v is absolute and among the slots", ErrRange, start, end)
	}
	return end, nil
}

// firstAfter returns the index of the first region that ends above a.
func (s *Space) firstAfter(a Address) int {
	i, _ := slices.BinarySearchFunc(s.regions, a, func(r Region, a Address) int {
		if a.Less(r.End) {
			return 1
		}
		return -1
	})
	return i
}

// firstFrom returns the index of the first region that starts at a or above.
func (s *Space) firstFrom(a Address) int {
	i, _ := slices.BinarySearchFunc(s.regions, a, func(r Region, a Address) int { return r.Start.Compare(a) })
	return i
}

// span returns the indexes [i,j) of the regions that overlap start..end.
func (s *Space) span(start, end Address) (i, j int) {
	i = s.firstAfter(start)
	return i, max(i, s.firstFrom(end))
}

// covered returns the first address in start..end that is not mapped, or end.
func (s *Space) covered(start, end Address) Address {
	i, j := s.span(start, end)
	at := start
	for _, r := range s.regions[i:j] {
		if at.Less(r.Start) {
			return at
		}
		at = r.End
	}
	if end.Less(at) {
		return end
	}
	return at
}

// cut returns copies of the regions in start..end, clipped to it.
func (s *Space) cut(start, end Address) []Region {
	i, j := s.span(start, end)
	pieces := slices.Clone(s.regions[i:j])
	if n := len(pieces); n > 0 {
		if pieces[0].Start.Less(start) {
			pieces[0].Start = start
		}
		if end.Less(pieces[n-1].End) {
			pieces[n-1].End = end
		}
	}
	return pieces
}

// splice replaces everything in start..end by pieces, which lie in it in
// ascending order, and joins neighbours with the same attributes.
func (s *Space) splice(start, end Address, pieces ...Region) {
	i, j := s.span(start, end)
	lo, hi := max(i-1, 0), min(j+1, len(s.regions))
	out := make([]Region, 0, len(pieces)+4)
	add := func(r Region) {
		if n := len(out); n > 0 && out[n-1].End == r.Start && out[n-1].Attrs == r.Attrs {
			out[n-1].End = r.End
			return
		}
		out = append(out, r)
	}
	for _, r := range s.regions[lo:i] {
		add(r)
	}
	if i < j && s.regions[i].Start.Less(start) {
		r := s.regions[i]
		r.End = start
		add(r)
	}
	for _, r := range pieces {
		add(r)
	}
	if i < j && end.Less(s.regions[j-1].End) {
		r := s.regions[j-1]
		r.Start = end
		add(r)
	}
	for _, r := range s.regions[j:hi] {
		add(r)
	}
	if s.borrowed {
		s.regions, s.borrowed = slices.Clone(s.regions), false
	}
	s.regions = slices.Replace(s.regions, lo, hi, out...)
}
