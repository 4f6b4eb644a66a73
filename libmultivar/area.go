package libmultivar

import (
	"slices"

	"github.com/multivar/multivar/libmultivar/addrspace"
)

// minArea is the size of the first area of a thread in bytes.
const minArea = 64 << 10

// areaLabel is the label of areas in the map of the leader's address space.
const areaLabel = "late"

// area is memory of the leader's for the output of calls that sleep, mapped in it alone.
type area struct {
	at   addrspace.Address
	size uint64
}

// areas are those of an address space that no thread has.
type areas struct {
	space *addrspace.Space
	free  []area
}

// areas returns those of p's memory.
func (p *process) areas() *areas {
	if p.late == nil || p.late.space != p.space {
		p.late = &areas{space: p.space}
	}
	return p.late
}

// clone returns the areas of a forked child, in which no thread has one.
func (l *areas) clone(space *addrspace.Space, threads map[uint32]*thread) *areas {
	c := &areas{space: space, free: slices.Clone(l.free)}
	for _, th := range threads {
		if th.area != nil && th.areaOf == l {
			c.free = append(c.free, *th.area)
		}
	}
	return c
}

// mapped reports whether the area is still there, as far as the engine's map tells.
func (l *areas) mapped(a area) bool {
	r, ok := l.space.At(a.at)
	return ok && r.Kind == addrspace.Reserved && r.Label == areaLabel && !r.End.Less(a.at.Add(a.size))
}

// takeArea gives th an area of size bytes. It is fresh when it has to be mapped yet, and
// false when there is no room.
func (th *thread) takeArea(size uint64) (fresh, ok bool) {
	l := th.proc.areas()
	if th.area != nil && th.areaOf == l && th.area.size >= size && l.mapped(*th.area) {
		return false, true
	}
	th.leaveArea()
	for i := len(l.free) - 1; i >= 0; i-- {
		a := l.free[i]
		switch {
		case !l.mapped(a):
			l.free = slices.Delete(l.free, i, i+1)
		case a.size >= size:
			l.free = slices.Delete(l.free, i, i+1)
			th.area, th.areaOf = &a, l
			return false, true
		}
	}
	room := uint64(minArea)
	for room < size {
		room *= 2
	}
	// Not where the program may have had memory: a call for what it has given back would find the
	// area, in the leader only.
	at, ok := l.space.FindApart(room)
	if !ok || l.space.Map(at, room, addrspace.Attrs{Kind: addrspace.Reserved, Label: areaLabel}) != nil {
		return false, false
	}
	th.area, th.areaOf = &area{at, room}, l
	return true, true
}

// leaveArea gives back th's area for others.
func (th *thread) leaveArea() {
	if th.area != nil && th.areaOf.space == th.proc.space {
		th.areaOf.free = append(th.areaOf.free, *th.area)
	}
	th.area, th.areaOf = nil, nil
}

// dropArea forgets th's area, which may not be there. The range is used for nothing else
// then, because it may be there all the same.
func (th *thread) dropArea() { th.area, th.areaOf = nil, nil }
