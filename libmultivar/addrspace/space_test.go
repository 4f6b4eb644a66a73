package addrspace

import (
	"errors"
	"math"
	"slices"
	"testing"
)

const page = PageSize

func newSpace(t testing.TB) *Space {
	t.Helper()
	l, err := NewLayout(2, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSpace(l, l.Random(nil))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRangeErrors(t *testing.T) {
	s := newSpace(t)
	for _, c := range []struct {
		name  string
		start Address
		size  uint64
	}{
		{"empty", Relative(page), 0},
		{"unaligned", Relative(1), page},
		{"size overflows", Relative(page), math.MaxUint64},
		{"end overflows", Absolute(1 << 63), 1 << 63},
		{"wraps to zero", Absolute(math.MaxUint64 - 4095), page},
		{"beyond slot", Relative(s.size - page), 2 * page},
		{"far beyond slot", Relative(1 << 62), page},
		{"kernel half", Absolute(0xffff_ffff_ff60_0000), page},
		{"beyond user memory", Absolute(TaskSize), page},
		{"in the band", Absolute(BandStart), page},
		{"into the band", Absolute(BandStart - page), 2 * page},
		{"across the band", Absolute(0), TaskSize},
		{"end of the band", Absolute(BandEnd - page), page},
	} {
		for op, err := range map[string]error{
			"Map": s.Map(c.start, c.size, Attrs{}), "Unmap": s.Unmap(c.start, c.size),
			"Protect": s.Protect(c.start, c.size, 1), "SetFlags": s.SetFlags(c.start, c.size, Shared, 0),
			"Move to": s.Move(Relative(page), page, c.start, c.size, false),
		} {
			if !errors.Is(err, ErrRange) {
				t.Errorf("%s: %s: %v", c.name, op, err)
			}
		}
		if c.size != 0 && !errors.Is(s.Move(c.start, c.size, Relative(page), page, false), ErrRange) {
			t.Errorf("%s: Move from", c.name)
		}
		if s.Free(c.start, c.size) || s.Mapped(c.start, c.size) || s.FreeAfter(c.start, c.size) {
			t.Errorf("%s: free or mapped", c.name)
		}
		for r := range s.Regions(c.start, c.size) {
			t.Errorf("%s: yields %v", c.name, r)
		}
	}
	if s.Len() != 0 {
		t.Errorf("failed operations left %d regions", s.Len())
	}
}

func TestSizesAreRoundedUp(t *testing.T) {
	s := newSpace(t)
	must(t, s.Map(Relative(0), 1, Attrs{Label: "x"}))
	if r, ok := s.At(Relative(page - 1)); !ok || r.Size() != page || r.String() != "+0x0-+0x1000 ---p anon x" {
		t.Errorf("%v %v", r, ok)
	}
	if _, ok := s.At(Relative(page)); ok {
		t.Error("mapped beyond the page")
	}
}

func TestProtectStopsAtHole(t *testing.T) {
	s := newSpace(t)
	must(t, s.Map(Relative(0), page, Attrs{}))
	must(t, s.Map(Relative(2*page), page, Attrs{}))
	if err := s.Protect(Relative(0), 3*page, 5); !errors.Is(err, ErrUnmapped) {
		t.Error(err)
	}
	first, _ := s.At(Relative(0))
	last, _ := s.At(Relative(2 * page))
	if first.Prot != 5 || last.Prot != 0 {
		t.Errorf("%v, %v", first, last)
	}
	if err := s.Protect(Relative(page), page, 5); !errors.Is(err, ErrUnmapped) {
		t.Error(err)
	}
}

func TestMove(t *testing.T) {
	rw, ro := Attrs{Prot: 3}, Attrs{Prot: 1}
	type call struct {
		from, old, to, new uint64
		keep               bool
	}
	// A region of two pages rw, a hole of one page, one page ro, all from page 10.
	for _, c := range []struct {
		name string
		call call
		want []Region
		err  error
	}{
		{"away", call{10, 2, 20, 2, false}, []Region{{pageAt(13), pageAt(14), ro}, {pageAt(20), pageAt(22), rw}}, nil},
		{"grow", call{10, 2, 20, 4, false}, []Region{{pageAt(13), pageAt(14), ro}, {pageAt(20), pageAt(24), rw}}, nil},
		{"shrink", call{10, 2, 20, 1, false}, []Region{{pageAt(13), pageAt(14), ro}, {pageAt(20), pageAt(21), rw}}, nil},
		{"part", call{11, 1, 20, 1, false}, []Region{{pageAt(10), pageAt(11), rw}, {pageAt(13), pageAt(14), ro}, {pageAt(20), pageAt(21), rw}}, nil},
		{"keep", call{10, 2, 20, 2, true}, []Region{{pageAt(10), pageAt(12), rw}, {pageAt(13), pageAt(14), ro}, {pageAt(20), pageAt(22), rw}}, nil},
		{"second mapping", call{10, 0, 20, 2, false}, []Region{{pageAt(10), pageAt(12), rw}, {pageAt(13), pageAt(14), ro}, {pageAt(20), pageAt(22), rw}}, nil},
		{"with hole", call{10, 4, 20, 4, false}, []Region{{pageAt(20), pageAt(22), rw}, {pageAt(23), pageAt(24), ro}}, nil},
		{"over another", call{10, 2, 12, 2, false}, []Region{{pageAt(12), pageAt(14), rw}}, nil},
		{"in place", call{10, 2, 10, 3, false}, []Region{{pageAt(10), pageAt(13), rw}, {pageAt(13), pageAt(14), ro}}, nil},
		{"in place shrink", call{10, 2, 10, 1, false}, []Region{{pageAt(10), pageAt(11), rw}, {pageAt(13), pageAt(14), ro}}, nil},
		{"in place, taken", call{10, 2, 10, 4, false}, nil, ErrOverlap},
		{"onto itself", call{10, 2, 11, 2, false}, nil, ErrOverlap},
		{"down onto itself", call{11, 1, 10, 2, false}, nil, ErrOverlap},
		{"hole and grow", call{10, 4, 20, 5, false}, nil, ErrUnmapped},
		{"from hole", call{12, 2, 20, 2, false}, nil, ErrUnmapped},
		{"second mapping of nothing", call{12, 0, 20, 2, false}, nil, ErrUnmapped},
	} {
		s := newSpace(t)
		must(t, s.Map(pageAt(10), 2*page, rw))
		must(t, s.Map(pageAt(13), page, ro))
		before := s.Clone()
		err := s.Move(pageAt(c.call.from), c.call.old*page, pageAt(c.call.to), c.call.new*page, c.call.keep)
		if !errors.Is(err, c.err) || (err != nil) != (c.err != nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.err != nil && !s.Equal(before) {
			t.Errorf("%s: changed to %v", c.name, s.regions)
		}
		if c.err == nil && !slices.Equal(s.regions, c.want) {
			t.Errorf("%s: %v", c.name, s.regions)
		}
	}
}

// pageAt returns the relative address of page n.
func pageAt(n uint64) Address { return Relative(n * page) }

func TestCloneIsIndependent(t *testing.T) {
	s := newSpace(t)
	must(t, s.Map(pageAt(1), page, Attrs{Prot: 1}))
	must(t, s.Map(pageAt(3), page, Attrs{Prot: 3}))
	c := s.Clone()
	must(t, c.Protect(pageAt(1), page, 7))
	must(t, s.Unmap(pageAt(3), page))
	d := s.Clone()
	must(t, s.Map(pageAt(9), page, Attrs{}))
	if got := []int{s.Len(), c.Len(), d.Len()}; !slices.Equal(got, []int{2, 2, 1}) {
		t.Errorf("regions: %v", got)
	}
	if r, _ := s.At(pageAt(1)); r.Prot != 1 {
		t.Errorf("the clone's change shows: %v", r)
	}
	must(t, s.SetFlags(pageAt(1), page, DontFork, 0))
	child := s.Clone()
	if _, ok := child.At(pageAt(1)); ok || child.Len() != 1 || s.Len() != 2 {
		t.Errorf("child has %v", child.regions)
	}
	must(t, child.Unmap(pageAt(9), page))
	if s.Len() != 2 {
		t.Error("the child's change shows")
	}
}

func TestGrow(t *testing.T) {
	s := newSpace(t)
	must(t, s.Map(pageAt(5), page, Attrs{}))
	must(t, s.Map(pageAt(10), page, Attrs{Flags: GrowsDown}))
	must(t, s.Map(pageAt(20), page, Attrs{}))
	for _, c := range []struct {
		at   Address
		want bool
	}{
		{pageAt(8).Add(17), true}, {pageAt(5), true}, {pageAt(6), true}, {pageAt(4), false}, {pageAt(15), false},
		{pageAt(30), false}, {Absolute(page), false}, {Absolute(BandStart), false}, {Absolute(math.MaxUint64), false},
	} {
		if got := s.Grow(c.at); got != c.want {
			t.Errorf("Grow(%v) = %v", c.at, got)
		}
	}
	if r, ok := s.At(pageAt(6)); !ok || r.Start != pageAt(6) || r.End != pageAt(11) {
		t.Errorf("%v %v", r, ok)
	}
}

func TestBrk(t *testing.T) {
	s := newSpace(t)
	start := s.BrkStart()
	if s.BrkEnd() != start {
		t.Fatal(s.BrkEnd())
	}
	for _, a := range []Address{Absolute(start.Offset() + 1), {}, Relative(start.Offset() - 1), start.Add(brkGrowth + 1), Relative(math.MaxUint64)} {
		if s.CanBrk(a) || !errors.Is(s.SetBrk(a), ErrRange) {
			t.Errorf("heap can end at %v", a)
		}
	}
	must(t, s.SetBrk(start.Add(5000)))
	if r, ok := s.At(start); !ok || r.Kind != Heap || r.Size() != 2*page || r.Prot != 3 || s.BrkEnd() != start.Add(5000) {
		t.Errorf("%v, end %v", r, s.BrkEnd())
	}
	must(t, s.SetBrk(start.Add(5001)))
	must(t, s.SetBrk(start.Add(100)))
	if r, _ := s.At(start); r.Size() != page {
		t.Errorf("%v", r)
	}
	must(t, s.Map(start.Add(4*page), page, Attrs{}))
	must(t, s.SetBrk(start.Add(4*page)))
	if s.CanBrk(start.Add(4*page + 1)) {
		t.Error("the heap grows over a mapping")
	}
	must(t, s.SetBrk(start))
	if s.Len() != 1 {
		t.Errorf("%v", s.regions)
	}
	must(t, s.SetFlags(start.Add(4*page), page, GrowsDown, 0))
	if s.CanBrk(start.Add(page)) {
		t.Error("the heap grows into a stack's guard")
	}
}

func TestFindApart(t *testing.T) {
	s := newSpace(t)
	o := s.Offsets()
	top := o.StackTop - stackReserve/2
	a, ok := s.FindApart(1)
	if !ok || a != Relative(top-page) || o.MmapTop > a.Offset() {
		t.Errorf("%v %v", a, ok)
	}
	must(t, s.Map(a, page, Attrs{Kind: Reserved}))
	if b, ok := s.FindApart(2 * page); !ok || b != Relative(top-3*page) {
		t.Errorf("below another one: %v %v", b, ok)
	}
	for _, size := range []uint64{0, top - o.MmapTop + 1, math.MaxUint64} {
		if a, ok := s.FindApart(size); ok {
			t.Errorf("FindApart(%#x) = %v", size, a)
		}
	}
	must(t, s.Map(Relative(o.MmapTop), top-o.MmapTop-page, Attrs{}))
	if a, ok := s.FindApart(1); ok {
		t.Errorf("in a full window: %v", a)
	}
	if a, ok := s.FindFree(page, 0); !ok || a.Offset() >= o.MmapTop {
		t.Errorf("the program's: %v %v", a, ok)
	}
}

func TestFindFreeBounds(t *testing.T) {
	s := newSpace(t)
	top := s.Offsets().MmapTop
	if a, ok := s.FindFree(1, 0); !ok || a != Relative(top-page) {
		t.Errorf("%v %v", a, ok)
	}
	if a, ok := s.FindFree(top-mmapLow, 0); !ok || a != Relative(mmapLow) {
		t.Errorf("whole window: %v %v", a, ok)
	}
	for _, c := range []struct{ size, align uint64 }{
		{0, 0}, {top - mmapLow + 1, 0}, {math.MaxUint64, 0}, {math.MaxUint64 - 4096, 0}, {page, 3 * page}, {page, SlotAlign * 2}, {page, math.MaxUint64},
	} {
		if a, ok := s.FindFree(c.size, c.align); ok {
			t.Errorf("FindFree(%#x, %#x) = %v", c.size, c.align, a)
		}
	}
	// A mapping across the top, one that grows down above it, one across the end.
	must(t, s.Map(Relative(top-2*page), 4*page, Attrs{}))
	if a, ok := s.FindFree(page, 0); !ok || a != Relative(top-3*page) {
		t.Errorf("below a mapping across the top: %v %v", a, ok)
	}
	must(t, s.Unmap(Relative(top-2*page), 4*page))
	must(t, s.Map(Relative(top+page), page, Attrs{Flags: GrowsDown}))
	if a, ok := s.FindFree(page, 0); !ok || a != Relative(top+page-growGuard-page) {
		t.Errorf("below a stack above the top: %v %v", a, ok)
	}
	must(t, s.Map(Relative(mmapLow-page), 2*page, Attrs{}))
	must(t, s.Map(Relative(mmapLow+2*page), top-mmapLow-2*page, Attrs{}))
	if a, ok := s.FindFree(page, 0); !ok || a != Relative(mmapLow+page) {
		t.Errorf("last page: %v %v", a, ok)
	}
	if a, ok := s.FindFree(2*page, 0); ok {
		t.Errorf("in a full window: %v", a)
	}
	if s.FreeAfter(Relative(top+2*page), page) != true || s.FreeAfter(Relative(mmapLow-3*page), 2*page) != true {
		t.Error("free range outside of the window not found free")
	}
	must(t, s.Unmap(Relative(0), s.size))
	if s.FreeAfter(Relative(top-page), 2*page) || s.FreeAfter(Relative(mmapLow-page), 2*page) || !s.FreeAfter(Relative(top-page), page) {
		t.Error("a mapping may grow out of its window")
	}
}

func TestFindFreeLow(t *testing.T) {
	s := newSpace(t)
	must(t, s.Map(Absolute(lowStart-page), 3*page, Attrs{}))
	must(t, s.Map(Absolute(lowStart+3*page), page, Attrs{}))
	must(t, s.Map(pageAt(1), page, Attrs{}))
	for _, c := range []struct {
		size, want uint64
		ok         bool
	}{{1, lowStart + 2*page, true}, {2 * page, lowStart + 4*page, true}, {lowEnd - lowStart - 4*page, lowStart + 4*page, true}, {lowEnd - lowStart - 3*page, 0, false}, {0, 0, false}, {math.MaxUint64, 0, false}} {
		if a, ok := s.FindFreeLow(c.size); ok != c.ok || a != Absolute(c.want) {
			t.Errorf("FindFreeLow(%#x) = %v, %v", c.size, a, ok)
		}
	}
	must(t, s.Map(Absolute(lowStart+5*page), lowEnd-lowStart, Attrs{Flags: GrowsDown}))
	if a, ok := s.FindFreeLow(page); !ok || a != Absolute(lowStart+2*page) {
		// The gap at page 2 ends at a plain region; the one at page 4 is a guard.
		t.Errorf("%v %v", a, ok)
	}
	must(t, s.Map(Absolute(lowStart+2*page), page, Attrs{}))
	if a, ok := s.FindFreeLow(page); ok {
		t.Errorf("in a full window: %v", a)
	}
}

func TestReserve(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	must(t, a.Map(pageAt(2), page, Attrs{Prot: 1}))
	must(t, a.Map(pageAt(4), page, Attrs{Prot: 1}))
	must(t, b.Map(pageAt(1), 6*page, Attrs{Prot: 3, Label: "b"}))
	must(t, b.Map(Absolute(page), page, Attrs{}))
	a.Reserve(b)
	res := Attrs{Kind: Reserved, Label: "b"}
	want := []Region{
		{Absolute(page), Absolute(2 * page), Attrs{Kind: Reserved}},
		{pageAt(1), pageAt(2), res}, {pageAt(2), pageAt(3), Attrs{Prot: 1}}, {pageAt(3), pageAt(4), res},
		{pageAt(4), pageAt(5), Attrs{Prot: 1}}, {pageAt(5), pageAt(7), res},
	}
	if !slices.Equal(a.regions, want) {
		t.Errorf("%v", a.regions)
	}
	before := a.Clone()
	a.Reserve(b)
	if !a.Equal(before) {
		t.Error("a second time changes it")
	}
}
