//go:build linux && amd64

package guestmem

import (
	"fmt"

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
	prot := Read
	if writable {
		prot |= Write
	}
	if exec {
		prot |= Exec
	}
	opts := options(prot)
	opts.User = false
	return s.mapUpper(va, s.kernel.Start+off, pages, opts)
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
		n := va >> windowShift
		if leaf := s.kernelLeaves[n]; leaf != nil {
			leaf[va>>pageShift%pagesPerWindow].Set(uintptr(gpa), opts)
		} else {
			s.kernelLeaves[n] = s.link(va, gpa, opts)
		}
		gpa += PageSize
	}
	return s.intact()
}
