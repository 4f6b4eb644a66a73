//go:build linux && amd64

package loader

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/multivar/multivar/frontend"
)

// Placed is a Plan at its final addresses.
type Placed struct {
	// Segments are ascending and do not overlap.
	Segments []Segment
	Limits   Limits
}

// Place moves the plan to where pl wants it. What pl neither moves nor removes
// stays; ranges of pl are at provisional addresses but for Move.To. A move may
// cover several segments, or a part of one. The plan does not change.
//
// An error means that pl is not one for this plan: ranges that cannot be mapped,
// overlap or tear the program, its interpreter or the stack apart, a program that
// is not movable and moves, a start outside of program and interpreter, a stack
// that is not in the stack's segment.
func (p *Plan) Place(pl *frontend.Placement) (*Placed, error) {
	m := mover{left: slices.Clone(p.Segments), deltas: map[frontend.Region]uint64{}}
	for _, u := range pl.Unmap {
		if err := checkRange(u.From, u.Size); err != nil {
			return nil, err
		}
		m.left = replace(m.left, u.From, u.From+u.Size)
	}
	for i, mv := range pl.Moves {
		if slices.ContainsFunc(pl.Moves[:i], func(b frontend.Move) bool {
			return mv.From < b.From+b.Size && b.From < mv.From+mv.Size
		}) {
			return nil, fmt.Errorf("placement moves what is at %#x twice", mv.From)
		}
		if err := m.move(mv); err != nil {
			return nil, err
		}
	}
	segments, err := m.finish()
	if err != nil {
		return nil, err
	}
	delta := m.deltas[frontend.RegionProgram]
	if delta != 0 && !p.Image.Movable {
		return nil, errors.New("placement moves a program that is linked to fixed addresses")
	}
	out := &Placed{Segments: segments, Limits: p.Limits.moved(delta)}
	if pl.Brk != 0 {
		out.Limits.Brk = pl.Brk
	}
	if err := out.check(pl); err != nil {
		return nil, err
	}
	return out, nil
}

// check verifies that the program starts in itself and has a stack.
func (p *Placed) check(pl *frontend.Placement) error {
	starts, stack := false, false
	for i := range p.Segments {
		g := &p.Segments[i]
		if g.Region != frontend.RegionStack {
			starts = starts || pl.IP >= g.Addr && pl.IP < g.End()
		} else if pl.SP >= g.Addr && pl.SP <= g.End() {
			stack = uint64(len(pl.Stack)) <= g.End()-pl.SP
		}
	}
	switch {
	case !starts:
		return fmt.Errorf("placement starts at %#x, where no program is", pl.IP)
	case !stack:
		return fmt.Errorf("placement writes %d bytes of stack at %#x, where no stack is", len(pl.Stack), pl.SP)
	}
	return nil
}

// mover moves segments.
type mover struct {
	left, moved []Segment
	// deltas are how far the regions move, in bytes modulo 1<<64.
	deltas map[frontend.Region]uint64
}

// move carries out one move.
func (m *mover) move(mv frontend.Move) error {
	if err := checkRange(mv.From, mv.Size); err != nil {
		return err
	}
	if err := checkRange(mv.To, mv.Size); err != nil {
		return err
	}
	from, to := span(m.left, mv.From, mv.From+mv.Size)
	for i := from; i < to; i++ {
		g := &m.left[i]
		part := g.part(max(g.Addr, mv.From), min(g.End(), mv.From+mv.Size))
		if err := m.add(part, mv.To-mv.From); err != nil {
			return err
		}
	}
	m.left = replace(m.left, mv.From, mv.From+mv.Size)
	return nil
}

// add records a segment that moves by delta bytes, modulo 1<<64.
func (m *mover) add(g Segment, delta uint64) error {
	if known, ok := m.deltas[g.Region]; ok && known != delta {
		return fmt.Errorf("placement tears apart what %#x belongs to", g.Addr)
	}
	m.deltas[g.Region] = delta
	g.Addr += delta
	if g.ZeroFrom != 0 {
		g.ZeroFrom += delta
	}
	m.moved = append(m.moved, g)
	return nil
}

// finish returns all segments at their final addresses.
func (m *mover) finish() ([]Segment, error) {
	for _, g := range m.left {
		if err := m.add(g, 0); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(m.moved, func(a, b Segment) int { return cmp.Compare(a.Addr, b.Addr) })
	for i := 1; i < len(m.moved); i++ {
		if m.moved[i].Addr < m.moved[i-1].End() {
			return nil, fmt.Errorf("placement puts two mappings at %#x", m.moved[i].Addr)
		}
	}
	return m.moved, nil
}

// checkRange verifies that a range can be mapped.
func checkRange(start, size uint64) error {
	if start%pageSize != 0 || size%pageSize != 0 || size == 0 || size > TaskSize || start > TaskSize-size {
		return fmt.Errorf("placement has the range %#x+%#x, which cannot be mapped", start, size)
	}
	return nil
}
