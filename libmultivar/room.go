package libmultivar

import (
	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
)

// stubsLabel names the ranges that are the front-end's in a process's address space.
const stubsLabel = "stubs"

// reach is how far from its stubs code may be, in bytes: what a jump with a distance of 32
// bits reaches, less what the ranges themselves take.
const reach = 1<<31 - 1<<27

// leaveRoom reserves, in a fresh address space of variant v, what the front-end wants beside
// the code: one range where mappings go to and one below the program, each at the same
// canonical address in all variants.
func (e *Engine) leaveRoom(v int, place *frontend.Placement, space *addrspace.Space) {
	size := e.caps.Stubs
	if size == 0 || e.agents == nil {
		return
	}
	low, far := addrspace.Address{}, false
	for r := range space.All() {
		if r.Kind == addrspace.Program {
			low, far = r.Start, true
			break
		}
	}
	if at, ok := space.FindFree(size, pageSize); ok {
		place.Stubs[0] = e.occupyStubs(v, space, at, size)
		if d, same := at.Sub(low); same && (d < reach || -d < reach) {
			far = false
		}
	}
	if far && low.Offset() >= size+lowestStubs && space.Free(low.Add(-size-pageSize), size) {
		place.Stubs[1] = e.occupyStubs(v, space, low.Add(-size-pageSize), size)
	}
}

// lowestStubs is below what programs cannot map (vm.mmap_min_addr).
const lowestStubs = 1 << 17

func (e *Engine) occupyStubs(v int, space *addrspace.Space, at addrspace.Address, size uint64) uint64 {
	if err := space.Map(at, size, addrspace.Attrs{Kind: addrspace.Reserved, Label: stubsLabel}); err != nil {
		e.note(err)
		return 0
	}
	return e.layout.Real(v, at)
}
