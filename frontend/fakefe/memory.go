package fakefe

import (
	"cmp"
	"slices"

	"github.com/multivar/multivar/frontend"
)

const (
	pageSize = 4096
	// growth is how far below its start a stack grows by being touched.
	growth = 8 << 20

	protRead  = 1
	protWrite = 2
	protExec  = 4
)

type page [pageSize]byte

// area is one mapping.
type area struct {
	frontend.Mapping
	grows, dontFork bool
}

// space is the memory of one process. Pages come into being when they are
// written; those of shared areas when the area is mapped, so that both sides of
// a fork have them.
type space struct {
	areas []area
	pages map[uint64]*page
}

func newSpace() *space { return &space{pages: make(map[uint64]*page)} }

// fork returns a child's copy.
func (m *space) fork() *space {
	c := newSpace()
	for _, a := range m.areas {
		if !a.dontFork {
			c.areas = append(c.areas, a)
		}
	}
	for at, p := range m.pages {
		a := c.find(at)
		switch {
		case a == nil:
		case a.Shared:
			c.pages[at] = p
		default:
			n := *p
			c.pages[at] = &n
		}
	}
	return c
}

// find returns the area that contains addr.
func (m *space) find(addr uint64) *area {
	i, ok := slices.BinarySearchFunc(m.areas, addr, func(a area, addr uint64) int {
		switch {
		case addr < a.Start:
			return 1
		case addr >= a.End:
			return -1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return &m.areas[i]
}

// reach finds the area of addr and lets a stack grow to it.
func (m *space) reach(addr uint64) *area {
	if a := m.find(addr); a != nil {
		return a
	}
	for i := range m.areas {
		a := &m.areas[i]
		if a.Start <= addr {
			continue
		}
		if !a.grows || a.Start-addr > growth {
			return nil
		}
		a.Start = addr &^ (pageSize - 1)
		return a
	}
	return nil
}

// overlaps reports whether anything is mapped in start..end.
func (m *space) overlaps(start, end uint64) bool {
	return slices.ContainsFunc(m.areas, func(a area) bool { return a.Start < end && a.End > start })
}

// covered returns the first address in start..end that is not mapped, or end.
func (m *space) covered(start, end uint64) uint64 {
	for start < end {
		a := m.find(start)
		if a == nil {
			return start
		}
		start = a.End
	}
	return end
}

// add maps an area in place of whatever is there.
func (m *space) add(a area) {
	m.remove(a.Start, a.End)
	m.areas = append(m.areas, a)
	m.sort()
	if a.Shared {
		for at := a.Start; at < a.End; at += pageSize {
			m.pages[at] = new(page)
		}
	}
}

func (m *space) sort() {
	slices.SortFunc(m.areas, func(a, b area) int { return cmp.Compare(a.Start, b.Start) })
}

// remove unmaps start..end.
func (m *space) remove(start, end uint64) {
	m.change(start, end, nil)
	for at := range m.pages {
		if at >= start && at < end {
			delete(m.pages, at)
		}
	}
}

// change applies fn to the parts of areas in start..end, or drops them when fn
// is nil.
func (m *space) change(start, end uint64, fn func(*area)) {
	var out []area
	for _, a := range m.areas {
		if a.End <= start || a.Start >= end {
			out = append(out, a)
			continue
		}
		if a.Start < start {
			low := a
			low.End = start
			out = append(out, low)
		}
		if fn != nil {
			mid := a
			mid.Start, mid.End = max(a.Start, start), min(a.End, end)
			fn(&mid)
			out = append(out, mid)
		}
		if a.End > end {
			high := a
			high.Start = end
			out = append(out, high)
		}
	}
	m.areas = out
}

// move carries out moves that may overlap each other.
func (m *space) move(moves []frontend.Move) {
	type piece struct {
		areas []area
		pages map[uint64]*page
	}
	var pieces []piece
	for _, mv := range moves {
		p := piece{pages: make(map[uint64]*page)}
		delta := mv.To - mv.From
		for _, a := range m.areas {
			if a.Start < mv.From+mv.Size && a.End > mv.From {
				a.Start, a.End = max(a.Start, mv.From)+delta, min(a.End, mv.From+mv.Size)+delta
				p.areas = append(p.areas, a)
			}
		}
		for at, pg := range m.pages {
			if at >= mv.From && at < mv.From+mv.Size {
				p.pages[at+delta] = pg
			}
		}
		pieces = append(pieces, p)
	}
	for _, mv := range moves {
		m.remove(mv.From, mv.From+mv.Size)
	}
	for _, p := range pieces {
		m.areas = append(m.areas, p.areas...)
		for at, pg := range p.pages {
			m.pages[at] = pg
		}
	}
	m.sort()
}

// valid reports whether no areas overlap.
func (m *space) valid() bool {
	for i := range m.areas {
		if m.areas[i].Start >= m.areas[i].End || i > 0 && m.areas[i].Start < m.areas[i-1].End {
			return false
		}
	}
	return true
}

// read copies memory into p and returns how many bytes there are.
func (m *space) read(addr uint64, p []byte) int {
	n := 0
	for n < len(p) {
		at := addr + uint64(n)
		if at < addr || m.reach(at) == nil {
			return n
		}
		off := int(at % pageSize)
		k := min(len(p)-n, pageSize-off)
		if pg := m.pages[at&^(pageSize-1)]; pg != nil {
			copy(p[n:n+k], pg[off:])
		} else {
			clear(p[n : n+k])
		}
		n += k
	}
	return n
}

// write copies p into memory and returns how many bytes there was room for.
// Unless force is set, only memory that the program may write counts.
func (m *space) write(addr uint64, p []byte, force bool) int {
	n := 0
	for n < len(p) {
		at := addr + uint64(n)
		a := m.reach(at)
		if at < addr || a == nil || !force && a.Prot&protWrite == 0 {
			return n
		}
		base := at &^ (pageSize - 1)
		pg := m.pages[base]
		if pg == nil {
			pg = new(page)
			m.pages[base] = pg
		}
		n += copy(pg[at%pageSize:], p[n:])
	}
	return n
}
