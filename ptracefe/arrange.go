//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"errors"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
)

// tempStart is where the search for a temporary area begins, above the lowest
// addresses that a system may reserve (vm.mmap_min_addr).
const tempStart = 1 << 24

func overlaps(a, b, aSize, bSize uint64) bool { return a < b+bSize && b < a+aSize }

// checkRange says whether a range is page aligned and lies in the user part of
// the address space.
func checkRange(start, size uint64) error {
	if start%pageSize != 0 || size%pageSize != 0 || size == 0 || size > userEnd || start > userEnd-size {
		return fmt.Errorf("range %#x+%#x cannot be mapped", start, size)
	}
	return nil
}

// pieces cuts moves at the borders of mappings, because mremap(2) takes one
// mapping at a time.
func pieces(moves []frontend.Move, vmas []procmaps.VMA) ([]frontend.Move, error) {
	var all []frontend.Move
	for _, m := range moves {
		if err := checkRange(m.From, m.Size); err != nil {
			return nil, err
		}
		if err := checkRange(m.To, m.Size); err != nil {
			return nil, err
		}
		if m.From == m.To {
			continue
		}
		for _, v := range vmas {
			from, to := max(m.From, v.Start), min(m.From+m.Size, v.End)
			if from < to {
				all = append(all, frontend.Move{From: from, To: from - m.From + m.To, Size: to - from})
			}
		}
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if overlaps(a.To, b.To, a.Size, b.Size) {
				return nil, fmt.Errorf("two mappings shall move to %#x", max(a.To, b.To))
			}
		}
	}
	return all, nil
}

// arrange moves and unmaps. It returns the ranges that are to be unmapped after
// the last call, because they hold the syscall instruction.
//
// A target that is occupied is never overwritten: what moves away from there
// goes to a temporary area first, what is to be unmapped goes before, and
// anything else is an error.
func (in *injector) arrange(p *frontend.Placement, vmas []procmaps.VMA) (last []frontend.Move, err error) {
	moves, err := pieces(p.Moves, vmas)
	if err != nil {
		return nil, err
	}
	occupied := func(m frontend.Move) bool {
		for _, v := range vmas {
			if overlaps(m.To, v.Start, m.Size, v.End-v.Start) {
				return true
			}
		}
		return false
	}
	temp := uint64(tempStart)
	for i := range moves {
		m := &moves[i]
		if !occupied(*m) {
			continue
		}
		if temp, err = freeRange(temp, m.Size, vmas, moves); err != nil {
			return nil, err
		}
		if err := in.remap(frontend.Move{From: m.From, To: temp, Size: m.Size}); err != nil {
			return nil, err
		}
		m.From = temp
		temp += m.Size
	}
	gate := in.gate
	for _, u := range p.Unmap {
		if err := checkRange(u.From, u.Size); err != nil {
			return nil, err
		}
		if overlaps(u.From, gate, u.Size, syscallSize) {
			last = append(last, u)
			continue
		}
		if err := in.must("unmap", unix.SysMunmap, u.From, u.Size); err != nil {
			return nil, err
		}
	}
	left, err := procmaps.Read(in.t.id.Host)
	if err != nil {
		return nil, err
	}
	for _, m := range moves {
		for _, v := range left {
			if overlaps(m.To, v.Start, m.Size, v.End-v.Start) && !movesAway(v, moves) {
				return nil, fmt.Errorf("%#x+%#x is occupied by %q", m.To, m.Size, v.Path)
			}
		}
		if err := in.remap(m); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// movesAway says whether all of v is at its temporary place, or will have moved
// before anything is put there.
func movesAway(v procmaps.VMA, moves []frontend.Move) bool {
	for _, m := range moves {
		if m.From <= v.Start && v.End <= m.From+m.Size {
			return true
		}
	}
	return false
}

// remap moves one mapping to a free place. The syscall instruction moves along.
func (in *injector) remap(m frontend.Move) error {
	err := in.must("move mapping", unix.SysMremap, m.From, m.Size, m.Size,
		unix.MremapMayMove|unix.MremapFixed, m.To)
	if err != nil {
		return fmt.Errorf("%#x to %#x: %w", m.From, m.To, err)
	}
	if in.gate >= m.From && in.gate-m.From < m.Size {
		in.gate = in.gate - m.From + m.To
	}
	return nil
}

// freeRange returns the first place from start on that no mapping and no target
// occupies.
func freeRange(start, size uint64, vmas []procmaps.VMA, moves []frontend.Move) (uint64, error) {
	for at := start; checkRange(at, size) == nil; {
		next := at
		for _, v := range vmas {
			if overlaps(at, v.Start, size, v.End-v.Start) {
				next = max(next, v.End)
			}
		}
		for _, m := range moves {
			if overlaps(at, m.To, size, m.Size) {
				next = max(next, m.To+m.Size)
			}
			if overlaps(at, m.From, size, m.Size) {
				next = max(next, m.From+m.Size)
			}
		}
		if next == at {
			return at, nil
		}
		at = next
	}
	return 0, errors.New("no room for a temporary mapping")
}
