//go:build linux && amd64

package kvmsandbox

import (
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/sites"
)

// jump returns the jump from one address to another.
func jump(from, to uint64) [sites.JumpSize]byte {
	d := uint32(to - (from + sites.JumpSize))
	return [sites.JumpSize]byte{0xe9, byte(d), byte(d >> 8), byte(d >> 16), byte(d >> 24)}
}

// laid is where the stubs of a part are.
type laid struct {
	stubs span
	at    []uint64
}

// lay chooses places for the stubs of a part, false when there is no room in reach.
func (r *rewriting) lay(where span, list []sites.Site) (laid, bool) {
	for _, room := range r.rooms {
		if room.Size == 0 || !reaches(where, room) {
			continue
		}
		if l, ok := r.layIn(room, where, list); ok {
			return l, true
		}
	}
	return laid{}, false
}

// reaches says whether jumps lead from everywhere in a part to everywhere in a room.
func reaches(where span, room vhost.Room) bool {
	const far = 1<<31 - pageSize
	low, high := min(where.start, room.Start), max(where.end, room.Start+room.Size)
	return high-low < far
}

// layIn is lay for one room: a free range of whole pages.
func (r *rewriting) layIn(room vhost.Room, where span, list []sites.Site) (laid, bool) {
	start := r.free(room)
	l := laid{stubs: span{start, start}}
	used := map[uint64]bool{}
	next := start
	for i := range list {
		from := where.start + uint64(list[i].Start())
		at := next
		for used[at] || list[i].Prefix == 0 && !stops(from, at+vhost.StubEntry) {
			at += vhost.StubSize
		}
		used[at] = true
		for used[next] {
			next += vhost.StubSize
		}
		l.at = append(l.at, at)
		l.stubs.end = max(l.stubs.end, (at+vhost.StubSize+pageSize-1)&^(pageSize-1))
	}
	if l.stubs.end > room.Start+room.Size {
		return laid{}, false
	}
	return l, true
}

// free returns where in a room nothing is any more.
func (r *rewriting) free(room vhost.Room) uint64 {
	at := room.Start
	for _, p := range r.parts {
		if p.stubs.end > at && p.stubs.end <= room.Start+room.Size {
			at = p.stubs.end
		}
	}
	return at
}

// stops says whether what a jump leaves behind an overwritten call is an instruction that
// user mode has not: a program that has kept the address and goes there by itself, as
// setcontext(3) does, gets a signal then, and is led to the stub (onward).
func stops(from, to uint64) bool {
	b := jump(from, to)[callSize]
	switch b {
	case 0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xea:
		// None in 64-bit mode.
		return true
	case 0xf4, 0xfa, 0xfb:
		// hlt, cli, sti.
		return true
	}
	return false
}
