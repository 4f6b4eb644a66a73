//go:build linux && amd64

package guestmem

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"

	"gvisor.dev/gvisor/pkg/cpuid"
	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/ring0/pagetables"
)

// Sizes and bounds, in bytes.
const (
	// PageSize is the size of a page and of a page table.
	PageSize = 1 << pageShift
	// WindowSize is what one leaf table maps.
	WindowSize = 1 << windowShift
	// ChunkSize is the size and alignment of the pieces that get memory slots.
	ChunkSize = 1 << chunkShift
	// UserEnd is the end of the addresses that a program can use. The last page of
	// the lower half is no program's in Linux (TASK_SIZE_MAX in
	// arch/x86/include/asm/page_64_types.h), and no slot may reach into it.
	UserEnd = 1<<47 - PageSize
	// KernelStart is the first address of the upper half.
	KernelStart = 0xffff_8000_0000_0000
	// FirstGPA is the guest-physical address of the first chunk.
	FirstGPA = 4 << 30
	// EndGPA is the end of guest-physical memory: processors exist that have 39
	// bits of it.
	EndGPA = 1 << 39

	pageShift      = 12
	windowShift    = 21
	chunkShift     = 26
	directoryShift = 30
	rootShift      = 39

	pagesPerWindow  = WindowSize / PageSize
	windowsPerChunk = ChunkSize / WindowSize
	maxChunks       = (EndGPA - FirstGPA) / ChunkSize
)

// Errors that callers decide by. They come wrapped.
var (
	// ErrInvalid says that an argument is out of bounds or not aligned to pages.
	ErrInvalid = errors.New("invalid argument")
	// ErrReserved says that a range touches memory that is not the program's.
	ErrReserved = errors.New("range is reserved")
	// ErrFull says that guest-physical memory, memory slots or space for tables is
	// used up. Nothing was changed.
	ErrFull = errors.New("guest memory is full")
	// ErrUncovered says that a range has no guest-physical memory yet.
	ErrUncovered = errors.New("range is not covered")
	// ErrNeedsReset says that there may be room once tables that run empty have
	// been reset; see [Space.BeginReset]. Nothing was changed.
	ErrNeedsReset = errors.New("tables need a reset")
	// ErrCorrupt says that somebody else wrote to the tables. The Space is of no
	// more use.
	ErrCorrupt = errors.New("page tables are corrupt")
)

// Prot says what a program may do with a page. The values are those of
// PROT_READ, PROT_WRITE and PROT_EXEC in mmap(2). What may be written or executed
// may be read too, as the processor knows it no other way.
type Prot uint8

// The bits of a Prot.
const (
	Read  Prot = 1
	Write Prot = 2
	Exec  Prot = 4
)

// Range is the memory from Start up to End, which is not part of it.
type Range struct {
	Start, End uint64
}

// Slot is a memory slot of the virtual machine, as KVM_SET_USER_MEMORY_REGION
// takes it: Size bytes of guest-physical memory at GPA that are the process's
// memory at HVA. All are aligned to pages.
type Slot struct {
	Number uint32
	GPA    uint64
	HVA    uint64
	Size   uint64
}

// Config says what a Space is made of.
type Config struct {
	// Tables is memory for the kernel's pages and, behind these, for page tables.
	// It is aligned to pages and in use until the Space is dropped; what it
	// contains at first does not matter, but the kernel's pages are not touched.
	// The caller gives it a memory slot at TablesGPA.
	Tables []byte
	// TablesGPA is the guest-physical address of Tables, a multiple of [PageSize].
	// All of Tables lies below [FirstGPA].
	TablesGPA uint64
	// KernelPages is the number of pages at the start of Tables that
	// [Space.MapKernel] can map. The others are page tables.
	KernelPages int
	// Reserved are the ranges of addresses that are never mapped for the program,
	// aligned to pages. A memory slot may cover them all the same.
	Reserved []Range
	// Slots get numbers from FirstSlot on that are smaller than SlotLimit, as
	// KVM_CAP_NR_MEMSLOTS tells it.
	FirstSlot, SlotLimit uint32
}

// Space is the guest address space of one virtual machine. Its methods must not be
// called concurrently; the machine may run meanwhile.
type Space struct {
	arena    *arena
	tables   *pagetables.PageTables
	kernel   Range // guest-physical, of the kernel's pages
	all      Range // guest-physical, of all of Config.Tables
	reserved []Range

	slots     []Slot
	firstSlot uint32
	maxSlots  int

	// chunks are those that have a slot, by address >> chunkShift.
	chunks map[uint64]*chunk
	// hosted are the guest-physical addresses of the chunks that the machine's own kernel has, by
	// address >> chunkShift. Each has a slot, too.
	hosted map[uint64]uint64
	// kernelLeaves are the leaf tables of the upper half, and of what MapHost maps, by address >>
	// windowShift.
	kernelLeaves map[uint64]*pagetables.PTEs
	// directories are the tables that point to leaf tables, by address >>
	// directoryShift, each with the number of leaf tables. uppers are those that
	// point to directories, by address >> rootShift, with the number of these.
	directories, uppers map[uint64]int

	filled int // windows that have pages
	empty  int // windows that have a leaf table and no pages
}

// chunk is ChunkSize of the program's addresses.
type chunk struct {
	gpa     uint64
	windows [windowsPerChunk]window
}

