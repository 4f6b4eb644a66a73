package libmultivar

import (
	"fmt"
	"slices"
	"strings"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// lane orders the calls that change one address space, with threads in parallel. The
// leader makes one at a time, so that the engine's map of it is right. Followers make
// those that concern the same memory in the leader's order, and others in any: what a
// thread waits for there may be held by one that waits itself for a lock.
type lane struct {
	// changes are those that not all followers have made, in the leader's order.
	changes []*record
	// busy is the one that the leader makes now, behind are threads that have to wait
	// for its end.
	busy   *record
	behind []*thread
}

// span is a range of memory.
type span struct {
	start addrspace.Address
	size  uint64
}

func (a span) overlaps(b span) bool {
	if d, ok := b.start.Sub(a.start); ok {
		return d < a.size
	}
	d, ok := a.start.Sub(b.start)
	return ok && d < b.size
}

// What a thread gives back is free again when it is in all variants. Otherwise another
// one could be given the same memory in the leader and, in a follower, have to wait for
// the first, which may wait for it there.

// vacancy is memory that some variant may still have.
type vacancy struct {
	space *addrspace.Space
	span  span
	label string
}

// vacantLabel begins the labels of such memory.
const vacantLabel = "event "

// dropVacant frees it in the map of a forked child, of which nobody would.
func dropVacant(s *addrspace.Space) {
	var vacant []addrspace.Region
	for r := range s.All() {
		if r.Kind == addrspace.Reserved && strings.HasPrefix(r.Label, vacantLabel) {
			vacant = append(vacant, r)
		}
	}
	for _, r := range vacant {
		_ = s.Unmap(r.Start, r.Size())
	}
}

// vacate notes that the leader's call ev has unmapped memory.
func (e *Engine) vacate(ev *record, space *addrspace.Space, start addrspace.Address, size uint64) {
	var spans []span
	if e.parallel() && e.followers > 0 {
		end := start.Add(size)
		for r := range space.Regions(start, size) {
			if r.Start.Less(start) {
				r.Start = start
			}
			if end.Less(r.End) {
				r.End = end
			}
			spans = append(spans, span{r.Start, r.Size()})
		}
	}
	e.note(space.Unmap(start, size))
	e.occupy(ev, space, spans...)
}

// occupy keeps ranges that are free in the leader until all followers have made ev.
func (e *Engine) occupy(ev *record, space *addrspace.Space, spans ...span) {
	if !e.parallel() || e.followers == 0 {
		return
	}
	label := fmt.Sprint(vacantLabel, ev.serial)
	for _, s := range spans {
		e.note(space.Map(s.start, s.size, addrspace.Attrs{Kind: addrspace.Reserved, Label: label}))
		ev.vacated = append(ev.vacated, vacancy{space, s, label})
	}
}

// vacant frees what ev has given back, all followers having made it; but not what the
// program has mapped there since.
func (e *Engine) vacant(ev *record) {
	for _, v := range ev.vacated {
		var free []addrspace.Region
		for r := range v.space.Regions(v.span.start, v.span.size) {
			if r.Kind == addrspace.Reserved && r.Label == v.label {
				free = append(free, r)
			}
		}
		for _, r := range free {
			e.note(v.space.Unmap(r.Start, r.Size()))
		}
	}
	ev.vacated = nil
}

// newLane returns the lane of a new address space, nil when nobody needs one.
func (e *Engine) newLane() *lane {
	if !e.parallel() {
		return nil
	}
	return &lane{}
}

// touch notes memory that ev is about.
func (ev *record) touch(start addrspace.Address, size uint64) {
	ev.touches = append(ev.touches, span{start, size})
}

// conflicts reports whether the order of two changes matters.
func (ev *record) conflicts(other *record) bool {
	for _, a := range ev.touches {
		if slices.ContainsFunc(other.touches, a.overlaps) {
			return true
		}
	}
	return false
}

// changesMemory reports whether a row's calls change an address space.
func changesMemory(row *sysabi.Row) bool {
	switch row.Handler {
	case sysabi.HandlerBrk, sysabi.HandlerMmap, sysabi.HandlerMunmap, sysabi.HandlerMremap, sysabi.HandlerMprotect,
		sysabi.HandlerMadvise, sysabi.HandlerShmat, sysabi.HandlerShmdt:
		return true
	}
	return false
}

// queueChange makes the leader's th wait until nobody changes its memory, and says whether
// it has to.
func (e *Engine) queueChange(th *thread, row *sysabi.Row) bool {
	l := th.proc.lane
	if l == nil || l.busy == nil || !changesMemory(row) {
		return false
	}
	if !slices.Contains(l.behind, th) {
		l.behind = append(l.behind, th)
	}
	th.held = true
	return true
}

// beginChange notes that the leader makes ev.
func (e *Engine) beginChange(ev *record) {
	l := ev.thread.proc.lane
	if l == nil || len(ev.touches) == 0 {
		return
	}
	ev.lane, l.busy = l, ev
	if e.followers > 0 {
		l.changes = append(l.changes, ev)
	}
}

// endChange notes that the leader is done with ev.
func (e *Engine) endChange(ev *record) {
	l := ev.lane
	if l == nil || l.busy != ev {
		return
	}
	l.busy = nil
	e.freed = append(e.freed, l.behind...)
	l.behind = nil
}

// dropChange ends the change that the leader's th made when it died.
func (e *Engine) dropChange(th *thread) {
	if l := th.proc.lane; l != nil && l.busy != nil && l.busy.thread == th {
		e.endChange(l.busy)
	}
}

// made reports whether follower v is behind change ev, or will never make it.
func (ev *record) made(v int) bool {
	s := &ev.thread.sides[v]
	return s.ended || s.stop == dead || s.next > ev.seq
}

// inLane reports whether follower v has to wait with ev for earlier changes of the same
// memory.
func (ev *record) inLane(v int) bool {
	if ev.lane == nil {
		return false
	}
	for _, c := range ev.lane.changes {
		if c == ev {
			break
		}
		if !c.made(v) && c.thread != ev.thread && c.conflicts(ev) {
			return true
		}
	}
	return false
}

// moveLane lets changes go on for which those in front of them are over in follower v.
func (e *Engine) moveLane(l *lane, v int) {
	if l == nil || v == frontend.Leader {
		return
	}
	for _, c := range slices.Clone(l.changes) {
		if s := &c.thread.sides[v]; s.waits(c) && !e.ended {
			e.followerGo(c.thread, v)
		}
	}
	l.changes = slices.DeleteFunc(l.changes, func(c *record) bool {
		for v := 1; v < e.cfg.Variants; v++ {
			if !c.made(v) {
				return false
			}
		}
		return true
	})
}
