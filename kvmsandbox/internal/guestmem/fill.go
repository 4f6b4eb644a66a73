//go:build linux && amd64

package guestmem

import (
	"fmt"
	"slices"

	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/ring0/pagetables"
)

// Cover gives guest-physical memory to all of a range, which is one that could be
// filled, and maps none of it.
//
// The slots that it returns are new. The caller adds them to the virtual machine before
// it calls [Space.Fill]: a processor that runs meanwhile would use the entries at once,
// and stop where it is given nothing. The error is one of [ErrInvalid], [ErrReserved],
// [ErrFull] and [ErrCorrupt].
func (s *Space) Cover(start, end uint64) ([]Slot, error) {
	if err := s.checkRange(start, end); err != nil || start == end {
		return nil, err
	}
	return s.giveSlots(start, end,
		func(n uint64) bool { return s.chunks[n] != nil },
		func(n, gpa uint64) { s.chunks[n] = &chunk{gpa: gpa} })
}

// giveSlots gives those chunks of a range a memory slot that have none, of which give is told with their
// guest-physical addresses.
func (s *Space) giveSlots(start, end uint64, has func(n uint64) bool, give func(n, gpa uint64)) ([]Slot, error) {
	first, last := start>>chunkShift, (end-1)>>chunkShift
	fresh := 0
	for n := first; n <= last; n++ {
		if !has(n) {
			fresh++
		}
	}
	if fresh > s.maxSlots-len(s.slots) {
		return nil, fmt.Errorf("guestmem: %w: %d of %d memory slots are in use, %d more are needed", ErrFull, len(s.slots), s.maxSlots, fresh)
	}
	before := len(s.slots)
	for n := first; n <= last; n++ {
		if !has(n) {
			give(n, s.addSlot(n))
		}
	}
	return slices.Clone(s.slots[before:]), nil
}

// Fill lets the program use its memory from start up to end as prot says,
// whatever it could do with it before; prot 0 is Clear. The range is aligned to
// pages, lies below [UserEnd] and has been covered.
//
// Fill costs a few nanoseconds per page, and about as much memory for tables as
// the windows in the range need. The error is one of [ErrInvalid], [ErrReserved],
// [ErrUncovered], [ErrFull], [ErrNeedsReset] and [ErrCorrupt].
func (s *Space) Fill(start, end uint64, prot Prot) error {
	switch {
	case prot == 0:
		return s.Clear(start, end)
	case prot&^(Read|Write|Exec) != 0:
		return fmt.Errorf("guestmem: %w: fill %#x-%#x, prot %#x", ErrInvalid, start, end, prot)
	}
	if err := s.checkRange(start, end); err != nil || start == end {
		return err
	}
	for n := start >> chunkShift; n <= (end-1)>>chunkShift; n++ {
		if s.chunks[n] == nil {
			return fmt.Errorf("guestmem: %w: fill %#x-%#x", ErrUncovered, start, end)
		}
	}
	if err := s.checkTables(start, end, func(n uint64) bool {
		return s.chunks[n*WindowSize>>chunkShift].windows[n%windowsPerChunk].leaf != nil
	}); err != nil {
		return err
	}
	for va := start; va < end; {
		next := min(end, (va|(WindowSize-1))+1)
		s.fillWindow(s.chunks[va>>chunkShift], va, next, options(prot))
		va = next
	}
	return s.intact()
}

// checkRange says whether a range may be the program's, and is small enough to be
// looked at window by window: one that would not fit into an empty Space is not.
func (s *Space) checkRange(start, end uint64) error {
	if !aligned(start) || !aligned(end) || start > end || end > UserEnd {
		return fmt.Errorf("guestmem: %w: %#x-%#x", ErrInvalid, start, end)
	}
	for _, r := range s.reserved {
		if max(start, r.Start) < min(end, r.End) {
			return fmt.Errorf("guestmem: %w: %#x-%#x", ErrReserved, start, end)
		}
	}
	if start < end && windowsIn(start, end) > uint64(s.arena.size()) {
		return fmt.Errorf("guestmem: %w: %d tables cannot map %#x-%#x", ErrFull, s.arena.size(), start, end)
	}
	return s.intact()
}

// checkTables says whether there are pages for the tables that a range lacks;
// hasLeaf tells which windows have a leaf table.
func (s *Space) checkTables(start, end uint64, hasLeaf func(window uint64) bool) error {
	need := 0
	lastDirectory, lastUpper := ^uint64(0), ^uint64(0) // neither is a number of a table
	for n := start >> windowShift; n <= (end-1)>>windowShift; n++ {
		if hasLeaf(n) {
			continue
		}
		need++
		if d := n >> (directoryShift - windowShift); d != lastDirectory {
			lastDirectory = d
			if _, ok := s.directories[d]; !ok {
				need++
			}
		}
		if u := n >> (rootShift - windowShift); u != lastUpper {
			lastUpper = u
			if _, ok := s.uppers[u]; !ok {
				need++
			}
		}
	}
	switch {
	case need == 0:
		return nil
	case len(s.arena.stale) > 0:
		// Where a table was taken out, the hypervisor may still see it: a new one
		// must not take its place.
		return fmt.Errorf("guestmem: %w: one has been begun", ErrNeedsReset)
	case need <= s.arena.free():
		return nil
	case s.empty > 0:
		return fmt.Errorf("guestmem: %w: %d tables are free, %d are empty, %d are needed", ErrNeedsReset, s.arena.free(), s.empty, need)
	}
	return fmt.Errorf("guestmem: %w: %d of %d tables are free, %d are needed", ErrFull, s.arena.free(), s.arena.size(), need)
}

