package addrspace

import (
	"math/rand/v2"
	"testing"
)

func TestCommonStackIsTheSameInAllVariants(t *testing.T) {
	l := newLayout(t, 3, 7)
	o := l.RandomCommon(rand.New(rand.NewPCG(1, 2)))
	if o.CommonTop == 0 {
		t.Fatal("no common top")
	}
	var first uint64
	for v := range 3 {
		img := testImage([]aslr{kernelA, kernelB, kernelA}[v], true)
		place, space := plan(t, l, v, o, img, StartInfoFrom(img))
		if v == 0 {
			first = place.SP
		} else if place.SP != first {
			t.Errorf("variant %d: SP %#x, variant 0 %#x", v, place.SP, first)
		}
		if place.SP < CommonStart || place.SP >= CommonEnd {
			t.Errorf("SP %#x is not in the common window", place.SP)
		}
		a, ok := space.FindFreeCommon(3*PageSize, 0)
		if !ok || a.Relative() || a.Offset() >= o.CommonTop-stackReserve {
			t.Fatalf("FindFreeCommon = %v, %v", a, ok)
		}
		if err := space.Map(a, 3*PageSize, Attrs{Prot: 3}); err != nil {
			t.Fatal(err)
		}
		if b, ok := space.FindFreeCommon(PageSize, 0); !ok || b != (Address{off: a.off - PageSize}) {
			t.Errorf("next FindFreeCommon = %v, %v, want just below %v", b, ok, a)
		}
		if b, ok := space.FindFree(PageSize, 0); !ok || !b.Relative() {
			t.Errorf("FindFree = %v, %v", b, ok)
		}
	}
}

func TestCommonTopIsChecked(t *testing.T) {
	l := newLayout(t, 2, 7)
	o := l.RandomCommon(nil)
	for _, top := range []uint64{1, PageSize, CommonEnd, CommonEnd - 1, CommonStart} {
		o.CommonTop = top
		if _, err := NewSpace(l, o); err == nil {
			t.Errorf("CommonTop %#x accepted", top)
		}
	}
}
