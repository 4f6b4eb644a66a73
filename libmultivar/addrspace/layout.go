package addrspace

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

// PageSize is the size of a page in bytes.
const PageSize = 4096

// BandStart and BandEnd bound the band of addresses that slots are cut from.
// Linux on x86-64 maps position-independent programs above two thirds of the
// user address space and everything else near its end (ELF_ET_DYN_BASE in
// arch/x86/include/asm/elf.h, mmap_base in arch/x86/mm/mmap.c), so that the band
// is empty after exec.
const (
	BandStart = 0x2000_0000_0000
	BandEnd   = 0x5000_0000_0000

	// CommonStart and CommonEnd bound the addresses of what all variants have at
	// the same place. The kernel's own choices, ASan's and TSan's lie elsewhere.
	CommonStart = 0x6800_0000_0000
	CommonEnd   = 0x7800_0000_0000

	// commonSpread and commonBrkSpread are the ranges in bytes of the random
	// distances between CommonEnd and the stack, CommonStart and the heap.
	commonSpread    = 0x0400_0000_0000
	commonBrkSpread = 0x0100_0000_0000
	commonMmapLow   = CommonStart + commonBrkSpread + brkGrowth
)

// TaskSize is the end of the user address space of x86-64 with four-level page
// tables (TASK_SIZE_MAX in arch/x86/include/asm/page_64_types.h).
const TaskSize = 0x7fff_ffff_f000

// imageEnd is the end of the largest user address space that a kernel may use for what is
// moved or removed at the start of a program: that of arm64 with 48 bits. Programs
// have TaskSize on all architectures.
const imageEnd = 1 << 48

// SlotAlign divides the base and the size of every slot: whatever a program
// derives from the low 38 bits of its addresses is the same in all variants.
const SlotAlign = 1 << 38

// MaxVariants is the largest number of slots of a Layout.
const MaxVariants = 64

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30

	minSlot = (BandEnd - BandStart) / MaxVariants
)

// Offsets inside a slot. The smallest slot has 768 GiB.
const (
	programLow    = 32 * gib
	programSpread = 16 * gib
	brkLow        = 128 * gib
	brkSpread     = 16 * gib
	brkGrowth     = 160 * gib
	mmapLow       = brkLow + brkSpread + brkGrowth
	interpSpread  = 1 * gib
	stackReserve  = 64 * gib
	maxStackPad   = 8176
	// topSpread divides a slot's size to give the range, in bytes, of the random
	// distances at the slot's top: 16 GiB for the smallest slot.
	topSpread = 48
)

// ErrVariants is returned (wrapped) for a number of variants out of range.
var ErrVariants = errors.New("number of variants is out of range")

// Layout says which slot each variant has. It does not change and is safe for
// concurrent use. The zero value has no slots: every address is absolute.
type Layout struct {
	bases [MaxVariants]uint64
	n     int
	size  uint64
}

// NewLayout returns the layout for variants 0..n-1. Their order in the band and
// where the first slot starts are drawn from rng, the same for the same seed; a
// nil rng gives ascending order from the start of the band.
//
// Errors: ErrVariants when n is not in 1..MaxVariants.
func NewLayout(n int, rng *rand.Rand) (*Layout, error) {
	if n < 1 || n > MaxVariants {
		return nil, fmt.Errorf("%w: %d is not in 1..%d", ErrVariants, n, MaxVariants)
	}
	const band = BandEnd - BandStart
	count := uint64(n)
	// A quarter of the band is left for the random start where slots stay large
	// enough without it.
	size := max(band/4*3/count&^(SlotAlign-1), minSlot)
	l := &Layout{n: n, size: size}
	start := BandStart + below(rng, (band-count*size)/SlotAlign+1)*SlotAlign
	for v := range n {
		l.bases[v] = start + uint64(v)*size
	}
	for i := n - 1; i > 0; i-- {
		j := i
		if rng != nil {
			j = rng.IntN(i + 1)
		}
		l.bases[i], l.bases[j] = l.bases[j], l.bases[i]
	}
	return l, nil
}

// below returns a random number in [0,n), 0 when there is no generator.
func below(rng *rand.Rand, n uint64) uint64 {
	if rng == nil || n == 0 {
		return 0
	}
	return rng.Uint64N(n)
}

// Variants returns the number of slots.
func (l *Layout) Variants() int { return l.n }

// Size returns the size of every slot in bytes.
func (l *Layout) Size() uint64 { return l.size }

// Base returns the first address of variant v's slot, 0 when there is no such
// variant.
func (l *Layout) Base(v int) uint64 {
	if v < 0 || v >= l.n {
		return 0
	}
	return l.bases[v]
}

// InBand reports whether addr lies in the band. An absolute address in the band
// is in no variant's own slot; nothing may be mapped there.
func (l *Layout) InBand(addr uint64) bool { return addr >= BandStart && addr < BandEnd }

