//go:build linux && amd64

package vhost

import (
	"bytes"
	"encoding/binary"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
)

// Sizes and places of testdata/agent.c.
const (
	caseSize   = 4096
	caseWrites = 8
	leadMemory = 0x10000000
	caseDelta  = 0x10000000
	caseFDs    = 1000
	caseNr     = 300
)

// caseIn and caseOut are struct asked and struct answered of testdata/agent.c.
type caseIn struct {
	Nr      int64
	Args    [2][6]uint64
	Ret     int64
	Writes  uint64
	Write   [caseWrites][3]uint64
	Held    [6]uint64
	Bytes   [2][caseSize]byte
	Written [caseWrites][caseSize]byte
}

type caseOut struct {
	Handled, Rax   [2]int64
	Differs, Calls uint64
	Bytes          [2][caseSize]byte
}

// agents are a pair of agents in C.
type agents struct {
	in  io.Writer
	out io.Reader
}

func newAgents(t *testing.T) *agents {
	t.Helper()
	cmd := exec.Command(cProgram(t), "agent", strconv.Itoa(HotTableSize))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	cmd.Stderr = &text
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, text.Bytes())
		}
	})
	return &agents{in, out}
}

// run has the agents deal with a call.
func (a *agents) run(t *rapid.T, c *frontend.AgentCall, in *caseIn) *caseOut {
	table, err := HotTable([]frontend.AgentCall{*c})
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.NewBuffer(table)
	if err := binary.Write(b, binary.LittleEndian, in); err != nil {
		t.Fatal(err)
	}
	if _, err := a.in.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	var out caseOut
	if err := binary.Read(a.out, binary.LittleEndian, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

// block is a part of the memory of a case, by its offset.
type part struct {
	arg, at, size int
}

// twin does in Go what agents do, for calls whose memory is inside of the case's.
type twin struct {
	call *frontend.AgentCall
	in   *caseIn
}

func (w *twin) mem(v int, at, size int) []byte { return w.in.Bytes[v][at : at+size] }

// size is the length of argument k before the call of variant v.
func (w *twin) size(v, k int) int {
	a := &w.call.Args[k]
	n := w.in.Args[v][a.Count]
	switch a.Length {
	case frontend.AgentInt:
		return max(int(int32(n)), 0) * a.Size
	case frontend.AgentUint:
		return int(uint32(n)) * a.Size
	case frontend.AgentCount:
		return int(n) * a.Size
	case frontend.AgentBits:
		return (max(int(int32(n)), 0) + 63) / 64 * 8
	case frontend.AgentAt:
		return int(binary.LittleEndian.Uint32(w.in.Bytes[v][w.offset(v, n):]))
	}
	return a.Size
}

func (w *twin) offset(v int, at uint64) int { return int(at) - leadMemory - v*caseDelta }

// held returns of how much of what argument k leads to the kernel is given a copy.
func (w *twin) held(k int) int {
	a := &w.call.Args[k]
	switch {
	case w.in.Args[0][k] == 0:
		return 0
	case a.Kind == frontend.AgentVector:
		return 16 * int(min(w.in.Args[0][a.Count], HotRanges))
	case a.Kind == frontend.AgentBuffer && a.In && !a.Bulk:
		return w.size(0, k)
	}
	return 0
}

// lengths are those of the parts of the call's vector.
func (w *twin) lengths(v int) (list []uint64) {
	for k := range w.call.Args {
		if a := &w.call.Args[k]; a.Kind == frontend.AgentVector && w.in.Args[v][k] != 0 {
			at := w.offset(v, w.in.Args[v][k])
			for i := range int(w.in.Args[v][a.Count]) {
				list = append(list, binary.LittleEndian.Uint64(w.mem(v, at+16*i+8, 8)))
			}
		}
	}
	return list
}

// parts returns what a call reads, or may write; false where it is the monitor's.
func (w *twin) parts(v int, out bool) (list []part, ok bool) {
	for k := range w.call.Args {
		a, word := &w.call.Args[k], w.in.Args[v][k]
		switch {
		case a.Kind == frontend.AgentFD && uint32(word) >= caseFDs, a.Kind == frontend.AgentNull && word != 0:
			return nil, false
		case a.Kind != frontend.AgentBuffer && a.Kind != frontend.AgentVector, word == 0, out && !a.Out, !out && !a.In:
			continue
		}
		at := w.offset(v, word)
		if a.Kind == frontend.AgentVector {
			count := int(w.in.Args[v][a.Count])
			if count > HotRanges {
				return nil, false
			}
			for i := range count {
				e := w.mem(v, at+16*i, 16)
				list = append(list, part{k, w.offset(v, binary.LittleEndian.Uint64(e)), int(binary.LittleEndian.Uint64(e[8:]))})
			}
			continue
		}
		if a.Length == frontend.AgentBits && int32(w.in.Args[v][a.Count]) > caseFDs {
			return nil, false
		}
		n := w.size(v, k)
		if v == 0 && !out && a.Words {
			for i := w.call.Word; i+8 <= n; i += a.Size {
				if x := binary.LittleEndian.Uint64(w.mem(v, at+i, 8)); x >= leadMemory && x < leadMemory+caseSize {
					return nil, false
				}
			}
		}
		if a.Descriptors && n > 0 {
			if n%a.Size != 0 {
				return nil, false
			}
			for i := 0; i < n; i += a.Size {
				if int32(binary.LittleEndian.Uint32(w.mem(v, at+i, 4))) >= caseFDs {
					return nil, false
				}
			}
		}
		list = append(list, part{k, at, n})
	}
	list = slices.DeleteFunc(list, func(p part) bool { return p.size == 0 })
	return list, len(list) <= HotRanges
}

// word is a follower's for one of the leader's.
func word(b []byte) {
	if v := binary.LittleEndian.Uint64(b); v >= leadMemory && v < leadMemory+caseSize {
		binary.LittleEndian.PutUint64(b, v+caseDelta)
	}
}

// same says whether the follower asks for the same.
func (w *twin) same(lead, follow []part) bool {
	for k := range w.call.Args {
		x, y := w.in.Args[0][k], w.in.Args[1][k]
		switch w.call.Args[k].Kind {
		case frontend.AgentNone:
		case frontend.AgentFD, frontend.AgentHalf:
			if uint32(x) != uint32(y) {
				return false
			}
		case frontend.AgentLong:
			if x != y {
				return false
			}
		default:
			if (x == 0) != (y == 0) {
				return false
			}
		}
	}
	if !slices.Equal(w.lengths(0), w.lengths(1)) {
		return false
	}
	var theirs, own []byte
	for _, p := range lead {
		theirs = append(theirs, w.mem(0, p.at, p.size)...)
	}
	total := 0
	for _, p := range follow {
		total += p.size
	}
	if total != len(theirs) {
		return false
	}
	for _, p := range follow {
		own = w.mem(1, p.at, p.size)
		a := &w.call.Args[p.arg]
		if !w.sameBytes(a, theirs[:p.size], own) {
			return false
		}
		theirs = theirs[p.size:]
	}
	return true
}

func (w *twin) sameBytes(a *frontend.AgentArg, theirs, own []byte) bool {
	if a.Pieces[0][1] == 0 {
		return bytes.Equal(theirs, own)
	}
	for len(own) > 0 {
		n := min(a.Size, len(own))
		x, y := slices.Clone(theirs[:n]), own[:n]
		theirs, own = theirs[n:], own[n:]
		if a.Descriptors && n >= 4 && x[3] >= 0x80 && y[3] >= 0x80 {
			if !bytes.Equal(x[:4], y[:4]) {
				return false
			}
			continue
		}
		for _, p := range a.Pieces {
			from, to := min(int(p[0]), n), min(int(p[0])+int(p[1]), n)
			if !bytes.Equal(x[from:to], y[from:to]) {
				return false
			}
		}
	}
	return true
}

// cut returns how much of what may be written was.
func (w *twin) cut(list []part, ret int64, length int) []part {
	list = slices.Clone(list)
	taken := 0
	for i := range list {
		p := &list[i]
		a := &w.call.Args[p.arg]
		switch unit := max(a.Size, 1); {
		case ret < 0 && ret >= -4095:
			if a.OnErr == 0 || int64(a.OnErr) != -ret {
				p.size = 0
			}
		case a.Written == frontend.AgentNothing:
			p.size = 0
		case a.Written == frontend.AgentResult:
			if a.Kind == frontend.AgentVector {
				unit = 1
			}
			p.size = min(p.size, max(int(max(ret, 0))*unit-taken, 0))
			taken += p.size
		case a.Length == frontend.AgentAt:
			p.size = min(p.size, length)
		}
	}
	return list
}

// Whatever the table and the arguments: agents compare, refuse and hand on what their twin in
// Go does, and touch nothing else of a program's memory.
func TestAgentsAgreeWithTheirTwin(t *testing.T) {
	a := newAgents(t)
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		g := newCaseGen(t)
		w := &twin{&g.call, &g.in}
		for k := range g.in.Held {
			g.in.Held[k] = uint64(w.held(k))
		}
		got := a.run(t, &g.call, &g.in)
		want := w.expect(g)
		seen[want.what]++
		if got.Handled != want.Handled || got.Differs != want.Differs || got.Calls != want.Calls || got.Rax != want.Rax {
			t.Fatalf("%s: handled %v, differs %d, calls %d, results %d; want %v, %d, %d, %d", want.what,
				got.Handled, got.Differs, got.Calls, got.Rax, want.Handled, want.Differs, want.Calls, want.Rax)
		}
		for v := range got.Bytes {
			for i, b := range got.Bytes[v] {
				if b != want.Bytes[v][i] {
					t.Fatalf("%s: byte %d of variant %d is %#x, want %#x", want.what, i, v, b, want.Bytes[v][i])
				}
			}
		}
	})
	for _, what := range []string{"refused", "differs", "answered", "failed"} {
		if seen[what] == 0 {
			t.Errorf("no case was %s: %v", what, seen)
		}
	}
}

