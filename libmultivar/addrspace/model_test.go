package addrspace

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is a memory map as a set of pages.
type model struct {
	pages   map[Address]Attrs
	offsets Offsets
}

func (m *model) each(start Address, pages uint64, f func(Address)) {
	for i := range pages {
		f(start.Add(i * page))
	}
}

func (m *model) free(start Address, pages uint64) bool {
	free := true
	m.each(start, pages, func(a Address) {
		if _, ok := m.pages[a]; ok {
			free = false
		}
	})
	return free
}

// regions joins the pages.
func (m *model) regions() []Region {
	var out []Region
	for _, a := range slices.SortedFunc(maps.Keys(m.pages), Address.Compare) {
		if n := len(out); n > 0 && out[n-1].End == a && out[n-1].Attrs == m.pages[a] {
			out[n-1].End = a.Add(page)
			continue
		}
		out = append(out, Region{a, a.Add(page), m.pages[a]})
	}
	return out
}

// fits reports whether FindFree may return a for size bytes.
func (m *model) fits(regions []Region, a Address, size uint64) bool {
	for i, r := range regions {
		guard := fence(r)
		if i > 0 && guard.Less(regions[i-1].End) {
			guard = regions[i-1].End
		}
		if r.Start.rel == a.rel && guard.off < a.off+size && a.off < r.End.off {
			return false
		}
	}
	return true
}

// move returns the error that Move must return, and makes the move if it is nil.
func (m *model) move(from Address, old uint64, to Address, size uint64, keep bool) error {
	if _, ok := m.pages[from]; !ok {
		return ErrUnmapped
	}
	if old != size {
		for i := range old {
			if _, ok := m.pages[from.Add(i*page)]; !ok {
				return ErrUnmapped
			}
		}
	}
	source := maps.Clone(m.pages)
	last := source[from]
	if old > 0 {
		last = source[from.Add((old-1)*page)]
	}
	if from == to {
		if size > old && !m.free(from.Add(old*page), size-old) {
			return ErrOverlap
		}
	} else {
		overlap := false
		m.each(from, old, func(a Address) {
			overlap = overlap || a.rel == to.rel && a.off >= to.off && a.off < to.off+size*page
		})
		if old == 0 {
			overlap = from.rel == to.rel && from.off > to.off && from.off < to.off+size*page
		}
		if overlap {
			return ErrOverlap
		}
	}
	if from == to || !keep {
		m.each(from, old, func(a Address) { delete(m.pages, a) })
	}
	for i := range size {
		attrs, ok := last, true
		if i < old {
			attrs, ok = source[from.Add(i*page)]
		}
		delete(m.pages, to.Add(i*page))
		if ok {
			m.pages[to.Add(i*page)] = attrs
		}
	}
	return nil
}