// Canonical returns the canonical form of address addr of variant v. Any 64-bit
// value is allowed; Real gives it back.
func (l *Layout) Canonical(v int, addr uint64) Address {
	base := l.Base(v)
	if base == 0 || addr < base || addr-base >= l.size {
		return Absolute(addr)
	}
	return Relative(addr - base)
}

// Real returns the address that a is in variant v. A relative address with an
// offset of Size is the end of v's slot, which no Canonical returns.
func (l *Layout) Real(v int, a Address) uint64 {
	if !a.rel {
		return a.off
	}
	return l.Base(v) + a.off
}

// Owner returns the variant whose slot contains addr.
func (l *Layout) Owner(addr uint64) (v int, ok bool) {
	for v := range l.n {
		if addr >= l.bases[v] && addr-l.bases[v] < l.size {
			return v, true
		}
	}
	return 0, false
}

// Offsets are the random positions in a slot, in bytes from its base. They are
// chosen anew at each exec and are the same in all variants. All but StackPad
// are multiples of PageSize.
type Offsets struct {
	// Program is where the lowest mapping of a position-independent program goes.
	Program uint64
	// Brk is where the heap starts.
	Brk uint64
	// MmapTop is the exclusive end of the window that free ranges are taken from,
	// from the top down.
	MmapTop uint64
	// InterpEnd is the exclusive end of the program interpreter.
	InterpEnd uint64
	// StackTop is the exclusive end of the stack's mapping when CommonTop is 0.
	StackTop uint64
	// CommonTop and CommonBrk, when not 0, are the absolute addresses, the same in
	// all variants, at which the stack ends and the heap starts, in place of
	// StackTop and Brk; between them is room for mappings that have the same
	// address in all variants (FindFreeCommon).
	CommonTop, CommonBrk uint64
	// StackPad is the number of unused bytes between the strings and the tables
	// of the stack block: a multiple of 16 up to 8176.
	StackPad uint64
}

// Random draws offsets for one exec from rng; a nil rng gives fixed ones.
func (l *Layout) Random(rng *rand.Rand) Offsets {
	const page = PageSize
	spread := l.size / topSpread / page
	var o Offsets
	o.Program = programLow + below(rng, programSpread/page)*page
	o.Brk = brkLow + below(rng, brkSpread/page)*page
	if l.size < minSlot {
		return o
	}
	o.StackTop = l.size - page - below(rng, spread-1)*page
	o.MmapTop = o.StackTop - stackReserve - below(rng, spread)*page
	o.InterpEnd = o.MmapTop - below(rng, interpSpread/page)*page
	o.StackPad = below(rng, maxStackPad/16+1) * 16
	return o
}

// RandomCommon is Random with the stack and the heap at addresses that all
// variants share.
func (l *Layout) RandomCommon(rng *rand.Rand) Offsets {
	o := l.Random(rng)
	if o.StackTop != 0 {
		o.CommonTop = CommonEnd - PageSize - below(rng, commonSpread/PageSize)*PageSize
		o.CommonBrk = CommonStart + below(rng, commonBrkSpread/PageSize)*PageSize
	}
	return o
}

// brk returns the start of the heap.
func (o Offsets) brk() Address {
	if o.CommonBrk != 0 {
		return Absolute(o.CommonBrk)
	}
	return Relative(o.Brk)
}

// stackEnd returns the exclusive end of the stack's mapping.
func (o Offsets) stackEnd() Address {
	if o.CommonTop != 0 {
		return Absolute(o.CommonTop)
	}
	return Relative(o.StackTop)
}

// valid reports whether o are offsets that Random can return for a slot of size
// bytes, whatever the random numbers.
func (o Offsets) valid(size uint64) bool {
	for _, off := range []uint64{o.Program, o.Brk, o.MmapTop, o.InterpEnd, o.StackTop} {
		if off%PageSize != 0 || off > size {
			return false
		}
	}
	if (o.CommonTop == 0) != (o.CommonBrk == 0) || o.CommonBrk%PageSize != 0 ||
		o.CommonBrk != 0 && (o.CommonBrk < CommonStart || o.CommonBrk >= CommonStart+commonBrkSpread) {
		return false
	}
	if o.CommonTop != 0 && (o.CommonTop%PageSize != 0 || o.CommonTop >= CommonEnd || o.CommonTop < CommonEnd-PageSize-commonSpread) {
		return false
	}
	return size >= minSlot && o.Program >= programLow && o.Program < programLow+programSpread &&
		o.Brk >= brkLow && o.Brk < brkLow+brkSpread && o.StackPad%16 == 0 && o.StackPad <= maxStackPad &&
		o.MmapTop > mmapLow+interpSpread && o.InterpEnd <= o.MmapTop && o.InterpEnd >= o.MmapTop-interpSpread &&
		o.StackTop > stackReserve && o.MmapTop <= o.StackTop-stackReserve
}
