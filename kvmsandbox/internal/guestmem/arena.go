//go:build linux && amd64

package guestmem

import "gvisor.dev/gvisor/pkg/ring0/pagetables"

// minArenaPages lets one page be mapped in either half: the spare page, the root
// and three tables below it for each.
const minArenaPages = 8

// arena hands out pages of shared memory as page tables. It is the Allocator of
// package pagetables, whose calls cannot fail: the caller sees to it beforehand
// that there are pages. If a call cannot be answered all the same, the tables were
// written to by somebody else, and the answer is the spare page.
type arena struct {
	pages   []pagetables.PTEs
	gpa     uint64
	state   []pageState
	next    int   // pages from here on were never used
	freed   []int // pages that were used and may be used again
	stale   []int // pages that may be used again after a reset
	last    *pagetables.PTEs
	corrupt bool
}

type pageState uint8

const (
	pageFree pageState = iota
	pageUsed
	pageStale
)

// sparePage is never part of the tables that the machine uses.
const sparePage = 0

func newArena(memory []byte, gpa uint64) *arena {
	pages := ptesOf(memory)
	a := &arena{pages: pages, gpa: gpa, state: make([]pageState, len(pages)), next: sparePage + 1}
	clear(pages[sparePage][:])
	return a
}

// size is the number of pages that can be tables.
func (a *arena) size() int { return len(a.pages) - 1 }

// free is the number of pages that NewPTEs has to give.
func (a *arena) free() int { return len(a.pages) - a.next + len(a.freed) }

// recycle makes the stale pages free.
func (a *arena) recycle() {
	for _, n := range a.stale {
		a.state[n] = pageFree
	}
	a.freed = append(a.freed, a.stale...)
	a.stale = a.stale[:0]
}

func (a *arena) spare() *pagetables.PTEs {
	a.corrupt = true
	p := &a.pages[sparePage]
	clear(p[:])
	return p
}

// NewPTEs implements pagetables.Allocator. The page is empty.
func (a *arena) NewPTEs() *pagetables.PTEs {
	var n int
	switch {
	case len(a.freed) > 0:
		n = a.freed[len(a.freed)-1]
		a.freed = a.freed[:len(a.freed)-1]
	case a.next < len(a.pages):
		n = a.next
		a.next++
	default:
		return a.spare()
	}
	a.state[n] = pageUsed
	a.last = &a.pages[n]
	clear(a.last[:])
	return a.last
}

// PhysicalFor implements pagetables.Allocator.
func (a *arena) PhysicalFor(ptes *pagetables.PTEs) uintptr {
	return uintptr(a.gpa) + uintptr(a.index(ptes))*PageSize
}

// LookupPTEs implements pagetables.Allocator.
func (a *arena) LookupPTEs(physical uintptr) *pagetables.PTEs {
	n := (uint64(physical) - a.gpa) / PageSize
	if uint64(physical) < a.gpa || n >= uint64(len(a.pages)) || a.state[n] != pageUsed {
		return a.spare()
	}
	return &a.pages[n]
}

// FreePTEs implements pagetables.Allocator. The page becomes stale.
func (a *arena) FreePTEs(ptes *pagetables.PTEs) {
	n := a.index(ptes)
	if a.state[n] != pageUsed {
		a.corrupt = true
		return
	}
	a.state[n] = pageStale
	a.stale = append(a.stale, n)
}

// Recycle implements pagetables.Allocator. It does nothing: only ResetDone knows
// when stale pages may be used again.
func (a *arena) Recycle() {}