// Spaces behave like sets of pages, and clones like copies.
func TestSpaceAgainstPageSet(t *testing.T) {
	l, err := NewLayout(2, nil)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		s, err := NewSpace(l, l.Random(nil))
		if err != nil {
			t.Fatal(err)
		}
		m := &model{map[Address]Attrs{}, s.Offsets()}
		type pair struct {
			s *Space
			m *model
		}
		pairs := []pair{{s, m}}
		// Pages at the top of the mmap window, some beyond it, and in the low
		// window of MAP_32BIT, from its end.
		start := rapid.Custom(func(t *rapid.T) Address {
			n := rapid.Uint64Range(0, 31).Draw(t, "page") * page
			if rapid.IntRange(0, 3).Draw(t, "where") == 0 {
				return Absolute(lowStart - 4*page + n)
			}
			return Relative(m.offsets.MmapTop - 28*page + n)
		})
		length := rapid.Uint64Range(1, 8)
		attrs := rapid.Custom(func(t *rapid.T) Attrs {
			return Attrs{
				Prot:  rapid.Uint32Range(0, 1).Draw(t, "prot"),
				Flags: rapid.SampledFrom([]Flags{0, 0, 0, 0, Shared, DontFork, GrowsDown}).Draw(t, "flags"),
			}
		})
		// compare runs after every step, on what the step may have touched and on
		// what it must not have.
		compare := func(t *rapid.T) {
			for i, p := range pairs {
				want := p.m.regions()
				if !slices.Equal(p.s.regions, want) {
					t.Fatalf("space %d: %v, want %v", i, p.s.regions, want)
				}
			}
		}
		draw := func(t *rapid.T) (Address, uint64) { return start.Draw(t, "start"), length.Draw(t, "length") }
		t.Repeat(map[string]func(*rapid.T){
			"": compare,
			"Map": func(t *rapid.T) {
				a, n := draw(t)
				at := attrs.Draw(t, "attrs")
				if err := s.Map(a, n*page, at); err != nil {
					t.Fatal(err)
				}
				m.each(a, n, func(a Address) { m.pages[a] = at })
			},
			"Unmap": func(t *rapid.T) {
				a, n := draw(t)
				if err := s.Unmap(a, n*page); err != nil {
					t.Fatal(err)
				}
				m.each(a, n, func(a Address) { delete(m.pages, a) })
			},
			"Protect": func(t *rapid.T) {
				a, n := draw(t)
				prot := rapid.Uint32Range(0, 1).Draw(t, "prot")
				hole := false
				m.each(a, n, func(a Address) {
					at, ok := m.pages[a]
					if hole = hole || !ok; !hole {
						at.Prot = prot
						m.pages[a] = at
					}
				})
				if s.Mapped(a, n*page) == hole {
					t.Fatalf("Mapped(%v, %d pages) = %v", a, n, !hole)
				}
				if err := s.Protect(a, n*page, prot); errors.Is(err, ErrUnmapped) != hole {
					t.Fatalf("Protect: %v, hole %v", err, hole)
				}
			},
			"Move": func(t *rapid.T) {
				from, to := start.Draw(t, "from"), start.Draw(t, "to")
				old, size := rapid.Uint64Range(0, 6).Draw(t, "old"), length.Draw(t, "new")
				if rapid.Bool().Draw(t, "same size") && old > 0 {
					size = old
				}
				keep := rapid.Bool().Draw(t, "keep")
				want := m.move(from, old, to, size, keep)
				if err := s.Move(from, old*page, to, size*page, keep); !errors.Is(err, want) {
					t.Fatalf("Move(%v, %d, %v, %d): %v, want %v", from, old, to, size, err, want)
				}
			},
			"FindFree": func(t *rapid.T) {
				n := length.Draw(t, "length")
				align := rapid.SampledFrom([]uint64{0, page, 4 * page, 64 * page}).Draw(t, "align")
				got, ok := s.FindFree(n*page, align)
				regions := m.regions()
				want := Relative((m.offsets.MmapTop - n*page) &^ (max(align, page) - 1))
				for !m.fits(regions, want, n*page) {
					want = Relative(want.off - max(align, page))
				}
				if !ok || got != want {
					t.Fatalf("FindFree(%d pages, %#x) = %v, want %v", n, align, got, want)
				}
			},
			"FindFreeLow": func(t *rapid.T) {
				n := length.Draw(t, "length")
				got, ok := s.FindFreeLow(n * page)
				regions, want := m.regions(), Absolute(lowStart)
				for !m.fits(regions, want, n*page) {
					want = want.Add(page)
				}
				if !ok || got != want {
					t.Fatalf("FindFreeLow(%d pages) = %v, want %v", n, got, want)
				}
			},
			"look": func(t *rapid.T) {
				a, n := draw(t)
				if got := s.Free(a, n*page); got != m.free(a, n) {
					t.Fatalf("Free(%v, %d pages) = %v", a, n, got)
				}
				at, ok := m.pages[a]
				if r, found := s.At(a.Add(7)); found != ok || r.Attrs != at {
					t.Fatalf("At(%v) = %v, %v", a, r, found)
				}
				var want []Region
				for _, r := range m.regions() {
					if r.Start.Less(a.Add(n*page)) && a.Less(r.End) {
						want = append(want, r)
					}
				}
				if got := slices.Collect(s.Regions(a, n*page)); !slices.Equal(got, want) {
					t.Fatalf("Regions(%v, %d pages) = %v, want %v", a, n, got, want)
				}
			},
			"Clone": func(t *rapid.T) {
				if len(pairs) > 6 {
					t.Skip("enough processes")
				}
				c := &model{maps.Clone(m.pages), m.offsets}
				maps.DeleteFunc(c.pages, func(_ Address, at Attrs) bool { return at.Flags&DontFork != 0 })
				pairs = append(pairs, pair{s.Clone(), c})
			},
			"switch": func(t *rapid.T) {
				p := rapid.SampledFrom(pairs).Draw(t, "process")
				s, m = p.s, p.m
			},
		})
	})
}

// No sequence of operations with any arguments makes a Space panic or breaks
// what holds of its regions.
func TestSpaceSurvivesAnything(t *testing.T) {
	l, err := NewLayout(64, nil)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		s, err := NewSpace(l, l.Random(nil))
		if err != nil {
			t.Fatal(err)
		}
		word := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 1<<40), rapid.Map(rapid.Uint64Range(0, 1<<30), func(n uint64) uint64 { return n * page }))
		for range 40 {
			a := Address{rapid.Bool().Draw(t, "rel"), word.Draw(t, "a")}
			b := Address{rapid.Bool().Draw(t, "rel"), word.Draw(t, "b")}
			n, k := word.Draw(t, "n"), word.Draw(t, "k")
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			case 0:
				_ = s.Map(a, n, Attrs{Flags: Flags(k)})
			case 1:
				_ = s.Unmap(a, n)
			case 2:
				_ = s.Protect(a, n, uint32(k))
			case 3:
				_ = s.Move(a, n, b, k, n&1 == 0)
			case 4:
				_ = s.SetBrk(a)
			case 5:
				s.Grow(a)
			case 6:
				if at, ok := s.FindFree(n, k&-k); ok && !s.Free(at, n) {
					t.Fatalf("FindFree(%#x) = %v is not free", n, at)
				}
			case 7:
				if at, ok := s.FindFreeLow(n); ok && !s.Free(at, n) {
					t.Fatalf("FindFreeLow(%#x) = %v is not free", n, at)
				}
			case 8:
				s.FreeAfter(a, n)
			case 9:
				s = s.Clone()
			}
			for i, r := range s.regions {
				if r.Start.rel != r.End.rel || !r.Start.Less(r.End) || i > 0 && r.Start.Less(s.regions[i-1].End) {
					t.Fatalf("%v", s.regions)
				}
			}
		}
	})
}
