//go:build linux && amd64

package vhost

import (
	"encoding/binary"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
)

// caseGen makes a call of random kinds of arguments, with what two variants give to it. Each
// argument with memory has a part of the memory of its own: what the kernel does to parts
// that overlap depends on its order.
type caseGen struct {
	t    *rapid.T
	call frontend.AgentCall
	in   caseIn
	used int
	outs []part
	// vector is where the vector of a call is that has one, and of how many parts.
	vectors, vector, parts int
}

func newCaseGen(t *rapid.T) *caseGen {
	g := &caseGen{t: t}
	g.call = frontend.AgentCall{Nr: caseNr, Instant: frontend.AgentInstant{Nr: -1}}
	g.in.Nr = caseNr
	for i := range g.in.Bytes[0] {
		g.in.Bytes[0][i] = byte(i * 7)
	}
	g.in.Bytes[1] = g.in.Bytes[0]
	g.in.Ret = rapid.OneOf(rapid.Int64Range(0, 40), rapid.SampledFrom([]int64{-4, -11, -22})).Draw(t, "ret")
	// The last argument counts, so that others may be counted by it.
	count := rapid.Uint64Range(0, 5).Draw(t, "count")
	if rapid.IntRange(0, 9).Draw(t, "much") == 0 {
		count = rapid.SampledFrom([]uint64{1<<32 + 2, 0xffff_ffff, 70}).Draw(t, "counted")
	}
	g.call.Args[5] = frontend.AgentArg{Kind: rapid.SampledFrom([]frontend.AgentKind{frontend.AgentLong, frontend.AgentHalf}).Draw(t, "counts")}
	g.in.Args[0][5], g.in.Args[1][5] = count, count
	for k := range 4 {
		g.arg(k, count)
	}
	g.spoil()
	for _, o := range g.outs {
		if o.size > 0 && g.in.Writes < caseWrites {
			g.in.Write[g.in.Writes] = [3]uint64{uint64(o.at), uint64(o.size)}
			if a := &g.call.Args[o.arg]; a.Kind == frontend.AgentBuffer && a.In {
				g.in.Write[g.in.Writes][2] = uint64(o.arg) + 1
			}
			for i := range o.size {
				g.in.Written[g.in.Writes][i] = byte(200 + i*3)
			}
			if a := &g.call.Args[o.arg]; a.Words && rapid.Bool().Draw(t, "address") {
				for i := 0; i+a.Size <= o.size; i += a.Size {
					binary.LittleEndian.PutUint64(g.in.Written[g.in.Writes][i+g.call.Word:], leadMemory+8)
				}
			}
			g.in.Writes++
		}
	}
	return g
}

// room takes n bytes of both memories.
func (g *caseGen) room(n int) int {
	at := g.used
	g.used += n
	return at
}

// point makes argument k lead to an offset.
func (g *caseGen) point(k, at int) {
	g.in.Args[0][k], g.in.Args[1][k] = leadMemory+uint64(at), leadMemory+caseDelta+uint64(at)
}

// arg makes argument k.
func (g *caseGen) arg(k int, count uint64) {
	a := &g.call.Args[k]
	a.Kind = frontend.AgentKind(rapid.IntRange(int(frontend.AgentNone), int(frontend.AgentVector)).Draw(g.t, "kind"))
	if a.Kind == frontend.AgentVector && g.vectors > 0 {
		// A call has one at most.
		a.Kind = frontend.AgentPointer
	}
	v := rapid.SampledFrom([]uint64{0, 1, 7, 999, 1000, 1<<32 + 3, ^uint64(0)}).Draw(g.t, "value")
	switch a.Kind {
	case frontend.AgentNull:
		v = rapid.SampledFrom([]uint64{0, 0, 0, 1}).Draw(g.t, "null")
	case frontend.AgentFD:
		v = rapid.SampledFrom([]uint64{0, 3, 999, 3, 1000}).Draw(g.t, "fd")
	case frontend.AgentBuffer:
		g.buffer(k, count)
		return
	case frontend.AgentVector:
		g.makeVector(k, count)
		return
	}
	g.in.Args[0][k], g.in.Args[1][k] = v, v
}

func (g *caseGen) makeVector(k int, count uint64) {
	a := &g.call.Args[k]
	a.Count = 5
	if a.Out = rapid.Bool().Draw(g.t, "out"); a.Out {
		a.Written = frontend.AgentResult
	} else {
		a.In = true
	}
	n := int(min(count, 5))
	at := g.room(16 * n)
	g.point(k, at)
	g.vectors, g.vector, g.parts = 1, at, n
	left := int(max(g.in.Ret, 0))
	for i := range n {
		size := rapid.IntRange(0, 20).Draw(g.t, "part")
		to := g.room(size)
		for v := range 2 {
			binary.LittleEndian.PutUint64(g.in.Bytes[v][at+16*i:], leadMemory+uint64(v)*caseDelta+uint64(to))
			binary.LittleEndian.PutUint64(g.in.Bytes[v][at+16*i+8:], uint64(size))
		}
		if wrote := min(left, size); a.Out {
			g.outs = append(g.outs, part{k, to, wrote})
			left -= wrote
		}
	}
}