type expected struct {
	caseOut
	what string
}

// expect says what becomes of a case.
func (w *twin) expect(g *caseGen) *expected {
	e := &expected{caseOut: caseOut{Bytes: g.in.Bytes, Rax: [2]int64{caseNr, caseNr}}, what: "refused"}
	in, ok := w.parts(0, false)
	out, ok2 := w.parts(0, true)
	if !ok || !ok2 {
		return e
	}
	own, ok := w.parts(1, false)
	same := ok && w.same(in, own)
	ownOut, okOut := w.parts(1, true)
	// The leader makes the call.
	e.Calls, e.Handled[0], e.Rax[0] = 1, 1, g.in.Ret
	for i := range g.in.Writes {
		copy(e.Bytes[0][g.in.Write[i][0]:], g.in.Written[i][:g.in.Write[i][1]])
	}
	if !same {
		e.Differs, e.what = uint64(OtherCall), "differs"
		return e
	}
	length := 0
	for k := range g.call.Args {
		if x := &g.call.Args[k]; x.Kind == frontend.AgentBuffer && x.Length == frontend.AgentAt && g.in.Args[0][k] != 0 {
			length = int(binary.LittleEndian.Uint32(e.Bytes[0][w.offset(0, g.in.Args[0][x.Count]):]))
			break
		}
	}
	theirs, mine := w.cut(out, g.in.Ret, length), w.cut(ownOut, g.in.Ret, length)
	if !okOut || !slices.EqualFunc(theirs, mine, func(a, b part) bool { return a.size == b.size }) {
		e.Differs, e.what = uint64(OtherCall), "differs"
		return e
	}
	e.Handled[1], e.Rax[1], e.what = 1, g.in.Ret, "answered"
	if g.in.Ret < 0 {
		e.what = "failed"
	}
	for i, p := range mine {
		copy(e.Bytes[1][p.at:p.at+p.size], e.Bytes[0][theirs[i].at:])
	}
	for _, p := range mine {
		if x := &g.call.Args[p.arg]; x.Words {
			for i := 0; i+x.Size <= p.size; i += x.Size {
				word(e.Bytes[1][p.at+i+g.call.Word:])
			}
		}
	}
	return e
}