// window is what one leaf table maps.
type window struct {
	leaf    *pagetables.PTEs // nil if there is none
	present int              // entries in it that map a page
}

// initialise readies the packages below, whose state is global.
var initialise = sync.OnceFunc(func() {
	// They would complain on standard error that an ordinary user's monitor cannot
	// read its own auxiliary vector, which nobody asked for.
	log.SetTarget(&log.Writer{Next: io.Discard})
	cpuid.Initialize()
	pagetables.DisableLA57()
})

// New makes an address space in which nothing is mapped. Config.Tables is the
// Space's from then on, and is shared with the process that owns the virtual
// machine.
func New(cfg Config) (*Space, error) {
	size := uint64(len(cfg.Tables))
	switch {
	case !aligned(size) || !aligned(cfg.TablesGPA) || !onPage(cfg.Tables):
		return nil, fmt.Errorf("guestmem: %w: tables are not aligned to pages", ErrInvalid)
	case cfg.TablesGPA > FirstGPA || size > FirstGPA-cfg.TablesGPA:
		return nil, fmt.Errorf("guestmem: %w: tables of %#x bytes at %#x reach beyond %#x", ErrInvalid, size, cfg.TablesGPA, uint64(FirstGPA))
	case cfg.KernelPages < 0 || uint64(cfg.KernelPages) > size/PageSize || size/PageSize-uint64(cfg.KernelPages) < minArenaPages:
		return nil, fmt.Errorf("guestmem: %w: %d kernel pages in %#x bytes leave no room for tables", ErrInvalid, cfg.KernelPages, size)
	case cfg.FirstSlot > cfg.SlotLimit:
		return nil, fmt.Errorf("guestmem: %w: first slot %d, limit %d", ErrInvalid, cfg.FirstSlot, cfg.SlotLimit)
	}
	for _, r := range cfg.Reserved {
		if !aligned(r.Start) || !aligned(r.End) || r.Start > r.End {
			return nil, fmt.Errorf("guestmem: %w: reserved range %#x-%#x", ErrInvalid, r.Start, r.End)
		}
	}
	initialise()
	kernelSize := uint64(cfg.KernelPages) * PageSize
	a := newArena(cfg.Tables[kernelSize:], cfg.TablesGPA+kernelSize)
	return &Space{
		arena:        a,
		tables:       pagetables.New(a),
		kernel:       Range{cfg.TablesGPA, cfg.TablesGPA + kernelSize},
		all:          Range{cfg.TablesGPA, cfg.TablesGPA + size},
		reserved:     slices.Clone(cfg.Reserved),
		firstSlot:    cfg.FirstSlot,
		maxSlots:     min(int(cfg.SlotLimit-cfg.FirstSlot), maxChunks),
		chunks:       make(map[uint64]*chunk),
		hosted:       make(map[uint64]uint64),
		kernelLeaves: make(map[uint64]*pagetables.PTEs),
		directories:  make(map[uint64]int),
		uppers:       make(map[uint64]int),
	}, nil
}

// CR3 is what the machine's processors have in their register CR3. The tables have
// four levels and use NX, so CR4.LA57 is 0 and EFER.NXE is 1.
func (s *Space) CR3() uint64 { return s.tables.CR3(false, 0) }

// Slots are the memory slots of all chunks in the order in which they were handed
// out. The slice is the caller's.
func (s *Space) Slots() []Slot { return slices.Clone(s.slots) }

// Filled yields the address of each window that has pages of the program, in
// ascending order. The Space must not be changed meanwhile.
func (s *Space) Filled() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, n := range slices.Sorted(maps.Keys(s.chunks)) {
			for i, w := range s.chunks[n].windows {
				if w.present != 0 && !yield(n<<chunkShift+uint64(i)<<windowShift) {
					return
				}
			}
		}
	}
}

// Lookup tells what the tables say about address va of either half: the
// guest-physical address of that very byte and what may be done with its page. The
// processor's view may be older; see the package's comment. ok is false if nothing
// is mapped there.
func (s *Space) Lookup(va uint64) (gpa uint64, prot Prot, ok bool) {
	_, page, size, opts := s.tables.Lookup(hostarch.Addr(va), false)
	if size == 0 {
		return 0, 0, false
	}
	prot = Read
	if opts.AccessType.Write {
		prot |= Write
	}
	if opts.AccessType.Execute {
		prot |= Exec
	}
	return uint64(page) + va%uint64(size), prot, true
}

// Stats counts what a Space uses.
type Stats struct {
	Chunks  int // chunks that have a memory slot
	Windows int // windows that have pages
	Tables  int // pages that can be tables, of which:
	Free    int // not in use
	Empty   int // leaf tables without entries that wait for use in the same place
	Stale   int // taken out, waiting for [Space.ResetDone]
}

// Stats counts what s uses at the moment.
func (s *Space) Stats() Stats {
	return Stats{
		Chunks:  len(s.chunks),
		Windows: s.filled,
		Tables:  s.arena.size(),
		Free:    s.arena.free(),
		Empty:   s.empty,
		Stale:   len(s.arena.stale),
	}
}

// intact says whether the tables are as this package left them.
func (s *Space) intact() error {
	if s.arena.corrupt {
		return fmt.Errorf("guestmem: %w", ErrCorrupt)
	}
	return nil
}

func aligned(n uint64) bool { return n%PageSize == 0 }