func (g *caseGen) buffer(k int, count uint64) {
	a, t := &g.call.Args[k], g.t
	a.Size = rapid.SampledFrom([]int{1, 4, 8, 12, 16, 40}).Draw(t, "size")
	a.In, a.Out = rapid.Bool().Draw(t, "in"), rapid.Bool().Draw(t, "out")
	a.Length = frontend.AgentLength(rapid.IntRange(int(frontend.AgentFixed), int(frontend.AgentAt)).Draw(t, "length"))
	a.OnErr = rapid.SampledFrom([]uint16{0, 0, 4}).Draw(t, "on error")
	if a.Size >= 8 && a.Length != frontend.AgentAt && a.Length != frontend.AgentBits {
		g.records(a)
	}
	n := a.Size
	switch a.Length {
	case frontend.AgentAt:
		// A length that is read and written, as SockLen is.
		a.Count, a.In, a.Size = 4, false, 1
		if g.call.Args[4].Kind == frontend.AgentNone {
			g.call.Args[4] = frontend.AgentArg{Kind: frontend.AgentBuffer, In: true, Out: true, Size: 4}
			at := g.room(4)
			g.point(4, at)
			for v := range 2 {
				binary.LittleEndian.PutUint32(g.in.Bytes[v][at:], uint32(rapid.IntRange(0, 20).Draw(t, "room")*0+12))
			}
		}
		n = 12
	case frontend.AgentFixed:
	case frontend.AgentBits:
		a.Count = 5
		n = (max(int(int32(count)), 0) + 63) / 64 * 8
	default:
		a.Count = 5
		n = int(uint32(count)) * a.Size
		if a.Length == frontend.AgentInt && int32(count) < 0 {
			n = 0
		}
		if rapid.Bool().Draw(t, "result counts") && !a.In {
			a.Written = frontend.AgentResult
		}
	}
	a.Bulk = a.In && !a.Out && a.Length != frontend.AgentBits && a.Pieces[0][1] == 0 && !a.Words && rapid.Bool().Draw(t, "bulk")
	if n > 400 || a.Length == frontend.AgentCount && count > 100 || a.Out && !a.In && a.Length == frontend.AgentFixed && rapid.Bool().Draw(t, "no pointer") {
		// What is longer than the memory is not followed by a null pointer.
		g.in.Args[0][k], g.in.Args[1][k] = 0, 0
		return
	}
	at := g.room(n)
	g.point(k, at)
	if a.Descriptors {
		for i := 0; i+a.Size <= n; i += a.Size {
			fd := rapid.SampledFrom([]uint32{0, 5, 999, 7, 0xffff_ffff, 6, 1000}).Draw(t, "descriptor")
			for v := range 2 {
				binary.LittleEndian.PutUint32(g.in.Bytes[v][at+i:], fd)
			}
		}
	}
	if a.Words && a.In && n >= a.Size && rapid.Bool().Draw(t, "own address") {
		for v := range 2 {
			binary.LittleEndian.PutUint64(g.in.Bytes[v][at+g.call.Word:], leadMemory+uint64(v)*caseDelta+24)
		}
	}
	if !a.Out {
		return
	}
	switch wrote := n; {
	case g.in.Ret < 0 && (a.OnErr == 0 || int64(a.OnErr) != -g.in.Ret):
	case a.Written == frontend.AgentResult && g.in.Ret >= 0:
		g.outs = append(g.outs, part{k, at, min(wrote, int(g.in.Ret)*a.Size)})
	case g.in.Ret < 0, a.Written == frontend.AgentAll:
		g.outs = append(g.outs, part{k, at, wrote})
	}
}

// records makes the units of a buffer records.
func (g *caseGen) records(a *frontend.AgentArg) {
	if a.Descriptors = a.In && rapid.Bool().Draw(g.t, "descriptors"); a.Descriptors {
		a.Pieces[0] = [2]uint8{0, 6}
		return
	}
	if a.Words = a.Size >= 12 && g.call.Word == 0 && rapid.Bool().Draw(g.t, "words"); a.Words {
		g.call.Word = 4
		if a.In {
			a.Pieces[0] = [2]uint8{0, uint8(a.Size)}
		}
		return
	}
	if a.In && rapid.Bool().Draw(g.t, "members") {
		a.Pieces = [2][2]uint8{{0, 2}, {5, 3}}
	}
}

// spoil makes the follower ask for something else, perhaps.
func (g *caseGen) spoil() {
	switch rapid.IntRange(0, 4).Draw(g.t, "spoil") {
	case 0:
		if g.used > 0 {
			at := rapid.IntRange(0, g.used-1).Draw(g.t, "byte")
			if !g.structural(at) {
				g.in.Bytes[1][at] ^= 0x10
			}
		}
	case 1:
		k := rapid.IntRange(0, 5).Draw(g.t, "argument")
		if kind := g.call.Args[k].Kind; kind != frontend.AgentBuffer && kind != frontend.AgentVector && k != 5 {
			g.in.Args[1][k] ^= rapid.SampledFrom([]uint64{1, 1 << 33}).Draw(g.t, "bit")
		}
	case 2:
		// The follower's vector has the same bytes, or as many, in other parts.
		if g.parts < 2 {
			return
		}
		first, second := g.in.Bytes[1][g.vector+8:], g.in.Bytes[1][g.vector+24:]
		if n := binary.LittleEndian.Uint64(first); n > 0 {
			binary.LittleEndian.PutUint64(first, n-1)
			binary.LittleEndian.PutUint64(second, binary.LittleEndian.Uint64(second)+1)
			binary.LittleEndian.PutUint64(g.in.Bytes[1][g.vector+16:], binary.LittleEndian.Uint64(g.in.Bytes[1][g.vector+16:])-1)
		}
	}
}

// structural says whether a byte is one by which other memory is found.
func (g *caseGen) structural(at int) bool {
	for k, a := range g.call.Args {
		from := int(g.in.Args[0][k]) - leadMemory
		if a.Kind == frontend.AgentVector && at >= from && at < from+16*int(min(g.in.Args[0][5], 5)) {
			return true
		}
	}
	return g.call.Args[4].Kind == frontend.AgentBuffer && at >= int(g.in.Args[0][4])-leadMemory && at < int(g.in.Args[0][4])-leadMemory+4
}
