package addrspace

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func newLayout(t testing.TB, n int, seed uint64) *Layout {
	t.Helper()
	l, err := NewLayout(n, rand.New(rand.NewPCG(seed, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLayoutSlots(t *testing.T) {
	for n := 1; n <= MaxVariants; n++ {
		for seed := range uint64(4) {
			l := newLayout(t, n, seed)
			if l.Variants() != n || l.Size()%SlotAlign != 0 || l.Size() < minSlot {
				t.Fatalf("n=%d: %d slots of %#x bytes", n, l.Variants(), l.Size())
			}
			var bases []uint64
			for v := range n {
				b := l.Base(v)
				if b%SlotAlign != 0 || b < BandStart || b+l.Size() > BandEnd {
					t.Errorf("n=%d: slot of variant %d at %#x is misplaced", n, v, b)
				}
				bases = append(bases, b)
			}
			slices.Sort(bases)
			for i := 1; i < n; i++ {
				if bases[i]-bases[i-1] != l.Size() {
					t.Errorf("n=%d: slots at %#x and %#x, size %#x", n, bases[i-1], bases[i], l.Size())
				}
			}
		}
	}
}

func TestLayoutIsDeterministicAndRandom(t *testing.T) {
	if a, b := newLayout(t, 8, 7), newLayout(t, 8, 7); *a != *b {
		t.Error("the same seed gives different layouts")
	}
	leaders, starts := map[uint64]bool{}, map[uint64]bool{}
	for seed := range uint64(64) {
		l := newLayout(t, 8, seed)
		leaders[(l.Base(0)-slices.Min(l.bases[:8]))/l.Size()] = true
		starts[slices.Min(l.bases[:8])] = true
	}
	if len(leaders) < 4 || len(starts) < 8 {
		t.Errorf("64 seeds: leader in %d slots, %d starts", len(leaders), len(starts))
	}
	plain, err := NewLayout(3, nil)
	if err != nil || plain.Base(0) != BandStart || plain.Base(2) != BandStart+2*plain.Size() {
		t.Errorf("without a generator: %+v, %v", plain, err)
	}
}

func TestLayoutErrors(t *testing.T) {
	for _, n := range []int{-1, 0, MaxVariants + 1, math.MaxInt} {
		if _, err := NewLayout(n, nil); !errors.Is(err, ErrVariants) {
			t.Errorf("NewLayout(%d): %v", n, err)
		}
	}
	var zero Layout
	if a := zero.Canonical(0, BandStart); a != Absolute(BandStart) {
		t.Errorf("zero layout: %v", a)
	}
	if _, err := NewSpace(&zero, zero.Random(nil)); !errors.Is(err, ErrRange) {
		t.Errorf("space of a zero layout: %v", err)
	}
}

// Any 64-bit value has a canonical form that leads back to it, and values in
// the own slot, no others, are relative.
func TestCanonicalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, MaxVariants).Draw(t, "n")
		l, err := NewLayout(n, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		if err != nil {
			t.Fatal(err)
		}
		v := rapid.IntRange(0, n-1).Draw(t, "v")
		base := l.Base(v)
		addr := rapid.OneOf(
			rapid.Uint64(),
			rapid.Uint64Range(BandStart-2, BandEnd+2),
			rapid.SampledFrom([]uint64{0, base - 1, base, base + l.Size() - 1, base + l.Size(), 1 << 62, 1 << 63, math.MaxUint64}),
		).Draw(t, "addr")
		a := l.Canonical(v, addr)
		if got := l.Real(v, a); got != addr {
			t.Fatalf("%#x -> %v -> %#x", addr, a, got)
		}
		inside := addr >= base && addr < base+l.Size()
		if a.Relative() != inside {
			t.Fatalf("%#x -> %v, slot %#x", addr, a, base)
		}
		owner, owned := l.Owner(addr)
		if (owned && owner == v) != inside {
			t.Fatalf("owner of %#x is %d, %v", addr, owner, owned)
		}
		if owned && !l.InBand(addr) {
			t.Fatalf("%#x is in a slot but not in the band", addr)
		}
		other := rapid.IntRange(0, n-1).Draw(t, "other")
		if a.Relative() && l.Canonical(other, l.Real(other, a)) != a {
			t.Fatalf("%v differs in variant %d", a, other)
		}
	})
}

func TestCanonicalOfUnknownVariant(t *testing.T) {
	l := newLayout(t, 2, 1)
	for _, v := range []int{-1, 2, math.MaxInt, math.MinInt} {
		if got := l.Canonical(v, l.Base(0)); got != Absolute(l.Base(0)) || l.Base(v) != 0 {
			t.Errorf("variant %d: %v, base %#x", v, got, l.Base(v))
		}
	}
}

func TestAddressOrderAndText(t *testing.T) {
	sorted := []Address{{}, Absolute(1), Absolute(BandStart), Absolute(math.MaxUint64), Relative(0), Relative(1), Relative(math.MaxUint64)}
	for i, a := range sorted {
		for j, b := range sorted {
			if want := i - j; a.Compare(b) != max(-1, min(1, want)) || a.Less(b) != (want < 0) {
				t.Errorf("Compare(%v, %v) = %d", a, b, a.Compare(b))
			}
			if _, ok := a.Sub(b); ok != (a.Relative() == b.Relative()) {
				t.Errorf("Sub(%v, %v) ok = %v", a, b, ok)
			}
		}
	}
	if got := fmt.Sprint(Absolute(0x401000), Relative(0x800000000)); got != "0x401000 +0x800000000" {
		t.Error(got)
	}
	if d, ok := Relative(9).Sub(Relative(4)); d != 5 || !ok {
		t.Error(d, ok)
	}
	if !Absolute(0).IsNull() || Relative(0).IsNull() {
		t.Error("null pointer not recognised")
	}
	if got := Relative(0x1fff).PageDown(); got != Relative(0x1000) {
		t.Error(got)
	}
}

func TestPageUp(t *testing.T) {
	for _, c := range []struct {
		in, want uint64
		ok       bool
	}{{0, 0, true}, {1, 4096, true}, {4096, 4096, true}, {4097, 8192, true}, {math.MaxUint64 - 4095, math.MaxUint64 - 4095, true}, {math.MaxUint64 - 4094, 0, false}} {
		if got, ok := PageUp(c.in); got != c.want || ok != c.ok {
			t.Errorf("PageUp(%#x) = %#x, %v", c.in, got, ok)
		}
	}
}

func TestRandomOffsets(t *testing.T) {
	for _, n := range []int{1, 2, 3, 16, 48, 63, 64} {
		l := newLayout(t, n, 1)
		rng := rand.New(rand.NewPCG(1, 2))
		distinct := [5]map[uint64]bool{}
		for i := range distinct {
			distinct[i] = map[uint64]bool{}
		}
		for range 2000 {
			o := l.Random(rng)
			if !o.valid(l.Size()) {
				t.Fatalf("n=%d: %+v", n, o)
			}
			if o.Brk+brkGrowth > mmapLow || o.MmapTop-mmapLow < 300*gib {
				t.Fatalf("n=%d: windows overlap: %+v", n, o)
			}
			for i, x := range []uint64{o.Program, o.Brk, o.MmapTop, o.StackTop, o.StackPad} {
				distinct[i][x] = true
			}
		}
		for i, want := range []int{1900, 1900, 1900, 1900, 400} {
			if len(distinct[i]) < want {
				t.Errorf("n=%d: field %d took %d values in 2000 draws", n, i, len(distinct[i]))
			}
		}
		if o := l.Random(nil); !o.valid(l.Size()) {
			t.Errorf("n=%d: without a generator: %+v", n, o)
		}
	}
	l := newLayout(t, 4, 1)
	a, b := l.Random(rand.New(rand.NewPCG(5, 5))), l.Random(rand.New(rand.NewPCG(5, 5)))
	if a != b {
		t.Errorf("the same seed gives %+v and %+v", a, b)
	}
}
