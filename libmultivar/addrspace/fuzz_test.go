package addrspace

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
)

// checkOddImage plans a random image and verifies what must hold of every plan
// that is not refused.
func checkOddImage(t *rapid.T) {
	n := rapid.SampledFrom([]int{1, 2, 64}).Draw(t, "n")
	l, err := NewLayout(n, rand.New(rand.NewPCG(1, rapid.Uint64Range(0, 9).Draw(t, "seed"))))
	if err != nil {
		t.Fatal(err)
	}
	o := l.Random(rand.New(rand.NewPCG(2, rapid.Uint64Range(0, 9).Draw(t, "seed"))))
	v := rapid.IntRange(0, n-1).Draw(t, "v")
	img := testImage(kernelA, rapid.Bool().Draw(t, "movable"))
	addr := rapid.OneOf(
		rapid.Uint64(),
		rapid.Map(rapid.Uint64Range(0, 1<<35), func(n uint64) uint64 { return n * page }),
		rapid.SampledFrom([]uint64{0, page, BandStart, BandEnd, TaskSize, 1 << 63, 0xffff_ffff_ff60_0000, l.Base(v), l.Base(v) + l.Size()}),
	)
	text := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 9), 0, 5)
	for range rapid.IntRange(0, 4).Draw(t, "changes") {
		m := &img.Mappings[rapid.IntRange(0, len(img.Mappings)-1).Draw(t, "mapping")]
		switch rapid.IntRange(0, 8).Draw(t, "change") {
		case 0:
			m.Start = addr.Draw(t, "start")
		case 1:
			m.End = addr.Draw(t, "end")
		case 2:
			m.Region = frontend.Region(rapid.IntRange(0, 6).Draw(t, "region"))
		case 3:
			at := addr.Draw(t, "at")
			img.Mappings = append(img.Mappings, frontend.Mapping{Start: at, End: at + page*rapid.Uint64Range(0, 1<<24).Draw(t, "pages"), Region: m.Region})
		case 4:
			img.IP = addr.Draw(t, "ip")
		case 5:
			img.Aux[rapid.IntRange(0, len(img.Aux)-1).Draw(t, "entry")] = frontend.Aux{Type: rapid.Uint64Range(0, 52).Draw(t, "type"), Value: addr.Draw(t, "value")}
		case 6:
			img.Args, img.Env = text.Draw(t, "args"), text.Draw(t, "env")
		case 7:
			img.Platform, img.ExecPath, img.BasePlatform = nil, nil, longText(rapid.IntRange(0, 200_000).Draw(t, "size"))
		case 8:
			at := addr.Draw(t, "at")
			size := m.End - m.Start
			m.Start, m.End = at, at+size
		}
	}
	start := StartInfoFrom(img)
	start.ProgramAlign = rapid.SampledFrom([]uint64{0, 1, page, 3 * page, mib, gib, 1 << 63}).Draw(t, "align")
	before := slices.Clone(img.Mappings)
	p, s, err := Plan(l, v, o, img, start)
	if !slices.Equal(before, img.Mappings) {
		t.Fatal("the image was changed")
	}
	if err != nil {
		if p != nil || s != nil {
			t.Fatal("a result with an error")
		}
		return
	}
	low, high := l.Base(v), l.Base(v)+l.Size()
	inSlot := func(what string, a, size uint64) {
		if a < low || a > high || size > high-a {
			t.Fatalf("%s: %#x bytes at %#x are not in the slot", what, size, a)
		}
	}
	inSlot("stack", p.SP, uint64(len(p.Stack)))
	inSlot("auxiliary vector", p.AuxStart, p.AuxSize)
	inSlot("heap", p.Brk, 0)
	if p.SP > p.AuxStart || p.AuxStart+p.AuxSize > p.ArgStart || p.ArgStart > p.ArgEnd || p.ArgEnd != p.EnvStart || p.EnvStart > p.EnvEnd || p.EnvEnd > p.SP+uint64(len(p.Stack)) {
		t.Fatalf("stack is out of order: %+v", p)
	}
	stackMapped := false
	for i, m := range p.Moves {
		inSlot("move", m.To, m.Size)
		for _, other := range p.Moves[:i] {
			if m.To < other.To+other.Size && other.To < m.To+m.Size {
				t.Fatalf("%+v and %+v collide", m, other)
			}
		}
		stackMapped = stackMapped || m.To <= p.SP && p.SP+uint64(len(p.Stack)) <= m.To+m.Size
		if !s.Mapped(l.Canonical(v, m.To+m.Size-page), page) {
			t.Fatalf("the end of %+v is not recorded", m)
		}
	}
	if !stackMapped {
		t.Fatalf("stack at %#x is not in a mapping", p.SP)
	}
	if r, ok := s.At(l.Canonical(v, p.IP)); !ok || r.Kind != Program && r.Kind != Interp {
		t.Fatalf("start address %#x is in %v", p.IP, r)
	}
	for r := range s.All() {
		if !r.Start.Relative() && r.Start.Offset() < BandEnd && r.End.Offset() > BandStart {
			t.Fatalf("%v is among the slots", r)
		}
	}
	if a, ok := s.FindFree(page, 0); !ok || !s.Free(a, page) {
		t.Fatal("no page is free")
	}
}

func TestPlanOfOddImages(t *testing.T) { rapid.Check(t, checkOddImage) }

func FuzzPlan(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkOddImage)) }