// addSlot gives chunk n its memory slot, and returns where it is guest-physically.
func (s *Space) addSlot(n uint64) (gpa uint64) {
	start := n << chunkShift
	gpa = FirstGPA + uint64(len(s.slots))<<chunkShift
	s.slots = append(s.slots, Slot{
		Number: s.firstSlot + uint32(len(s.slots)),
		GPA:    gpa,
		HVA:    start,
		Size:   min(start+ChunkSize, UserEnd) - start,
	})
	return gpa
}

// fillWindow maps the part of a window of c from start up to end.
//
// Package pagetables makes the tables that are missing. It gets to map no more
// than a page: for an aligned range it would choose a large page, which could not
// be taken away in parts without a change of tables.
func (s *Space) fillWindow(c *chunk, start, end uint64, opts pagetables.MapOpts) {
	w := &c.windows[start>>windowShift%windowsPerChunk]
	gpa := c.gpa + start%ChunkSize
	if w.leaf == nil {
		w.leaf = s.link(start, gpa, opts)
		s.empty++
		s.setPresent(w, 1)
	}
	first, last := pagesOf(start, end)
	present := w.present
	for i := first; i < last; i++ {
		if !w.leaf[i].Valid() {
			present++
		}
		w.leaf[i].Set(uintptr(gpa), opts)
		gpa += PageSize
	}
	s.setPresent(w, present)
}

// link makes a leaf table for the window of va, with one page in it. There is none
// yet, and checkTables has found the pages for it.
func (s *Space) link(va, gpa uint64, opts pagetables.MapOpts) *pagetables.PTEs {
	d, u := va>>directoryShift, va>>rootShift
	free := s.arena.free() - 1
	if _, ok := s.directories[d]; !ok {
		free--
		if _, ok := s.uppers[u]; !ok {
			free--
		}
		s.uppers[u]++
	}
	s.directories[d]++
	s.tables.Map(hostarch.Addr(va), PageSize, opts, uintptr(gpa))
	if s.arena.free() != free {
		s.arena.corrupt = true
	}
	// Tables are made from the root down.
	return s.arena.last
}

// Clear takes the memory from start up to end from the program. The range is
// aligned to pages and may be as large as the lower half, all of it; what was never
// filled costs nothing. Tables stay where they are. The error is [ErrInvalid] or
// [ErrCorrupt].
func (s *Space) Clear(start, end uint64) error {
	if !aligned(start) || !aligned(end) || start > end || end > UserEnd+PageSize {
		return fmt.Errorf("guestmem: %w: clear %#x-%#x", ErrInvalid, start, end)
	}
	if start == end {
		return s.intact()
	}
	first, last := start>>chunkShift, (end-1)>>chunkShift
	if last-first < uint64(len(s.chunks)) {
		for n := first; n <= last; n++ {
			if c := s.chunks[n]; c != nil {
				s.clearChunk(c, n, start, end)
			}
		}
	} else {
		for n, c := range s.chunks {
			if first <= n && n <= last {
				s.clearChunk(c, n, start, end)
			}
		}
	}
	return s.intact()
}

// clearChunk clears what of the range lies in chunk n.
func (s *Space) clearChunk(c *chunk, n, start, end uint64) {
	start = max(start, n<<chunkShift)
	end = min(end, (n+1)<<chunkShift)
	for va := start; va < end; {
		next := min(end, (va|(WindowSize-1))+1)
		if w := &c.windows[va>>windowShift%windowsPerChunk]; w.present > 0 {
			first, last := pagesOf(va, next)
			present := w.present
			for i := first; i < last; i++ {
				if w.leaf[i].Valid() {
					present--
				}
				w.leaf[i].Clear()
			}
			s.setPresent(w, present)
		}
		va = next
	}
}

// setPresent keeps the books about w, which has a leaf table with n entries.
func (s *Space) setPresent(w *window, n int) {
	switch {
	case w.present == 0 && n > 0:
		s.filled++
		s.empty--
	case w.present > 0 && n == 0:
		s.filled--
		s.empty++
	}
	w.present = n
	if n < 0 || n > pagesPerWindow {
		s.arena.corrupt = true
	}
}

// pagesOf is the part of a leaf table, from first up to last, that maps a range
// which lies in one window and is not empty.
func pagesOf(start, end uint64) (first, last int) {
	first = int(start >> pageShift % pagesPerWindow)
	return first, first + int((end-start)>>pageShift)
}

// windowsIn is the number of windows that a range touches that is not empty.
func windowsIn(start, end uint64) uint64 {
	return (end-1)>>windowShift - start>>windowShift + 1
}

func options(prot Prot) pagetables.MapOpts {
	return pagetables.MapOpts{
		AccessType: hostarch.AccessType{Read: true, Write: prot&Write != 0, Execute: prot&Exec != 0},
		User:       true,
	}
}
