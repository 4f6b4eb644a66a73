//go:build linux && amd64

package guestmem

import (
	"fmt"
	"slices"

	"gvisor.dev/gvisor/pkg/ring0/pagetables"
)

// MapKernel maps pages of the machine's own kernel at va in the upper half, out of
// the program's reach. They lie from byte off on in Config.Tables, within its
// kernel pages; the caller writes what is in them. A page may be mapped at several
// addresses. A mapping stays for the life of the Space, so an address can be mapped
// only once. The error is one of [ErrInvalid], [ErrFull], [ErrNeedsReset] and
// [ErrCorrupt], and nothing was changed then.
func (s *Space) MapKernel(va, off uint64, pages int, writable, exec bool) error {
	size := s.kernel.End - s.kernel.Start
	if pages <= 0 || !aligned(off) || off > size || uint64(pages) > (size-off)/PageSize {
		return fmt.Errorf("guestmem: %w: %d pages from %#x on, kernel pages end at %#x", ErrInvalid, pages, off, size)
	}
	return s.mapUpper(va, s.kernel.Start+off, pages, kernelOptions(writable, exec))
}

// MapGate maps one page at va in the upper half that the program may use as prot
// says. It is at guest-physical address gpa, which is below [FirstGPA], not in
// Config.Tables, and the caller's business: a memory slot there decides what happens
// when the program uses the page. Otherwise MapGate is as MapKernel.
func (s *Space) MapGate(va, gpa uint64, prot Prot) error {
	if !aligned(gpa) || gpa >= FirstGPA || (gpa >= s.all.Start && gpa < s.all.End) || prot == 0 || prot&^(Read|Write|Exec) != 0 {
		return fmt.Errorf("guestmem: %w: gate at guest-physical %#x, prot %#x", ErrInvalid, gpa, prot)
	}
	return s.mapUpper(va, gpa, 1, options(prot))
}

// MapHost lets the machine's own kernel have memory of the process at its own address, out of the
// program's reach: a range, aligned to pages, in one of Config.Reserved that is aligned to chunks. What the processor finds there
// is what the process has mapped at the moment. Mapped it stays for the life of the Space, and parts that
// are so already keep their rights.
//
// The slots that it returns are new: until the caller has added them to the virtual machine, nothing of
// the range may be used. The error is one of [ErrInvalid], [ErrFull], [ErrNeedsReset] and [ErrCorrupt],
// and nothing was changed then.
func (s *Space) MapHost(start, end uint64, writable, exec bool) ([]Slot, error) {
	if err := s.intact(); err != nil {
		return nil, err
	}
	inside := slices.ContainsFunc(s.reserved, func(r Range) bool {
		return start >= r.Start && end <= r.End && r.Start%ChunkSize == 0 && r.End%ChunkSize == 0
	})
	if !inside || !aligned(start) || !aligned(end) || start >= end || end > UserEnd {
		return nil, fmt.Errorf("guestmem: %w: %#x-%#x is not reserved", ErrInvalid, start, end)
	}
	if err := s.checkTables(start, end, func(n uint64) bool { return s.kernelLeaves[n] != nil }); err != nil {
		return nil, err
	}
	slots, err := s.giveSlots(start, end,
		func(n uint64) bool { _, ok := s.hosted[n]; return ok },
		func(n, gpa uint64) { s.hosted[n] = gpa })
	if err != nil {
		return nil, err
	}
	opts := kernelOptions(writable, exec)
	for va := start; va < end; va += PageSize {
		if leaf := s.kernelLeaves[va>>windowShift]; leaf == nil || !leaf[va>>pageShift%pagesPerWindow].Valid() {
			s.mapKernelPage(va, s.hosted[va>>chunkShift]+va%ChunkSize, opts)
		}
	}
	return slots, s.intact()
}

// kernelOptions are those of pages that the program cannot use.
func kernelOptions(writable, exec bool) pagetables.MapOpts {
	prot := Read
	if writable {
		prot |= Write
	}
	if exec {
		prot |= Exec
	}
	opts := options(prot)
	opts.User = false
	return opts
}

// mapKernelPage maps a page that is not mapped, for which there are tables.
func (s *Space) mapKernelPage(va, gpa uint64, opts pagetables.MapOpts) {
	n := va >> windowShift
	if leaf := s.kernelLeaves[n]; leaf != nil {
		leaf[va>>pageShift%pagesPerWindow].Set(uintptr(gpa), opts)
	} else {
		s.kernelLeaves[n] = s.link(va, gpa, opts)
	}
}

func (s *Space) mapUpper(va, gpa uint64, pages int, opts pagetables.MapOpts) error {
	if err := s.intact(); err != nil {
		return err
	}
	// The last page of all is left out, so that ends of ranges do not overflow.
	if !aligned(va) || va < KernelStart || uint64(pages) > (^uint64(0)-va)/PageSize {
		return fmt.Errorf("guestmem: %w: %d pages at %#x in the upper half", ErrInvalid, pages, va)
	}
	end := va + uint64(pages)*PageSize
	for a := va; a < end; a += PageSize {
		if _, _, ok := s.Lookup(a); ok {
			return fmt.Errorf("guestmem: %w: %#x is mapped already", ErrInvalid, a)
		}
	}
	err := s.checkTables(va, end, func(n uint64) bool { return s.kernelLeaves[n] != nil })
	if err != nil {
		return err
	}
	for ; va < end; va += PageSize {
		s.mapKernelPage(va, gpa, opts)
		gpa += PageSize
	}
	return s.intact()
}
