//go:build linux && amd64

package loader

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
)

// checkPlan verifies what holds of every plan.
func checkPlan(t testing.TB, p *Plan, low uint64) {
	t.Helper()
	checkSegments(t, p, p.Segments)
	stacks, starts := 0, false
	for i := range p.Segments {
		g := &p.Segments[i]
		if g.Region == frontend.RegionStack {
			stacks++
		}
		if g.Addr < low {
			t.Errorf("%+v is below %#x", *g, low)
		}
		starts = starts || p.Image.IP >= g.Addr && p.Image.IP < g.End()
	}
	if stacks != 1 || !starts || len(p.Image.Mappings) != len(p.Segments) || len(p.Files) < 1 || len(p.Files) > 2 {
		t.Errorf("plan %+v", p)
	}
}

func checkSegments(t testing.TB, p *Plan, segments []Segment) {
	t.Helper()
	end := uint64(0)
	for i := range segments {
		g := &segments[i]
		if g.Addr%pageSize != 0 || g.Size%pageSize != 0 || g.Offset%pageSize != 0 || g.Size == 0 || g.Size > TaskSize || g.Addr > TaskSize-g.Size || g.Addr < end {
			t.Errorf("segment %+v after %#x", *g, end)
		}
		end = g.End()
		if g.ZeroFrom != 0 && (g.ZeroFrom < g.End()-pageSize || g.ZeroFrom >= g.End() || g.Prot&ProtWrite == 0 || g.File == Anonymous) {
			t.Errorf("segment %+v is zeroed", *g)
		}
		if g.File != Anonymous && (g.File < 0 || g.File >= len(p.Files) || int64(g.Offset+g.Size) < 0) || g.File == Anonymous && g.Offset != 0 {
			t.Errorf("segment %+v", *g)
		}
	}
}

// placements returns what the engine makes of the plan for each of two variants, in
// both layouts.
func placements(t testing.TB, p *Plan, seed uint64) (all []*frontend.Placement, err error) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	l, err := addrspace.NewLayout(2, rng)
	if err != nil {
		t.Fatal(err)
	}
	start := addrspace.StartInfoFrom(&p.Image)
	for _, o := range []addrspace.Offsets{l.Random(rng), l.RandomCommon(rng)} {
		for v := range l.Variants() {
			pl, _, err := addrspace.Plan(l, v, o, &p.Image, start)
			if err != nil {
				return nil, err
			}
			all = append(all, pl)
		}
	}
	return all, nil
}

