//go:build linux && amd64

package guestmem

import (
	"unsafe"

	"gvisor.dev/gvisor/pkg/ring0/pagetables"
)

// onPage says whether memory starts on a page.
func onPage(memory []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(memory)))%PageSize == 0
}

// ptesOf is memory, which is aligned to pages, seen as page tables.
func ptesOf(memory []byte) []pagetables.PTEs {
	return unsafe.Slice((*pagetables.PTEs)(unsafe.Pointer(unsafe.SliceData(memory))), len(memory)/PageSize)
}

// index is the number of the page that ptes, which is one of a's, points to.
func (a *arena) index(ptes *pagetables.PTEs) int {
	first := unsafe.Pointer(unsafe.SliceData(a.pages))
	return int((uintptr(unsafe.Pointer(ptes)) - uintptr(first)) / PageSize)
}