func TestPlace(t *testing.T) {
	fs := interpretedFiles(t)
	for _, path := range []string{"/program", "/fixed", "/static", "/script"} {
		p, err := Load(fs.request(path, "a"), fs.opener)
		if err != nil {
			t.Fatal(err)
		}
		before := slices.Clone(p.Segments)
		all, err := placements(t, p, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, pl := range all {
			placed, err := p.Place(pl)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			checkSegments(t, p, placed.Segments)
			checkPlaced(t, p, placed, pl)
		}
		if !reflect.DeepEqual(before, p.Segments) {
			t.Errorf("%s: the plan changed", path)
		}
	}
}

// checkPlaced verifies that each segment is where its move says.
func checkPlaced(t testing.TB, p *Plan, placed *Placed, pl *frontend.Placement) {
	t.Helper()
	if len(placed.Segments) != len(p.Segments) {
		t.Fatalf("%d segments of %d", len(placed.Segments), len(p.Segments))
	}
	moves := map[uint64]uint64{}
	for _, m := range pl.Moves {
		moves[m.From] = m.To - m.From
	}
	var delta uint64
	for _, g := range p.Segments {
		d := moves[g.Addr]
		if g.Region == frontend.RegionProgram {
			delta = d
		}
		g.Addr += d
		if g.ZeroFrom != 0 {
			g.ZeroFrom += d
		}
		if !slices.Contains(placed.Segments, g) {
			t.Errorf("%+v is not in %+v", g, placed.Segments)
		}
	}
	if want := p.Limits.StartData + delta; placed.Limits.StartData != want || placed.Limits.Brk != pl.Brk {
		t.Errorf("limits %+v, want data from %#x on", placed.Limits, want)
	}
}

func TestPlaceByHand(t *testing.T) {
	fs := interpretedFiles(t)
	p, err := Load(fs.request("/static"), fs.opener)
	if err != nil {
		t.Fatal(err)
	}
	stack := p.Segments[len(p.Segments)-1]
	const to = 0x2000_0000_0000
	base := p.Segments[0].Addr
	size := p.Segments[3].End() - base
	move := func(from, to, size uint64) frontend.Move { return frontend.Move{From: from, To: to, Size: size} }
	whole := move(base, to, size)
	for _, c := range []struct {
		name   string
		change func(*frontend.Placement)
		want   string
	}{
		{"one move", func(*frontend.Placement) {}, ""},
		{"to where it was in part", func(pl *frontend.Placement) {
			pl.Moves[0].To, pl.IP = base+0x2000, base+0x3010
		}, ""},
		{"two moves that meet inside of a segment", func(pl *frontend.Placement) {
			pl.Moves = []frontend.Move{move(base+0x6000, to+0x6000, size-0x6000), move(base, to, 0x6000)}
		}, ""},
		{"heap", func(pl *frontend.Placement) { pl.Brk = 0x7000_0000_0000 }, ""},
		{"stack moves", func(pl *frontend.Placement) {
			pl.Moves = append(pl.Moves, move(stack.Addr, 0x7000_0000_0000, stack.Size))
			pl.SP = 0x7000_0000_0000
		}, ""},
		{"a part stays", func(pl *frontend.Placement) { pl.Moves[0].Size -= pageSize }, "tears apart"},
		{"parts go apart", func(pl *frontend.Placement) {
			pl.Moves = []frontend.Move{move(base, to, 0x1000), move(base+0x1000, to+0x2000, size-0x1000)}
		}, "tears apart"},
		{"overlap", func(pl *frontend.Placement) { pl.Moves[0].To = stack.Addr - 0x2000 }, "two mappings"},
		{"moved twice", func(pl *frontend.Placement) { pl.Moves = append(pl.Moves, move(base+0x1000, to, 0x1000)) }, "twice"},
		{"odd address", func(pl *frontend.Placement) { pl.Moves[0].To++ }, "cannot be mapped"},
		{"odd source", func(pl *frontend.Placement) { pl.Moves[0].From++ }, "cannot be mapped"},
		{"no size", func(pl *frontend.Placement) { pl.Moves[0].Size = 0 }, "cannot be mapped"},
		{"huge size", func(pl *frontend.Placement) { pl.Moves[0].Size = 1<<64 - pageSize }, "cannot be mapped"},
		{"above", func(pl *frontend.Placement) { pl.Moves[0].To = TaskSize - 0x1000 }, "cannot be mapped"},
		{"odd removal", func(pl *frontend.Placement) { pl.Unmap = []frontend.Move{move(1, 0, pageSize)} }, "cannot be mapped"},
		{"start", func(pl *frontend.Placement) { pl.IP = base }, "no program"},
		{"start in the stack", func(pl *frontend.Placement) { pl.IP = stack.Addr }, "no program"},
		{"start removed", func(pl *frontend.Placement) { pl.Unmap = []frontend.Move{move(base+0x1000, 0, pageSize)} }, "no program"},
		{"stack pointer", func(pl *frontend.Placement) { pl.SP = to }, "no stack"},
		{"stack too long", func(pl *frontend.Placement) { pl.SP = stack.End() - 15 }, "no stack"},
		{"stack pointer at the end", func(pl *frontend.Placement) { pl.SP, pl.Stack = stack.End(), nil }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			pl := &frontend.Placement{Moves: []frontend.Move{whole}, IP: to + 0x1010, SP: stack.End() - 16, Stack: make([]byte, 16)}
			c.change(pl)
			placed, err := p.Place(pl)
			switch {
			case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			case err != nil && placed != nil:
				t.Error("a result in spite of an error")
			case err == nil:
				checkSegments(t, p, placed.Segments)
			}
		})
	}
	fixed, err := Load(fs.request("/fixed"), fs.opener)
	if err != nil {
		t.Fatal(err)
	}
	pl := &frontend.Placement{Moves: []frontend.Move{move(0x400000, to, 0x9000)}, IP: to + 0x1010, SP: stack.End()}
	if _, err := fixed.Place(pl); err == nil || !strings.Contains(err.Error(), "fixed addresses") {
		t.Error(err)
	}
}
